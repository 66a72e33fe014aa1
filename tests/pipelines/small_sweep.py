"""A small copy of the repository with one block whose trainings take a second: a machine to sweep on."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from pipelines import files
from tests.pipelines import small_training as small

ROOT = Path(__file__).resolve().parents[2]
SPACE = {
    "model.cell": ["lstm", "gru"],
    "model.dropout": {"low": 0.0, "high": 0.5},
    "train.optimizer.rate": {"times": {"low": 0.1, "high": 3, "log": True}},
}


def block(space: dict[str, Any], **train: Any) -> dict[str, Any]:
    return {
        "task": "language_model",
        "data": {"from": "pipelines/samples/language_model.py", "level": "word", "min_count": 1},
        "model": small.MODEL,
        "train": small.TRAIN | {"epochs": 2, "point_steps": 10, "checkpoint_steps": 10} | train,
        "baselines": {},
        "evaluate": {"metric": "perplexity", "published": None},
        "sweep": space,
    }


def write_params(home: Path, one: dict[str, Any]) -> None:
    content = {"root": ".", "suite": "sample", "own": "params.yaml", "blocks": {"small": one}}
    base = {"data": {"max_bad_share": 0.001}, "train": {"seed": 1}, "register": {"level": 0.95, "draws": 100}}
    (home / "params.yaml").write_text(yaml.safe_dump(content | {"base": base}, sort_keys=False))


def checkout(home: Path, one: dict[str, Any]) -> Path:
    """With code, params and data, and a test split that no reader of Arrow takes."""
    for name in ("pipelines", "rnn_core"):
        shutil.copytree(ROOT / name, home / name, ignore=shutil.ignore_patterns("__pycache__"))
    write_params(home, one)
    arrow = small.write_data(home / "data/arrow/sample/small")
    for path in arrow.glob("test-*.arrow"):
        path.write_bytes(b"not to be opened")
    files.write_json(home / "data/raw/sample/small/source.json", {"dataset": "sample"})
    return home


@contextlib.contextmanager
def started(home: Path, *arguments: str, **variables: str) -> Iterator[subprocess.Popen[str]]:
    """A sweep of the block in a process of its own, which the block does not outlive."""
    environment = os.environ | {"OMP_NUM_THREADS": "1", "RNN_THREADS": "1", "PYTHONPATH": str(home), **variables}
    process = subprocess.Popen(
        [sys.executable, "-m", "pipelines.sweep", *arguments],
        cwd=home,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    with process:
        try:
            yield process
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)


def run(home: Path, *arguments: str, status: int = 0, **variables: str) -> str:
    """A sweep to its end; what it said."""
    with started(home, *arguments, **variables) as process:
        said, _ = process.communicate()
    assert process.returncode == status, said
    return said
