"""tracking/: what sending a training's points costs it, and what a server costs that is slow, away, or gone midway.

The same training in turn with a tracking server beside it and without one, in a process of its own as a worker is;
this process is the driver. Its time is the training's own (`/training`), and with the end, at which the driver waits
for the last points to arrive (`/whole`).
"""

import contextlib
import dataclasses
import functools
import os
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pipelines import files, params, tracking, ui, versions, worker
from pipelines.job import Job
from tests import slow_proxy
from tests.benchmarks import paired, training
from tests.benchmarks.paired import Work

VOCABULARY = 200
STEPS = 1500
"""Updates of a training: at some 6 ms, 9 seconds."""
SLOW_SECONDS = 2.0
GONE_SECONDS = 3.0
Around = contextlib.AbstractContextManager[None]


def job(folder: Path, threads: int) -> Job:
    """The sample suite's language model by its shipped settings, for one epoch."""
    block = params.block("sample", "language_model")
    settings = block.trainings[0]
    return Job(
        name="recurrent",
        folder=folder / "training",
        arrow=folder / "arrow",
        task=block.task,
        model=settings.model,
        train=dataclasses.replace(settings.train, epochs=1),
        metric=block.evaluate.metric,
        key="benchmark",
        threads=threads,
        checkpoint_seconds=60,
        versions=versions.here(block.task),
    )


def trainer(folder: Path, threads: int) -> Work:
    """A whole training each time it is called; gives its own seconds."""

    def work() -> float:
        one = job(folder, threads)
        worker.train(one, "cpu")
        return float(files.read_json(one.folder / "finished.json")["seconds"])

    return work


def prepare(one: Job, number: int) -> None:
    """The training's folder as the driver leaves it to the workers, in the place of the last one."""
    shutil.rmtree(one.folder, ignore_errors=True)
    about = {"training_id": f"t{number}", "suite": "sample", "block": "benchmark", "dataset": "ptb", "data_digest": "d"}
    about |= {"training": "recurrent", "cell": "lstm", "kind": "language_model", "task": one.task, "key": one.key}
    files.write_json(one.folder / "run.json", about | {"status": "running"})
    files.write_json(one.folder / "params.json", {"metric": one.metric})


@contextlib.contextmanager
def store(home: Path) -> Iterator[Callable[[], Around]]:
    """The default: the sqlite file of the checkout, no server."""
    yield contextlib.nullcontext


@contextlib.contextmanager
def server(home: Path, seconds: float = 0.0) -> Iterator[Callable[[], Around]]:
    """A server on this machine, that holds back each answer for `seconds`."""
    with (
        ui.serve(f"sqlite:///{home}/mlflow.db", ui.free_port(0)) as (address, _),
        slow_proxy.slowed(int(address.rpartition(":")[2]), seconds) as slowed,
    ):
        yield functools.partial(_named, slowed if seconds else address)


@contextlib.contextmanager
def away(home: Path) -> Iterator[Callable[[], Around]]:
    """Nobody listens, from the start to the end."""
    yield functools.partial(_named, f"http://127.0.0.1:{ui.free_port(0)}")


@contextlib.contextmanager
def gone(home: Path) -> Iterator[Callable[[], Around]]:
    """A server that is killed when the training is on its way, and does not come back."""
    yield functools.partial(_killed, home)


@contextlib.contextmanager
def _named(address: str) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("MLFLOW_TRACKING_URI", address)
        yield


@contextlib.contextmanager
def _killed(home: Path) -> Iterator[None]:
    with ui.serve(f"sqlite:///{home}/mlflow.db", ui.free_port(0)) as (address, process), _named(address):
        kill = threading.Timer(GONE_SECONDS, os.killpg, (process.pid, signal.SIGKILL))
        kill.start()
        yield
        kill.join()


SITUATIONS = {
    "store": (store, "the store of the checkout, the default"),
    "server": (server, "a server on the same machine"),
    "slow": (functools.partial(server, seconds=SLOW_SECONDS), f"a server that answers after {SLOW_SECONDS:g} s"),
    "away": (away, "a server that is not there"),
    "gone": (gone, f"a server killed after {GONE_SECONDS:g} s"),
}
CASES = [pytest.param(name, id=f"tracking/{name}") for name in SITUATIONS]


@pytest.mark.parametrize("situation", CASES)
def test_tracking(
    compare: Any, record: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, threads: int, situation: str
) -> None:
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    one = job(tmp_path, threads)
    training.language_model_folder(
        one.arrow, updates=STEPS, lanes=one.train.lanes, window=one.train.window, vocabulary=VOCABULARY
    )
    tracking.connect()  # makes the store
    around, path = SITUATIONS[situation]
    took: list[float] = []
    with around(tmp_path) as tracked, paired.elsewhere(trainer, tmp_path, threads) as train:

        def ours() -> float:
            with tracked():
                began = time.perf_counter()
                prepare(one, len(took))
                with tracking.Live(one.folder):
                    seconds = train()
                took.append(time.perf_counter() - began)
            return seconds

        def theirs() -> float:
            prepare(one, -1)
            return train()

        pairs = compare(ours, theirs)
    own = [seconds for _, seconds in pairs.ours]
    alone = [seconds for _, seconds in pairs.theirs]
    whole = [seconds for seconds, _ in pairs.theirs]
    about = {"shape": {"T": one.train.window, "B": one.train.lanes, "H": one.model["hidden_size"]}, "path": path}
    about["alternative"] = "no tracking"
    record(paired.extra(own, alone), part="/training", **about)
    record(paired.extra(took[-len(own) :], whole), part="/whole", **about)
