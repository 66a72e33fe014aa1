"""What the tests of tracking share: a checkout's folders with trainings that look like finished ones, and a look into
the store that is not mlflow's own."""

import contextlib
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipelines import files, locks, paths, ui
from pipelines.tracking import environment, registry

POINTS = 1201
"""More values than one request takes."""
PREDICTOR = """
import json

class Predictor:
    column = "text"

    def __init__(self, folder):
        self.upper = json.loads((folder / "model.json").read_text())["upper"]

    def answers_to_texts(self, texts):
        return [{"words": text.split(), "longest": max(map(len, text.split())), "upper": self.upper} for text in texts]
"""


NOLOAD = "ignore:The ``noload`` loader strategy:DeprecationWarning"


def training(folder: Path, training_id: str, *, points: int = 3, **facts: Any) -> Path:
    """A training's folder as `train` leaves it; `facts` take the place of those in `run.json`."""
    about = {
        "training_id": training_id,
        "key": "k" * 20,
        "suite": "sample",
        "block": "pos_tagging",
        "task": "pos_tagging",
        "kind": "tagging",
        "dataset": "sample",
        "training": "recurrent",
        "cell": "lstm",
        "revision": "abc",
        "data_digest": "d" * 64,
        "cluster_job": None,
        "started": "2026-01-01T10:00:00+00:00",
        "finished": "2026-01-01T10:01:00+00:00",
        "status": "finished",
        "seconds": 60.5,
        "steps": points,
        "pad_share": 0.01,
        "character_pad_share": 0.02,
        "best": {"accuracy": 96.0},
    }
    files.write_json(folder / "run.json", about | facts)
    files.write_json(folder / "params.json", {"model.cell": "lstm", "train.seed": 1, "long": "x" * 7000})
    add_points(folder, 0, points)
    (folder / "pictures").mkdir(exist_ok=True)
    (folder / "pictures/curve.png").write_bytes(b"a picture")
    files.write_json(folder / "model/model.json", {"upper": "YES"})
    return folder


def machine(
    factory: pytest.TempPathFactory, root: Path, monkeypatch: pytest.MonkeyPatch, own_code: bool = False
) -> Path:
    """A checkout of its own below `root`: its folders, its store, stand-in code that needs no network.

    Args:
        own_code: versions bring this repository's code instead.
    """
    monkeypatch.setenv("DVC_ROOT", str(root))
    monkeypatch.setattr(paths, "root", lambda: root)
    if not own_code:
        monkeypatch.setattr(registry, "CODE", code(root / "code"))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{root}/mlflow.db")
    shutil.copy(paths.REPOSITORY / "params.yaml", root)
    empty_store(factory, root / "mlflow.db")
    return root


def empty_store(factory: pytest.TempPathFactory, store: Path) -> Path:
    """A sqlite store with its tables and nothing in them, as `store`; made once for all tests, it takes seconds."""
    folder = factory.getbasetemp()
    # The processes of pytest-xdist have folders of their own below one.
    template = (folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder) / "empty" / "mlflow.db"
    with locks.held(template.with_suffix(".lock")):
        environment.create_store(f"sqlite:///{template}")
    shutil.copy(template, store)
    return store


def own_checkout(factory: pytest.TempPathFactory, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout of its own with a fresh sqlite store; the folder."""
    monkeypatch.setenv("DVC_ROOT", str(folder))
    monkeypatch.setattr("pipelines.paths.root", lambda: folder)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    patient(monkeypatch)
    empty_store(factory, folder / "mlflow.db")
    return folder


def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server may take long to start on a slow day: pytest's own limit ends what never comes."""
    monkeypatch.setattr(ui, "START_SECONDS", 3000)


def until(condition: Callable[[], bool]) -> None:
    """Wait as long as it takes: pytest's own limit ends what never comes."""
    while not condition():
        time.sleep(0.05)


def add_points(folder: Path, first: int, last: int) -> None:
    with (folder / "points.jsonl").open("a") as file:
        for step in range(first, last):
            values = {"train/loss": 1 / (step + 1)}
            file.write(json.dumps({"step": step, "time": 1_000_000 + step, "seconds": 0.1, "values": values}) + "\n")


def checkout(
    root: Path, *, score: float, training_id: str, test_digest: str = "t1", upper: str = "YES", points: int = POINTS
) -> None:
    """A block as `evaluate` leaves it: a recurrent training and a baseline, metrics, an example, the score file.

    Args:
        upper: what the stand-in network's settings say.
    """
    block = root / "data/runs/sample/pos_tagging"
    shutil.rmtree(block, ignore_errors=True)
    training(block / "train/recurrent", training_id, points=points)
    files.write_json(block / "train/recurrent/model/model.json", {"upper": upper})
    training(block / "train/memoryless", f"{training_id}-baseline", training="memoryless", cell="memoryless")
    ids = {"recurrent": training_id, "memoryless": f"{training_id}-baseline"}
    scores = {"recurrent": {"accuracy": score}, "memoryless": {"accuracy": 70.0}}
    metrics = {"metric": "accuracy", "direction": "max", "test_digest": test_digest, "trainings": scores}
    files.write_json(block / "metrics.json", metrics)
    example = {
        "column": "text",
        "input": "a sentence",
        "requirements": [],
        "answer": {"words": ["a", "sentence"], "longest": 8, "upper": "YES"},
    }
    about = {
        **{"task": "pos_tagging", "dataset": "sample", "metric": "accuracy", "direction": "max", "score": score},
        **{"spread": None, "best_possible": 97.0, "baselines": {"memoryless": 70.0}, "simple": [], "published": None},
        **{"seconds": 60.5, "parameters": 12345, "seeds": [1], "settings": "s", "revision": "abc"},
        **{"run_id": None, "model_version": None},
    }
    files.write_json(
        block / "evaluation/evaluated.json",
        {"trainings": ids, "chosen": "recurrent", "example": example, "score": about},
    )
    files.write_json(root / "data/scores/sample/pos_tagging.json", about)


def code(folder: Path) -> Path:
    """A stand-in for the repository's code: a `Predictor` that needs no network."""
    (folder / "rnn_core").mkdir(parents=True)
    (folder / "rnn_core/__init__.py").write_text("")
    (folder / "rnn_core/errors.py").write_text("class UserError(Exception): pass\n")
    (folder / "pipelines/using").mkdir(parents=True)
    for package in ("pipelines", "pipelines/using"):
        (folder / package / "__init__.py").write_text("")
    (folder / "pipelines/using/predictor.py").write_text(PREDICTOR)
    return folder


def rows(store: Path, query: str) -> list[tuple[Any, ...]]:
    """A query on mlflow's sqlite file, by hand: what is really there, once or twice."""
    with contextlib.closing(sqlite3.connect(f"file:{store}?mode=ro", uri=True)) as connection:
        return connection.execute(query).fetchall()


def curve(store: Path, training_id: str) -> list[tuple[Any, ...]]:
    """All stored values of the training's loss: step, value, time."""
    return rows(
        store,
        "select m.step, m.value, m.timestamp from metrics m join tags t on t.run_uuid = m.run_uuid "
        f"where t.key = 'training_id' and t.value = '{training_id}' and m.key = 'train/loss' order by m.step",
    )


def whole_curve(store: Path, training_id: str) -> list[tuple[Any, ...]]:
    """All numbers of the training's run in the order of their storing: key, step, value, time."""
    return rows(
        store,
        "select m.key, m.step, m.value, m.timestamp from metrics m join tags t on t.run_uuid = m.run_uuid "
        f"where t.key = 'training_id' and t.value = '{training_id}' order by m.rowid",
    )


def statuses(store: Path) -> list[str]:
    return [status for (status,) in rows(store, "select status from runs order by start_time")]


def wanted(points: int) -> list[tuple[Any, ...]]:
    return [(step, 1 / (step + 1), 1_000_000 + step) for step in range(points)]


def python(code: str, folder: Path, *arguments: str, **variables: str) -> subprocess.Popen[str]:
    """A fresh interpreter in another folder, without this repository's code unless `variables` names it."""
    known = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        cwd=folder,
        env=known | variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
