"""cluster/: two workers of one thread each, beside what they would do without a cluster, or without each other.

The same training function on every side (`pipelines/worker.py`). `ray`, `killed`: whole trainings in turn, since Ray's
own processes must not be there while the other side trains. `weak`, `checkpoint`: rounds of a few updates in turn.
"""

import dataclasses
import functools
import itertools
import os
import signal
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from pipelines import cluster, files, params, points
from tests.benchmarks import corpora, paired, training, turns
from tests.benchmarks.paired import figures
from tests.pipelines import small_training as small

AT_MOST = 3600
"""Seconds of a case: a limit for what never ends, and no measure."""
pytestmark = pytest.mark.timeout(AT_MOST)
WORKERS = 2
GLOO = "torch.distributed, gloo"
UPDATES = 1500
"""Of a whole training, some 10 seconds."""
EPOCH = 1000
"""Updates of the language model's, of which a case does a part."""
WEAK = {"70x64x512": (70, 64, 512, 2), "35x20x512": (35, 20, 512, 6)}
"""(T, lanes of a worker, H, updates of a round)."""
CHECKPOINT_UPDATES = 20
"""In which a state is written: longer than the disk takes."""
FOR_EVER = {"epochs": 2000, "validations_per_epoch": 1}
MEDIAN_OF_DIFFERENCES = 0.954
"""Of two draws from a normal distribution, without sign, in its standard deviations."""
QUIET = {"checkpoint_steps": 10**9, "point_steps": 10**9}


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Of the trainings; a state is written where a case asks for one, and never else."""
    monkeypatch.setenv("RNN_CHECKPOINT_SECONDS", str(10**9))
    return monkeypatch


@pytest.mark.parametrize("launcher", [pytest.param("torchrun", id="cluster/ray")])
def test_ray(compare: Any, record: Any, tmp_path: Path, launcher: str) -> None:
    settings = params.block("sample", "language_model").trainings[0]
    sizes = {"lanes": settings.train.lanes, "window": settings.train.window}
    data = training.language_model_folder(tmp_path / "data", updates=UPDATES, vocabulary=200, **sizes)
    train = dataclasses.asdict(settings.train) | {"epochs": 1}
    computed: list[list[tuple]] = []
    number = itertools.count()

    def whole(**by: bool) -> float:
        """A training from its start to its end; updates a second of it, without the start of its workers."""
        path = small.write_job(tmp_path / f"job-{next(number)}", data, model=settings.model, **train)
        with small.Running(path, WORKERS, **by) as running:
            running.finish(AT_MOST)
        computed.append(small.numbers(points.read(path / "training")))
        assert computed[-1] == computed[0]
        finished = files.read_json(path / "training/finished.json")
        return finished["steps"] / finished["seconds"]

    pairs = compare(lambda: whole(ray=True), lambda: whole(torchrun=True))
    ours, theirs = ([speed for _, speed in side] for side in (pairs.ours, pairs.theirs))
    record(
        figures(ours, theirs, "updates/s", [a / b for a, b in zip(ours, theirs, strict=True)]),
        shape={"T": settings.train.window, "B": settings.train.lanes // WORKERS, "H": settings.model["hidden_size"]},
        path="Ray Train",
        alternative=launcher,
        threads=WORKERS,
    )


@pytest.mark.parametrize("case", [pytest.param(case, id=f"cluster/weak/{name}") for name, case in WEAK.items()])
def test_weak(compare: Any, record: Any, tmp_path: Path, environment: Any, case: tuple[int, int, int, int]) -> None:
    window, lanes, hidden_size, updates = case
    both = language_model(tmp_path / "both", window, lanes * WORKERS, hidden_size)
    each = [language_model(tmp_path / f"alone-{n}", window, lanes, hidden_size) for n in range(WORKERS)]
    tokens = float(WORKERS * updates * window * lanes)

    def work(side: turns.Side) -> float:
        side.go()
        return tokens

    with turns.together(both, updates, WORKERS) as group, turns.apart(each, updates) as alone:
        pairs = compare(lambda: work(group), lambda: work(alone))
        own_WN, sums_WN = group.seconds()
    about = {"shape": shape(window, lanes, hidden_size), "path": GLOO, "threads": WORKERS}
    record(pairs.rates("tokens/s"), alternative="two trainings alone", **about)
    whole_N = (own_WN + sums_WN).mean(0)
    about["alternative"] = "the whole update"
    record(share(sums_WN.mean(0), whole_N), part="/communication", **about)
    record(share(sums_WN.min(0), whole_N), part="/sum", **about)
    # From one update to the next: what is slow for long is no jitter.
    varies_N = np.abs(np.diff(own_WN)).ravel() / MEDIAN_OF_DIFFERENCES
    record(share(varies_N, own_WN[:, 1:].ravel()), part="/jitter", **about | {"alternative": "a worker's own part"})


@pytest.mark.parametrize(
    "storage", [pytest.param(False, id="cluster/checkpoint"), pytest.param(True, id="cluster/checkpoint/storage")]
)
def test_checkpoint(compare: Any, record: Any, tmp_path: Path, environment: Any, storage: bool) -> None:
    window, lanes, hidden_size, _ = WEAK["35x20x512"]
    path = language_model(tmp_path / "job", window, lanes * WORKERS, hidden_size)
    if storage:
        environment.setenv("RNN_STORAGE", str(tmp_path / "storage"))
        environment.setenv("RNN_NODE_FOLDER", str(tmp_path / "node"))
    with turns.together(path, CHECKPOINT_UPDATES, WORKERS) as group:
        pairs = compare(functools.partial(_round, group, True), functools.partial(_round, group, False))
    written = list(tmp_path.rglob("step-*/state.json"))
    assert written, "no training state was written"
    interval = cluster.Resources.checkpoint_seconds
    took = [with_one - without for (with_one, _), (without, _) in zip(pairs.ours, pairs.theirs, strict=True)]
    record(
        figures([1000 * s for s in took], [1000 * interval] * len(took), "share", [s / interval for s in took]),
        shape=shape(window, lanes, hidden_size),
        path="written beside training" + ", sent to a storage" * storage,
        alternative="the default interval",
        threads=WORKERS,
    )


@pytest.mark.parametrize("launcher", [pytest.param("Ray Train", id="cluster/killed")])
def test_killed(compare: Any, record: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, launcher: str) -> None:
    """Updates since the last state, which are computed again, come on top: here there are next to none."""
    monkeypatch.setenv("RNN_CHECKPOINT_SECONDS", "1")
    data = small.write_data(tmp_path / "data")
    starts: list[float] = []
    number = itertools.count()

    def killed() -> float:
        path = small.write_job(tmp_path / f"job-{next(number)}", data, **FOR_EVER)
        began = time.perf_counter()
        with small.Running(path, WORKERS, ray=True) as running:
            running.wait_for(1)
            starts.append(time.perf_counter() - began)
            running.wait_until(lambda: list((path / "training/state").glob("step-*/state.json")))
            (driver,) = running.processes
            before = small.workers_of(driver.pid)
            os.kill(before[-1], signal.SIGKILL)
            died = time.perf_counter()
            # Until then another of them may still end its update.
            running.wait_until(lambda: not any(map(psutil.pid_exists, before)))
            step = running.points()[-1]["step"]
            running.wait_for(step + 1)
            return time.perf_counter() - died

    # One training has both: its start is the other side.
    pairs = compare(killed, lambda: 0.0)
    deaths = [seconds for _, seconds in pairs.ours]
    starts = starts[-len(deaths) :]
    record(
        figures(deaths, starts, "s", [start / death for death, start in zip(deaths, starts, strict=True)]),
        shape={"T": small.TRAIN["window"], "H": small.MODEL["hidden_size"]},
        path=launcher,
        alternative="from a start by hand to the first update",
        threads=WORKERS,
    )


def language_model(path: Path, window: int, lanes: int, hidden_size: int) -> Path:
    """A job of two tied layers over as many words as Penn Treebank has, without dropout, and its data."""
    vocabulary = corpora.VOCABULARY
    data = training.language_model_folder(
        path / "data", updates=EPOCH, lanes=lanes, window=window, vocabulary=vocabulary
    )
    model = small.MODEL | {"embedding_size": hidden_size, "hidden_size": hidden_size, "tie": True}
    model |= {"input_dropout": 0.0, "dropout": 0.0}
    train = {"lanes": lanes, "window": window, "k2": window, **FOR_EVER, **QUIET}
    return small.write_job(path / "job", data, model=model, **train)


def shape(window: int, lanes: int, hidden_size: int) -> dict[str, int]:
    """Of `language_model`, lanes of one worker."""
    vocabulary, gates = corpora.VOCABULARY, 4 * hidden_size
    layer = gates * (2 * hidden_size + 1)
    parameters = vocabulary * hidden_size + 2 * layer + vocabulary
    return {"T": window, "B": lanes, "H": hidden_size, "V": vocabulary, "P": parameters, "workers": WORKERS}


def share(part_N: Any, whole_N: Any) -> paired.Figures:
    """Seconds of each update, as milliseconds and as a share."""
    return figures(list(1000 * part_N), list(1000 * whole_N), "share", list(part_N / whole_N))


def _round(group: turns.Side, save: bool) -> float:
    group.go(save)
    return 1.0
