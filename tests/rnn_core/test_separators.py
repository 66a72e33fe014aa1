"""Separator steps in oneDNN's LSTM: equal to the cell where they fit; nothing passes a reset, not even a NaN."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rnn_core import cells
from rnn_core.kernels import both, path, separators
from rnn_core.layers import step_by_step
from rnn_core.looking import without_looking
from tests.rnn_core.test_both import apart
from tests.rnn_core.test_kernels import Results, assert_close, case, results

EITHER_WAY = pytest.mark.parametrize("reverse", [False, True])
SIZES = st.tuples(st.integers(1, 12), st.integers(1, 5), st.integers(1, 4), st.integers(1, 6))
SHARES = st.sampled_from([0.0, 0.1, 0.5, 1.0])
SEEDS = st.integers(0, 2**31)


def lstm(sizes: Any = (12, 4, 3, 5), share: float = 0.3, seed: int = 1) -> Any:
    return case("lstm", sizes, torch.float32, share, seed)


@settings(max_examples=40, deadline=None)
@given(sizes=SIZES, share=SHARES, reverse=st.booleans(), seed=SEEDS)
def test_equals_the_cell_step_by_step(sizes: Any, share: float, reverse: bool, seed: int) -> None:
    arguments = lstm(sizes, share, seed)
    before = [t.detach().clone() for t in (*arguments[1:3], *arguments[3])]
    assert_close(results(separators.kernel, *arguments, reverse), results(step_by_step, *arguments, reverse), 1e-5)
    unchanged = zip((*arguments[1:3], *arguments[3]), before, strict=True)
    assert all(torch.equal(argument, copy) for argument, copy in unchanged), "no argument may be written to"


@settings(max_examples=40, deadline=None)
@given(sizes=SIZES, share=SHARES, seed=SEEDS)
def test_both_directions_equal_one_after_the_other(sizes: Any, share: float, seed: int) -> None:
    forward, x_TBD, starts_TB, _ = lstm(sizes, share, seed)
    backward = cells.make("lstm", *sizes[2:])
    starts_TB[0] = True
    inputs = [x_TBD, *forward.parameters(), *backward.parameters()]
    dh_TBH = torch.randn(*sizes[:2], 2 * sizes[3])
    outcomes = []
    for run in (both.kernel, apart):
        h_TBH = run(forward, backward, x_TBD, starts_TB)
        outcomes.append([h_TBH.detach(), *torch.autograd.grad(h_TBH, inputs, dh_TBH)])
    torch.testing.assert_close(*outcomes, atol=1e-5, rtol=1e-5)


@EITHER_WAY
def test_no_number_passes_a_reset_by_a_bit(reverse: bool) -> None:
    """Of a lane of two sequences: what comes before the reset, the state too, is nothing to what comes after."""
    cell, x_TBD, resets_TB, state = lstm((9, 3, 3, 5), 0.0)
    middle = 4
    resets_TB[middle, 1] = True
    earlier = slice(middle + 1, None) if reverse else slice(0, middle)
    later = slice(0, middle + 1) if reverse else slice(middle, None)

    def with_scale(scale: float) -> Results:
        x = x_TBD.detach().clone()
        x[earlier] *= scale
        scaled = tuple((scale * s).detach().requires_grad_() for s in state)
        return results(separators.kernel, cell, x.requires_grad_(), resets_TB, scaled, reverse)

    one, other = with_scale(1.0), with_scale(30.0)
    for number in range(2):
        assert torch.equal(one.lanes[number][later, 1], other.lanes[number][later, 1])
    assert torch.equal(one.lanes[2][:, 1], other.lanes[2][:, 1])
    h_TBH, _ = separators.kernel(cell, x_TBD, resets_TB, state, reverse)
    dx_TBD, *dstate = torch.autograd.grad(h_TBH[later, 1].sum(), [x_TBD, *state])
    assert dx_TBD[later, 1].any()
    assert not any(gradient.any() for gradient in (dx_TBD[earlier], *dstate))


@EITHER_WAY
def test_a_nan_ends_at_a_reset(reverse: bool) -> None:
    cell, x_TBD, resets_TB, state = lstm((9, 3, 3, 5), 0.0)
    resets_TB[4, 1] = True
    with torch.no_grad():
        x_TBD[7 if reverse else 2, 1] = torch.nan
    h_TBH, _ = separators.kernel(cell, x_TBD, resets_TB, state, reverse)
    assert h_TBH[:, [0, 2]].isfinite().all()
    assert h_TBH[slice(0, 5) if reverse else slice(4, None), 1].isfinite().all()
    assert h_TBH[7 if reverse else 2, 1].isnan().all()


def test_the_state_is_free_to_be_written_to() -> None:
    h_TBH, after = separators.kernel(*lstm(), False)
    before_TBH = h_TBH.detach().clone()
    for s in after:
        s.mul_(0)
    assert torch.equal(h_TBH, before_TBH)
    h_TBH.sum().backward()


def name_of(cell: Any, x_TBD: Any, resets_TB: Any, *_: Any) -> str:
    found = path(cell, x_TBD, resets_TB)
    assert found is not None
    return found.name


def test_taken_for_resets_inside_unless_there_are_many_for_the_size() -> None:
    cell, x_TBD, resets_TB, _ = lstm((10, 2, 3, 500), 0.0)
    assert name_of(cell, x_TBD, resets_TB) == "onednn"
    resets_TB[4, 0] = resets_TB[7, 1] = resets_TB[8, 1] = True
    assert name_of(cell, x_TBD, resets_TB) == "onednn, separators"
    resets_TB[6, 1] = True
    assert name_of(cell, x_TBD, resets_TB) == "by window"


def test_not_taken_for_other_types_and_cells_nor_where_marks_may_not_be_looked_at() -> None:
    arguments = lstm()
    assert name_of(*arguments) == "onednn, separators"
    with without_looking():
        assert name_of(*arguments) == "by window"
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert name_of(*arguments) == "by window"
    assert {name_of(*case("lstm")), name_of(*case("gru", dtype=torch.float32))} == {"by window"}


def test_a_window_of_one_step_has_none() -> None:
    cell, x_TBD, resets_TB, state = lstm((1, 3, 3, 5), 1.0)
    assert separators.fits(cell, x_TBD, resets_TB)
    h_TBH, _ = separators.kernel(cell, x_TBD, resets_TB, state, False)
    assert np.isfinite(h_TBH.detach().numpy()).all()
