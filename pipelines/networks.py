"""From a task's settings to its network and back from a model's folder: what train, evaluate and predict share."""

import base64
import dataclasses
from pathlib import Path
from typing import Any

import torch

from pipelines import files, tasks
from pipelines.tasks import Sidecar, Task
from rnn_core import bptt, checkpoint
from rnn_core.config import from_mapping, to_mapping
from rnn_core.errors import DataError
from rnn_core.models import KINDS
from rnn_core.networks import Network, network, widen


def build(task: Task, model: dict[str, Any], sidecar: Sidecar) -> Network:
    """A network with fresh weights from torch's present random state.

    Raises:
        ConfigError: a key of `model` is wrong.
    """
    config = from_mapping(KINDS[task.KIND].Config, model, "model")
    return network(task.KIND, config, task.sizes(config, sidecar))


def widened(task: Task, model: dict[str, Any], like: dict[str, Any], sidecar: Sidecar) -> dict[str, Any]:
    """`model` with the hidden size at which it has as many parameters as `like`."""
    kind = KINDS[task.KIND]

    def parameters(config: Any) -> int:
        with torch.device("meta"):
            return bptt.parameter_count(network(task.KIND, config, task.sizes(config, sidecar)))

    target = parameters(from_mapping(kind.Config, like, "model"))
    return to_mapping(widen(from_mapping(kind.Config, model, "model"), parameters, target))


@dataclasses.dataclass(frozen=True)
class Model:
    """A trained network with all that its use needs."""

    task: Task
    network: Network
    sidecar: Sidecar
    about: dict[str, Any]
    """`model.json`."""


def to_text(given: str | bytes) -> str:
    """A raw input as text: the contents of a file in base64."""
    return given if isinstance(given, str) else base64.b64encode(given).decode()


def from_text(text: str, task: Task) -> str | bytes:
    """The inverse of `to_text`.

    Raises:
        DataError: the task takes files, and this is no base64.
    """
    if task.INPUT != "file":
        return text
    try:
        return base64.b64decode(text, validate=True)
    except ValueError as error:
        raise DataError("input", f"no base64: {error}", "the contents of a file in base64") from error


def chosen(train_folder: Path) -> str:
    """The training whose model is the block's, of those that `train` left in a folder."""
    return str(files.read_json(train_folder / "chosen.json")["training"])


def load(folder: Path) -> Model:
    """The model in a folder that `train` wrote; its weights are frozen.

    Raises:
        DataError: a file is damaged or does not fit the others.
    """
    about, sidecar = files.read_json(folder / "model.json"), files.read_json(folder / "sidecar.json")
    task = tasks.load(about["task"])
    trained = build(task, about["model"], sidecar).to(getattr(torch, about["dtype"]))
    checkpoint.load_network(trained, folder / "model.safetensors")
    return Model(task, trained.eval().requires_grad_(False), sidecar, about)
