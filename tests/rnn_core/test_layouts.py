"""Steps laid out anew: each once, in order, and back again; nothing goes into the empty ones."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rnn_core import cells
from rnn_core.kernels import both
from rnn_core.kernels.layouts import Layout, Mover, repacked, stretched
from tests.rnn_core.test_both import apart

WINDOWS = st.tuples(st.integers(1, 20), st.integers(1, 6), st.sampled_from([0.0, 0.1, 0.5, 1.0]), st.integers(0, 999))


def window(steps: int, lanes: int, share: float, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).random((steps, lanes)) < share


def check(layout: Layout, starts_TB: np.ndarray, gap: int) -> None:
    """That sequences stay whole and in order, with `gap` empty steps between two of a lane."""
    places_TB = layout.places_TB
    assert len(set(places_TB.ravel().tolist())) == places_TB.size
    step_TB, lane_TB = np.divmod(places_TB, layout.num_lanes)
    inside_TB = ~starts_TB[1:]
    assert (np.diff(lane_TB, axis=0)[inside_TB] == 0).all()
    assert (np.diff(step_TB, axis=0)[inside_TB] == 1).all()
    starts_SL = np.zeros((layout.num_steps, layout.num_lanes), bool)
    starts_SL.ravel()[places_TB[starts_TB]] = True
    empty_SL = layout.empty_M().reshape(starts_SL.shape)
    for lane, end in enumerate(layout.ends_L):
        begins = np.flatnonzero(starts_SL[:end, lane])
        assert empty_SL[end:, lane].all()
        assert not empty_SL[end - 1, lane]
        assert empty_SL[:end, lane].sum() == gap * (begins > 0).sum()
        assert all(empty_SL[begin - gap : begin, lane].all() for begin in begins if begin)


@settings(max_examples=60, deadline=None)
@given(WINDOWS)
def test_stretched_keeps_the_lanes(drawn: tuple[int, int, float, int]) -> None:
    resets_TB = window(*drawn)
    layout = stretched(resets_TB)
    assert (layout.places_TB % layout.num_lanes == np.arange(drawn[1])).all()
    assert layout.num_steps == drawn[0] + resets_TB[1:].sum(0).max(initial=0)
    check(layout, resets_TB, 1)


@settings(max_examples=60, deadline=None)
@given(WINDOWS, st.integers(0, 1))
def test_repacked_keeps_the_sequences(drawn: tuple[int, int, float, int], gap: int) -> None:
    starts_TB = window(*drawn)
    starts_TB[0] = True
    layout = repacked(starts_TB, gap)
    check(layout, starts_TB, gap)
    longest = np.diff(np.flatnonzero(starts_TB.T), append=starts_TB.size).max()
    assert layout.num_steps <= 2 * (longest + gap)


def test_there_and_back_with_gradients_and_none_from_empty_steps() -> None:
    starts_TB = window(8, 3, 0.4, 1)
    starts_TB[0] = True
    mover = Mover(repacked(starts_TB, 1))
    x_TBD = torch.randn(8, 3, 2, dtype=torch.float64, requires_grad=True)
    assert torch.equal(mover.back(mover.there(x_TBD)), x_TBD)
    assert torch.autograd.gradcheck(lambda x: mover.back(mover.there(x) ** 2), x_TBD)
    x_SLD = mover.there(x_TBD.detach()).requires_grad_()
    mover.back(x_SLD).sum().backward()
    empty_SL = torch.from_numpy(mover.layout.empty_M()).view(x_SLD.shape[:2])
    assert torch.equal(x_SLD.grad, (~empty_SL)[:, :, None].expand_as(x_SLD).double())


@pytest.mark.parametrize("name", ["elman", "gru", "lstm"])
def test_many_short_sequences_go_through_fewer_steps_of_more_lanes(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    seen, window_of = [], both.WINDOWS[type(cells.make(name, 3, 4))]
    monkeypatch.setitem(
        both.WINDOWS,
        type(cells.make(name, 3, 4)),
        lambda *arguments: seen.append(len(arguments[1])) or window_of(*arguments),
    )
    torch.manual_seed(1)
    pair = [cells.make(name, 3, 4).double() for _ in range(2)]
    starts_TB = torch.zeros(12, 2, dtype=torch.bool)
    starts_TB[[0, 2, 5, 8, 9]] = True
    x_TBD = torch.randn(12, 2, 3, dtype=torch.float64, requires_grad=True)
    inputs = [x_TBD, *pair[0].parameters(), *pair[1].parameters()]
    outcomes = []
    for run in (both.kernel, apart):
        h_TBH = run(*pair, x_TBD, starts_TB)
        outcomes.append([h_TBH, *torch.autograd.grad(h_TBH.square().sum(), inputs)])
    torch.testing.assert_close(*outcomes, atol=1e-10, rtol=1e-10)
    assert seen[0] <= 6
