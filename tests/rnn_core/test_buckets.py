"""Pairs in length buckets: every pair once an epoch, whoever works; little padding; a pure function of its numbers."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rnn_core.buckets import Buckets
from rnn_core.errors import ConfigError
from rnn_core.lanes import lane_slice

PAIRS = st.lists(st.tuples(st.integers(1, 9), st.integers(1, 9)), min_size=1, max_size=40)


def buckets(pairs, lanes=3, seed=0, window=9):
    sources_N, lengths_N = (np.array(side, np.int64) for side in zip(*pairs, strict=True))
    offsets_N = np.cumsum(lengths_N) - lengths_N
    return Buckets(offsets_N, lengths_N, sources_N, lanes=lanes, window=window, seed=seed), offsets_N, lengths_N


def epoch_of(filling, epoch, lanes):
    return [filling.place(epoch, step, lanes) for step in range(filling.windows_per_epoch)]


@given(pairs=PAIRS, lanes=st.integers(1, 7), epoch=st.integers(0, 3), seed=st.sampled_from([None, 5]))
def test_every_pair_stands_once_in_a_lane_of_its_own(pairs, lanes, epoch, seed):
    filling, offsets_N, lengths_N = buckets(pairs, lanes, seed)
    found = []
    for positions_TB, starts_TB in epoch_of(filling, epoch, slice(0, lanes)):
        assert positions_TB.shape == starts_TB.shape
        assert positions_TB.shape[1] == lanes
        assert starts_TB[0].all()
        for steps_T, marks_T in zip(positions_TB.T, starts_TB.T, strict=True):
            real = steps_T[steps_T >= 0]
            assert (steps_T[: len(real)] == real).all()
            assert marks_T.nonzero()[0].tolist() in ([0], [0, len(real)] if len(real) else [0])
            if len(real):
                found.append(int(np.searchsorted(offsets_N, real[0])))
                assert real.tolist() == list(range(offsets_N[found[-1]], offsets_N[found[-1]] + lengths_N[found[-1]]))
    assert sorted(found) == list(range(len(pairs)))


@given(pairs=PAIRS, lanes=st.integers(2, 7), workers=st.integers(1, 7))
def test_workers_together_have_what_one_has(pairs, lanes, workers):
    filling, *_ = buckets(pairs, lanes)
    slices = [lane_slice(lanes, rank, min(workers, lanes)) for rank in range(min(workers, lanes))]
    for step in range(filling.windows_per_epoch):
        whole, _ = filling.place(1, step, slice(0, lanes))
        parts = [filling.place(1, step, lanes_)[0] for lanes_ in slices]
        assert max(len(part) for part in parts) == len(whole)
        grown = [np.pad(part, ((0, len(whole) - len(part)), (0, 0)), constant_values=-1) for part in parts]
        assert np.array_equal(np.hstack(grown), whole)


def test_order_is_a_function_of_seed_and_epoch():
    pairs = [(1 + n % 4, 1 + n % 3) for n in range(60)]

    def order(seed, epoch):
        placed = epoch_of(buckets(pairs, seed=seed)[0], epoch, slice(0, 3))
        return [positions_TB.tolist() for positions_TB, _ in placed]

    assert order(1, 2) == order(1, 2)
    assert order(1, 2) != order(1, 3)
    assert order(1, 2) != order(2, 2)
    assert order(None, 0) == order(None, 1)
    filling, *_ = buckets(pairs, seed=1)
    jumping = [filling.place(epoch, 7, slice(0, 3))[0].tolist() for epoch in (2, 3, 2)]
    assert jumping == [order(1, epoch)[7] for epoch in (2, 3, 2)]


def test_padding_is_rare_and_reported_as_it_is():
    rng = np.random.default_rng(0)
    sources_N = rng.poisson(12, 20_000) + 2
    lengths_N = np.maximum(1, np.round(sources_N * rng.normal(1.1, 0.15, 20_000))).astype(np.int64)
    filling, *_ = buckets(list(zip(sources_N.tolist(), lengths_N.tolist(), strict=True)), lanes=64, window=60)
    placed = epoch_of(filling, 0, slice(0, 64))
    padded = sum(int((positions_TB < 0).sum()) for positions_TB, _ in placed)
    assert filling.pad_share == pytest.approx(padded / sum(positions_TB.size for positions_TB, _ in placed))
    assert filling.pad_share < 0.05
    assert filling.source_pad_share < 0.05


def test_what_is_longer_than_a_window_is_refused():
    for pairs in ([(1, 10)], [(10, 1)]):
        with pytest.raises(ConfigError, match="train.window: a sequence of 10 steps is longer than a window of 9"):
            buckets(pairs)
