"""Lanes: every step of the data stands in exactly one place, whatever the workers; little is padded."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rnn_core.errors import ConfigError
from rnn_core.lanes import Pack, Stream, Windows, lane_slice

lengths = st.lists(st.integers(1, 12), min_size=1, max_size=40)


def offsets_of(lengths_N):
    return np.cumsum(lengths_N) - lengths_N


def epoch_of(filling, epoch=0, lanes=slice(None)):
    places = [filling.place(epoch, step, lanes) for step in range(filling.windows_per_epoch)]
    return np.concatenate([p for p, _ in places]), np.concatenate([s for _, s in places])


@given(lengths, st.integers(1, 6), st.integers(1, 9), st.sampled_from([None, 3]))
@settings(max_examples=40, deadline=None)
def test_stream_reads_each_step_once_and_in_order(lengths_N, lanes, window, seed):
    lengths_N = np.array(lengths_N)
    stream = Stream(offsets_of(lengths_N), lengths_N, lanes=lanes, window=window, seed=seed)
    positions_TB, starts_TB = epoch_of(stream, epoch=2)
    read = positions_TB.T[positions_TB.T >= 0]
    assert sorted(read) == list(range(lengths_N.sum()))
    firsts = set(offsets_of(lengths_N))
    for lane in range(lanes):
        places = positions_TB[:, lane]
        for t, position in enumerate(places):
            if position < 0:
                assert (places[t:] < 0).all(), "padding stands at the end of a lane"
                break
            begins = t == 0 or position in firsts
            assert starts_TB[t, lane] == begins
            if not begins:
                assert position == places[t - 1] + 1


@given(st.lists(st.integers(1, 20), min_size=1, max_size=60), st.integers(1, 5), st.sampled_from([None, 1]))
@settings(max_examples=40, deadline=None)
def test_pack_keeps_sequences_whole(lengths_N, lanes, seed):
    lengths_N = np.array(lengths_N)
    filling = Pack(offsets_of(lengths_N), lengths_N, lanes=lanes, window=20, seed=seed)
    begins = dict(zip(offsets_of(lengths_N).tolist(), lengths_N.tolist(), strict=True))
    seen = []
    for step in range(filling.windows_per_epoch):
        positions_TB, starts_TB = filling.place(1, step, slice(None))
        assert positions_TB.shape == (20, lanes)
        for lane in range(lanes):
            t = 0
            while t < 20 and positions_TB[t, lane] >= 0:
                begin = int(positions_TB[t, lane])
                length = begins[begin]
                assert starts_TB[t, lane]
                assert not starts_TB[t + 1 : t + length, lane].any()
                assert (positions_TB[t : t + length, lane] == np.arange(begin, begin + length)).all()
                seen.append(begin)
                t += length
            assert (positions_TB[t:, lane] < 0).all()
            assert t == 20 or starts_TB[t, lane], "padding begins with a mark of its own"
    assert sorted(seen) == sorted(begins)


def test_an_epoch_has_an_order_of_its_own_that_a_restart_finds_again():
    lengths_N = np.random.default_rng(0).integers(1, 30, 200)
    make = lambda: Pack(offsets_of(lengths_N), lengths_N, lanes=4, window=32, seed=7)  # noqa: E731
    first, second = epoch_of(make(), 0)[0], epoch_of(make(), 1)[0]
    assert (first != second).any()
    late = make()
    assert (late.place(1, 3, slice(None))[0] == second[3 * 32 : 4 * 32]).all()


def test_workers_divide_the_lanes_and_read_the_same_steps():
    lengths_N = np.random.default_rng(0).integers(1, 30, 300)
    for filling in (
        Pack(offsets_of(lengths_N), lengths_N, lanes=7, window=32, seed=7),
        Stream(offsets_of(lengths_N), lengths_N, lanes=7, window=32, seed=7),
    ):
        whole = epoch_of(filling)[0]
        for workers in (2, 3, 7):
            slices = [lane_slice(7, rank, workers) for rank in range(workers)]
            assert (np.concatenate([epoch_of(filling, 0, s)[0] for s in slices], axis=1) == whole).all()


def like_sentences(count, longest):
    """Lengths spread like those of English sentences: mean 16, one in a hundred above 60."""
    return np.clip(np.random.default_rng(0).gamma(1.6, 10.2, count).astype(int), 1, longest)


@pytest.mark.parametrize(("lanes", "window"), [(8, 160), (32, 64), (32, 40)])
def test_little_is_padded(lanes, window):
    lengths_N = like_sentences(5000, window)
    assert Pack(offsets_of(lengths_N), lengths_N, lanes=lanes, window=window, seed=1).pad_share < 0.02
    assert Stream(offsets_of(lengths_N), lengths_N, lanes=20, window=35).pad_share < 0.05


def test_a_cut_carry_marks_each_window():
    stream = Stream(np.array([0]), np.array([40]), lanes=2, window=5, carries=False)
    starts_TB = epoch_of(stream)[1]
    assert starts_TB[::5].all()
    assert starts_TB.sum() == 2 * 4


def test_draws_name_the_lanes_of_the_whole_batch():
    stream = Stream(np.array([0]), np.array([40]), lanes=4, window=5)
    fields = lambda positions_TB: {"tokens_TB": torch.from_numpy(positions_TB)}  # noqa: E731
    window = Windows(filling=stream, assemble=fields, lanes=slice(1, 3), seed=5)(3)
    assert window.draws.lanes_B.tolist() == [1, 2]
    assert (window.draws.seed, window.draws.update, window.epoch) == (5, 3, 1)
    assert Windows(filling=stream, assemble=fields, lanes=slice(1, 3))(3).draws is None


def test_errors_name_the_setting():
    with pytest.raises(ConfigError, match="train.window.*a sequence of 30 steps fits no lane of a window of 20"):
        Pack(np.array([0]), np.array([30]), lanes=2, window=20)
    with pytest.raises(ConfigError, match="RNN_WORKERS.*5 workers for 4 lanes"):
        lane_slice(4, 0, 5)
    with pytest.raises(ConfigError, match="train.lanes"):
        Stream(np.array([0]), np.array([30]), lanes=0, window=20)
    with pytest.raises(ConfigError, match="no sequences"):
        Stream(np.array([], int), np.array([], int), lanes=1, window=20)
