"""Windows of varying length: each step of the data once, in order, wherever an epoch is cut."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rnn_core import bptt
from rnn_core.errors import ConfigError
from rnn_core.lanes import Pack, Stream, Windows, lane_slice
from rnn_core.models import language_model
from rnn_core.text.varied import relative_length, varied
from tests.rnn_core.small import LANES, columns_of, network_of, state_of, tokens


def offsets_of(lengths_N):
    return np.cumsum(lengths_N) - lengths_N


def pair(lengths_N, lanes, window, spread, seed=3):
    """A stream and the same one in windows of varying length."""
    stream = Stream(offsets_of(lengths_N), lengths_N, lanes=lanes, window=window, seed=seed)
    return stream, varied(stream, spread, seed)


def epoch_of(filling, epoch, lanes=slice(None)):
    places = [filling.place(epoch, step, lanes) for step in range(filling.windows_per_epoch)]
    return places, np.concatenate([p for p, _ in places]), np.concatenate([s for _, s in places])


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 12), min_size=1, max_size=40), st.integers(1, 6), st.integers(1, 9), st.floats(0.01, 8))
def test_an_epoch_is_the_streams_own_cut_elsewhere(lengths_N, lanes, window, spread):
    stream, filling = pair(np.array(lengths_N), lanes, window, spread)
    assert filling.windows_per_epoch == stream.windows_per_epoch
    _, whole, starts = epoch_of(stream, 2)
    places, cut, cut_starts = epoch_of(filling, 2)
    assert all(len(positions_TB) >= 1 for positions_TB, _ in places)
    assert len(cut) == stream.lane_steps
    assert (cut == whole[: stream.lane_steps]).all()
    # Padding is marked where it begins in a window: the marks of steps are those of the stream.
    assert (cut_starts == starts[: stream.lane_steps])[cut >= 0].all()
    assert filling.pad_share == pytest.approx((cut < 0).mean())


def test_lengths_are_spread_about_the_usual_one_and_anew_each_epoch():
    _, filling = pair(np.array([70_000]), 2, 70, 5.0)
    lengths = np.array([[relative_length(filling, e * 500 + n) for n in range(500)] for e in range(3)]) * 70
    assert (lengths[0] != lengths[1]).mean() > 0.8
    assert lengths.mean() == pytest.approx(70, abs=0.2)
    usual = lengths[lengths > 55]
    assert usual.std() == pytest.approx(5.0, rel=0.15)
    assert (lengths < 50).mean() == pytest.approx(0.05, abs=0.03)
    assert lengths.min() >= 70 / 8


def test_a_restart_and_other_workers_find_the_same_windows():
    lengths_N = np.random.default_rng(0).integers(1, 30, 300)
    _, filling = pair(lengths_N, 7, 20, 4.0)
    _, late = pair(lengths_N, 7, 20, 4.0)
    for number in (5, 3, 30):
        whole, starts = filling.place(1, number, slice(None))
        again, _ = late.place(1, number, slice(None))
        assert (whole == again).all()
        for workers in (2, 3):
            parts = [filling.place(1, number, lane_slice(7, rank, workers)) for rank in range(workers)]
            assert (np.concatenate([p for p, _ in parts], axis=1) == whole).all()
            assert (np.concatenate([s for _, s in parts], axis=1) == starts).all()


def test_every_steps_loss_counts_once_and_the_carry_goes_on():
    """A training's counts over an epoch; hidden states as those of the stream read in one piece."""
    columns, network = columns_of(tokens(200)), network_of(dropout=0.0)
    stream = language_model.filling(columns, lanes=LANES, window=9, seed=4, carries=True)
    windows = Windows(
        filling=varied(stream, 3.0, 4), assemble=language_model.assemble(columns), lanes=slice(0, LANES), seed=4
    )
    whole = Windows(
        filling=Stream(np.array([0]), np.array([199]), lanes=LANES, window=stream.lane_steps),
        assemble=language_model.assemble(columns),
        lanes=slice(0, LANES),
    )
    carry = network.initial_carry(LANES)
    read = torch.cat([hidden for _, hidden in bptt.read(network, windows, carry)])
    at_once = torch.cat([hidden for _, hidden in bptt.read(network, whole, carry)])
    torch.testing.assert_close(read[:66], at_once[:66], rtol=1e-12, atol=1e-12)
    steps = itertools.islice(
        bptt.fit(state_of(network), windows, rate=lambda update: 0.1, clip=1.0), windows.per_epoch * 2
    )
    counts = [step.count for step in steps]
    assert sum(counts[: windows.per_epoch]) == sum(counts[windows.per_epoch :]) == 199
    assert len(set(counts)) > 3


def test_whole_sequences_cannot_be_cut():
    packed = Pack(np.array([0]), np.array([5]), lanes=1, window=8)
    with pytest.raises(
        ConfigError, match="train.window_spread: found 2.0 with whole sequences in each window; 0; only"
    ):
        varied(packed, 2.0, 1)
    assert varied(packed, 0.0, 1) is packed
    assert relative_length(packed, 3) == 1.0
