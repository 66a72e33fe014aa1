"""The benchmarks' own parts, small: no clock decides here. The cases themselves run by `make bench` alone."""

import importlib
import os
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import psutil
import pytest
import torch

from pipelines import performance, points
from rnn_core.lanes import Pack, Stream
from tests.benchmarks import bench_step, bench_varlen, cases, corpora, paired, plain, products, training, turns
from tests.benchmarks.harness import FOLDER
from tests.pipelines import small_training as small


class Benchmark:
    """In the place of pytest-benchmark's fixture."""

    def __init__(self) -> None:
        self.stats = SimpleNamespace(stats=SimpleNamespace(data=[]))

    def pedantic(self, target: Callable[[], Any], setup: Callable[[], None], rounds: int) -> None:
        for _ in range(rounds):
            setup()
            begin = time.perf_counter()
            target()
            self.stats.stats.data.append(time.perf_counter() - begin)


def test_both_sides_run_in_turn() -> None:
    order: list[str] = []

    def side(name: str, work: float) -> Callable[[], float]:
        def run() -> float:
            order.append(name)
            return work

        return run

    pairs = paired.compare(Benchmark(), side("ours", 3), side("theirs", 2), seconds=0)
    assert order == ["theirs", "ours"] * (2 + paired.LEAST_ROUNDS)
    assert [work for _, work in pairs.ours] == [3] * paired.LEAST_ROUNDS
    assert [work for _, work in pairs.theirs] == [2] * paired.LEAST_ROUNDS


def test_ratios_are_those_of_the_pairs() -> None:
    pairs = paired.Pairs(ours=[(1.0, 10), (2.0, 10), (4.0, 10)], theirs=[(2.0, 5), (6.0, 5), (4.0, 5)])
    times = pairs.times()
    assert (times.ours, times.theirs, times.ratio, times.spread) == (2000, 4000, 2, (1.5, 2.5))
    rates = pairs.rates("words/s")
    assert (rates.ours, rates.theirs, rates.ratio) == (5, 1.25, 4)
    assert pairs.shares().ratio == 0.5


def test_what_ours_take_beyond_theirs() -> None:
    found = paired.extra([1.01, 2.04, 3.0], [1.0, 2.0, 3.0])
    assert (found.unit, found.ours, found.theirs) == ("share", pytest.approx(10), 2000)
    assert (found.ratio, found.spread) == (pytest.approx(0.01), pytest.approx((0.005, 0.015)))


def test_names_of_all_cases() -> None:
    names = []
    for path in FOLDER.glob("bench_*.py"):
        module = importlib.import_module(f"tests.benchmarks.{path.stem}")
        marks = [mark for value in vars(module).values() for mark in getattr(value, "pytestmark", [])]
        names += [case.id for mark in marks for case in mark.args[1]]
    assert len(names) == len(set(names))
    assert {name.partition("/")[0] for name in names} == set(performance.GROUPS)


def test_lengths_are_those_of_the_treebank() -> None:
    assert (len(corpora.train_N), corpora.train_N.sum(), corpora.train_N.max()) == (12_544, 204_577, 159)
    assert 12 < corpora.starts(100, 50).size / corpora.starts(100, 50).sum() < 20


def test_plain_language_model_has_our_losses(tmp_path: Path) -> None:
    lanes, window = 3, 5
    tokens = (corpora.tokens(lanes * window * 4 + 1) % 11).astype(np.int32)
    network = training.language_model_network(11, 8).double()
    model = plain.LanguageModel(network).double()
    windows = training.language_model_windows(tmp_path, tokens, lanes, window)
    ours = training.fit(network, windows, lanes, "sgd", rate=1.0, clip=0.25)
    theirs = plain.train_language_model(model, training.columns(tokens, lanes), window=window, rate=1.0, clip=0.25)
    for _ in range(10):
        # torch's clip adds 1e-6 to the norm.
        assert next(ours).loss == pytest.approx(next(theirs), abs=1e-5)


def test_plain_tagger_has_our_loss(tmp_path: Path) -> None:
    rows, sidecar = training.encode(corpora.sentences(40, training.TAGGER_WINDOW))
    network = training.tagger_network(sidecar, 8)
    windows = training.tagger_windows(tmp_path, rows)
    model = plain.Tagger(network)
    bench_step.assert_same_loss(network, model, windows, rows)
    loss, words = next(plain.train_tagger(model, plain.batches(rows, 7), rate=0.1, clip=1.0))
    assert loss > 0
    assert words == sum(len(row["words"]) for row in rows[:7])


@pytest.mark.parametrize("cell", ["lstm", "gru"])
@pytest.mark.parametrize("both", [False, True])
def test_varlen_compares_the_same(cell: str, both: bool) -> None:
    stack = cases.stack(cell, 6, 5, both)
    theirs = plain.layer(cell, *(layer.cell for layer in (*stack.forwards, *stack.backwards)))
    words = bench_varlen.Words(6, stack.output_size, 64)
    filling = (Pack if both else Stream)(*words.sequences, lanes=4, window=64, seed=1)
    windows = list(words.windows(filling, 1))
    bench_varlen.assert_same(stack, theirs, words, windows)
    batches = words.batches("bucketed")
    assert [batch.run(theirs) for batch in batches] == [len(batch.dh) for batch in batches]
    assert bench_varlen.Ours(stack, windows)() == (windows[0].positions_TB >= 0).sum()


def test_products_of_a_layer_are_counted() -> None:
    calls: list[tuple[int, ...]] = []

    class Counted(torch.utils._python_dispatch.TorchDispatchMode):
        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            out = func(*args, **(kwargs or {}))
            if func.overloadpacket in (torch.ops.aten.mm, torch.ops.mkldnn._linear_pointwise):
                calls.append(tuple(sorted(out.shape)))
            return out

    run = products.of_layer(torch.randn(12, 5), torch.randn(12, 4), num_steps=7, lanes=3)
    with Counted():
        run()
    once, each_step = [(12, 21), (5, 21), (5, 12), (4, 12)], [(3, 12), (3, 4)]
    assert sorted(calls) == sorted([*once, *each_step * 7])


def test_trainings_stand_still_between_rounds_and_leave_a_state_when_they_are_asked_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RNN_CHECKPOINT_SECONDS", str(10**9))
    data = small.write_data(tmp_path / "data")
    path = small.write_job(tmp_path / "job", data, checkpoint_steps=10**6)
    states = path / "training/state"
    with turns.together(path, 3, workers=2) as side:
        for save in (False, True, False):
            side.go(save)
            assert (list(states.glob("step-*")) != []) <= (len(side.rounds) > 1)
        own_WN, sums_WN = side.seconds()
    assert own_WN.shape == sums_WN.shape == (2, 6)
    assert (own_WN > 0).all()
    assert (sums_WN > 0).all()
    steps = [point["step"] for point in points.read(path / "training")]
    assert steps == list(range(1, 10)), "three rounds of three updates, and the one that is held at its sum"
    assert [folder.name for folder in states.glob("step-*")] == ["step-00000004"]


def test_a_process_that_does_not_end_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paired, "END_SECONDS", 0.1)
    with paired.served(_never_ends) as pipe:
        number = pipe.recv()
    assert not psutil.pid_exists(number)


def _never_ends(pipe: Any) -> None:
    pipe.send(os.getpid())
    time.sleep(600)


def test_torchs_launcher_trains_the_same(tmp_path: Path) -> None:
    data = small.write_data(tmp_path / "data")
    path, alone = (small.write_job(tmp_path / name, data, epochs=1, dtype="float64") for name in ("job", "alone"))
    with small.Running(path, 2, torchrun=True) as running:
        running.finish()
    ours, whole = small.losses(points.read(path / "training")), small.losses(small.train(alone, 1))
    assert len(ours) == small.UPDATES_PER_EPOCH
    np.testing.assert_allclose(ours, whole, rtol=1e-9)
