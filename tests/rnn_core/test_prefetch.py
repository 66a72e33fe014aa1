"""Prefetching: the same windows in any order, errors where they belong, no thread left; and on a GPU, in time."""

import threading
import time

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rnn_core import bptt
from rnn_core.lanes import Window
from rnn_core.prefetch import AHEAD, Prefetched
from tests.rnn_core import small

WINDOW = 4
needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")


def windows_of(window=WINDOW):
    return small.windows_of(small.columns_of(small.tokens(200)), window)


def alike(ours: Window, theirs: Window) -> bool:
    assert (ours.epoch, ours.draws.seed, ours.draws.update) == (theirs.epoch, theirs.draws.seed, theirs.draws.update)
    pairs = [(ours.fields[name], field) for name, field in theirs.fields.items()]
    pairs += [(ours.starts_TB, theirs.starts_TB), (ours.valid_TB, theirs.valid_TB)]
    pairs += [(ours.draws.lanes_B, theirs.draws.lanes_B)]
    return all(torch.equal(a.cpu(), b) for a, b in pairs)


class Noted:
    """Windows that know in which thread each was made."""

    def __init__(self, fails=()):
        self.windows, self.fails = windows_of(), fails
        self.made: list[int] = []
        self.threads: set[str] = set()

    def __call__(self, update):
        self.made.append(update)
        self.threads.add(threading.current_thread().name)
        if update in self.fails:
            raise ValueError(f"window {update} is damaged")
        return self.windows(update)


def wait_for(condition):
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


@given(st.lists(st.integers(0, 60), min_size=1, max_size=40), st.integers(0, 3), st.integers(0, 3))
@settings(max_examples=30, deadline=None)
def test_the_same_windows_in_any_order(updates, ahead, kept):
    windows = windows_of()
    with Prefetched(windows, "cpu", ahead=ahead, kept=kept) as ready:
        for update in updates:
            assert alike(ready(update), windows(update))


def test_the_next_ones_are_made_before_they_are_asked_for():
    noted = Noted()
    with Prefetched(noted, "cpu", ahead=2) as ready:
        ready(5)
        wait_for(lambda: noted.made == [5, 6, 7])
        ready(6)
        wait_for(lambda: noted.made == [5, 6, 7, 8])
    assert len(noted.threads) == 1
    assert threading.current_thread().name not in noted.threads


def test_windows_that_fit_asks_for_again_are_kept():
    noted = Noted()
    with Prefetched(noted, "cpu", ahead=1, kept=2) as ready:
        for update in range(10):
            for earlier in (update, *range(max(0, update - 2), update)):
                ready(earlier)
        wait_for(lambda: 10 in noted.made)
    assert sorted(noted.made) == list(range(11)), "each one once"


def test_without_windows_ahead_there_is_no_thread():
    noted = Noted()
    with Prefetched(noted, "cpu", ahead=0) as ready:
        ready(3)
    assert (noted.made, noted.threads) == ([3], {threading.current_thread().name})
    assert AHEAD.get("cpu", 0) == 0


@pytest.mark.parametrize("ahead", [0, 2])
def test_an_error_comes_with_its_own_window(ahead):
    with Prefetched(Noted(fails={2}), "cpu", ahead=ahead) as ready:
        ready(0)
        ready(1)
        with pytest.raises(ValueError, match="window 2 is damaged"):
            ready(2)
        assert alike(ready(3), windows_of()(3))


@pytest.mark.parametrize("error", [None, KeyError])
def test_no_thread_is_left(error):
    before = threading.active_count()
    try:
        with Prefetched(windows_of(), "cpu", ahead=2) as ready:
            ready(0)
            assert threading.active_count() == before + 1
            if error:
                raise error("of the caller")
    except KeyError:
        pass
    assert threading.active_count() == before


def test_it_tells_how_long_the_caller_waited():
    with Prefetched(windows_of(), "cpu", ahead=1) as ready:
        assert ready.waited == 0
        ready(0)
        first = ready.waited
        ready(1)
    assert 0 < first < ready.waited


def losses(device, **options):
    windows = windows_of()
    network = small.network_of().to(device)
    with Prefetched(windows, device, kept=2, **options) as ready:
        steps = bptt.fit(small.state_of(network), ready, rate=lambda _: 0.5, clip=small.CLIP, k2=10)
        return [next(steps).loss for _ in range(40)]


def test_a_training_is_the_same_bit_for_bit():
    assert losses("cpu", ahead=2) == losses("cpu", ahead=0)


@needs_gpu
@pytest.mark.parametrize("ahead", [0, 1, 3])
def test_on_a_gpu_each_window_has_arrived_when_it_is_used(ahead):
    """Work of the caller's stream before and after, so that a copy or a reuse of memory out of turn would show."""
    windows = windows_of()
    busy = torch.randn(2048, 2048, device="cuda")
    with Prefetched(windows, "cuda", ahead=ahead) as ready:
        sums = []
        for update in range(100):
            window = ready(update)
            busy = torch.tanh(busy @ busy)
            sums.append(window.fields["tokens_TB"].sum() + 0 * busy[0, 0].long())
            del window
        wanted = [int(windows(update).fields["tokens_TB"].sum()) for update in range(100)]
        assert [int(total) for total in sums] == wanted
        assert alike(ready(7), windows(7))


@needs_gpu
def test_on_a_gpu_a_training_is_the_same_bit_for_bit():
    assert losses("cuda", ahead=2) == losses("cuda", ahead=0)
