"""Where everything lies: one function a kind of artefact, below the repository's root.

Reads DVC_ROOT: an experiment runs in a copy of the repository below `.dvc/tmp`, and what must outlive that copy
(checkpoints, the tracking store, downloads) lies in the main checkout, which DVC_ROOT names. And RNN_NODE_FOLDER and
RNN_NODE_GIGABYTES: a folder of a worker's machine, and how much fetched data may lie in it.
"""

import os
import re
from pathlib import Path

from rnn_core.errors import ConfigError

REPOSITORY = Path(__file__).resolve().parent.parent
SUITES = ("sample", "public")


def root() -> Path:
    """The checkout whose stage is running: params, data and code are read from here."""
    return REPOSITORY


def home() -> Path:
    """The main checkout, also while an experiment runs in a copy of it: stores that outlive the copy lie here."""
    return Path(os.environ.get("DVC_ROOT") or REPOSITORY).resolve()


def params_file(suite: str) -> Path:
    return root() / ("params.yaml" if suite == "sample" else f"pipelines/suites/{suite}/params.yaml")


def stages_file(suite: str) -> Path:
    """The suite's dvc.yaml; its dvc.lock lies beside it."""
    return params_file(suite).with_name("dvc.yaml")


def raw(suite: str, block: str) -> Path:
    """What `fetch` leaves: original files, unpacked; for samples also `limits.json`."""
    return root() / "data/raw" / suite / block


def arrow(suite: str, block: str) -> Path:
    """What `preprocess` leaves: Arrow shards and `sidecar.json`."""
    return root() / "data/arrow" / suite / block


def train(suite: str, block: str) -> Path:
    """What `train` leaves: a folder a training (`recurrent`, and one a baseline)."""
    return root() / "data/runs" / suite / block / "train"


def curves(suite: str, block: str) -> Path:
    """Learning curves of all trainings of a block, for `dvc plots`."""
    return root() / "data/runs" / suite / block / "curves.csv"


def evaluation(suite: str, block: str) -> Path:
    """What `evaluate` leaves beside its numbers: pictures, tables."""
    return root() / "data/runs" / suite / block / "evaluation"


def metrics(suite: str, block: str) -> Path:
    """The numbers of an evaluation, for `dvc metrics`."""
    return root() / "data/runs" / suite / block / "metrics.json"


def score(suite: str, block: str) -> Path:
    """The score file: small, committed to git."""
    return root() / "data/scores" / suite / f"{block}.json"


def report(suite: str) -> Path:
    """The page that shows a suite's results without a server."""
    return root() / "data/reports" / f"{suite}.html"


def checkpoints(suite: str, block: str) -> Path:
    """Training states, a folder for each key of configuration and data; outside DVC's outputs, so that an
    interrupted training goes on."""
    return home() / "data/checkpoints" / suite / block


def sweeps(suite: str, block: str) -> Path:
    """What sweeps of a block leave: a folder for each space, and the last winner; beside the checkpoints, for the same
    reason."""
    return home() / "data/sweeps" / suite / block


def downloads() -> Path:
    """Files of public data sets as they came, by sha256: fetched once for all suites and experiments."""
    return home() / "data/downloads"


def models() -> Path:
    """Files of registered models that were asked for, by sha256: downloaded once."""
    return home() / "data/models"


def node() -> Path:
    """What workers keep on their machine where no folder is shared: trainings under way, data that were fetched."""
    return Path(os.environ.get("RNN_NODE_FOLDER") or root() / "data/node").resolve()


def node_bytes() -> int:
    """How much of fetched data may lie on a worker's machine."""
    text = os.environ.get("RNN_NODE_GIGABYTES", "50")
    if not re.fullmatch(r"\d+(\.\d+)?", text):
        raise ConfigError("RNN_NODE_GIGABYTES", f"found {text!r}", "a number of gigabytes, such as 50 or 0.5")
    return int(float(text) * 1e9)


def block_name(argument: str) -> str:
    """A block's name, checked: it becomes a file name, a stage name and a registered model's name."""
    if not re.fullmatch(r"[a-z][a-z0-9_]*", argument):
        raise ConfigError(f"blocks.{argument}", "not a name", "small letters, digits and _ are allowed")
    return argument
