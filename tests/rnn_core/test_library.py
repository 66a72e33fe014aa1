"""The library's layers in a cell's place: equal to the cell where they fit, and nowhere else taken."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from rnn_core import cells
from rnn_core.kernels import gpu, library, path
from rnn_core.layers import step_by_step
from rnn_core.looking import without_looking
from tests.rnn_core.test_kernels import TOLERANCE, assert_close, case, results

NAMES = ["elman", "gru", "lstm"]
EVERY_CELL = pytest.mark.parametrize("name", NAMES)
EITHER_WAY = pytest.mark.parametrize("reverse", [False, True])


def fitting(name: str, reverse: bool, *arguments: Any) -> Any:
    """As `case`, with resets before the first step that is processed only."""
    cell, x_TBD, resets_TB, state = case(name, *arguments)
    first = -1 if reverse else 0
    marks_B = resets_TB[first].clone()
    resets_TB[:] = False
    resets_TB[first] = marks_B
    return cell, x_TBD, resets_TB, state


@EVERY_CELL
@settings(max_examples=25, deadline=None)
@given(
    sizes=st.tuples(st.integers(1, 9), st.integers(1, 5), st.integers(1, 4), st.integers(1, 6)),
    dtype=st.sampled_from(list(TOLERANCE)),
    resets=st.sampled_from([0.0, 0.5, 1.0]),
    reverse=st.booleans(),
    seed=st.integers(0, 2**31),
)
def test_equals_the_cell_step_by_step(
    name: str, sizes: Any, dtype: torch.dtype, resets: float, reverse: bool, seed: int
) -> None:
    arguments = fitting(name, reverse, sizes, dtype, resets, seed)
    before = [t.detach().clone() for t in (*arguments[1:3], *arguments[3])]
    assert library.fits(*arguments[:3], reverse)
    expected = results(step_by_step, *arguments, reverse)
    assert_close(results(library.kernel, *arguments, reverse), expected, TOLERANCE[dtype])
    unchanged = zip((*arguments[1:3], *arguments[3]), before, strict=True)
    assert all(torch.equal(argument, copy) for argument, copy in unchanged), "no argument may be written to"


def test_on_a_cpu_it_is_taken_for_an_lstm_in_float32_without_resets_inside() -> None:
    def name_of(name: str, dtype: torch.dtype) -> str:
        cell, x_TBD, resets_TB, _ = fitting(name, False, (6, 3, 4, 5), dtype)
        found = path(cell, x_TBD, resets_TB)
        assert found is not None
        return found.name

    assert name_of("lstm", torch.float32) == "onednn"
    assert {name_of("lstm", torch.float64), name_of("gru", torch.float32)} == {"by window"}


@EITHER_WAY
@EVERY_CELL
def test_a_nan_ends_at_the_reset_before_the_first_step(name: str, reverse: bool) -> None:
    cell, x_TBD, resets_TB, state = fitting(name, reverse)
    resets_TB[-1 if reverse else 0] = True
    bad = tuple(torch.full_like(s, torch.nan).requires_grad_() for s in state)
    found = results(library.kernel, cell, x_TBD, resets_TB, bad, reverse)
    assert found.equal(results(library.kernel, cell, x_TBD, resets_TB, state, reverse), list(range(3)))
    assert not any(d.any() for d in found.lanes[-len(state) :]), "no gradient goes back to the state"


@EVERY_CELL
def test_the_state_is_free_to_be_written_to(name: str) -> None:
    h_TBH, after = library.kernel(*fitting(name, False), False)
    before_TBH = h_TBH.detach().clone()
    for s in after:
        s.mul_(0)
    assert torch.equal(h_TBH, before_TBH)
    h_TBH.sum().backward()


@EVERY_CELL
def test_a_reset_inside_the_window_does_not_fit(name: str) -> None:
    cell, x_TBD, resets_TB, _ = fitting(name, False)
    resets_TB[0] = True
    assert library.fits(cell, x_TBD, resets_TB)
    assert not library.fits(cell, x_TBD, resets_TB, reverse=True)
    resets_TB[3, 1] = True
    assert not library.fits(cell, x_TBD, resets_TB)


def test_neither_do_other_cells_nor_bfloat16_nor_marks_that_may_not_be_looked_at() -> None:
    class Other(cells.LSTM):
        """An LSTM that is none of the library's."""

    _, x_TBD, resets_TB, _ = fitting("lstm", False)
    assert not library.fits(Other(4, 5), x_TBD, resets_TB)
    cell = cells.LSTM(4, 5)
    assert library.fits(cell, x_TBD, resets_TB)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert not library.fits(cell, x_TBD, resets_TB)
    with without_looking():
        assert not library.fits(cell, x_TBD, resets_TB)


@EVERY_CELL
def test_the_weights_lie_one_behind_the_other_and_learn(name: str) -> None:
    cell, *_ = fitting(name, False)
    weights = library.weights(cell)
    adjacent = library._adjacent(weights)
    ends = [w.data_ptr() + w.numel() * w.element_size() for w in adjacent]
    assert [w.data_ptr() for w in adjacent[1:]] == ends[:-1]
    assert all(torch.equal(a, w) for a, w in zip(adjacent, weights, strict=True))
    sum((w * w).sum() for w in adjacent).backward()  # type: ignore[union-attr]
    assert all(torch.equal(w.grad, 2 * w) for w in cell.parameters())


def paths_of(cell: Any, x_TBD: Tensor, resets_TB: Tensor) -> list[str]:
    return [path.name for path in gpu.PATHS if path.fits(cell, x_TBD, resets_TB, False)]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
@pytest.mark.parametrize("name", ["gru", "lstm"])
def test_on_a_gpu_every_window_has_a_path(name: str) -> None:
    steps, lanes = "triton by steps", "triton by lanes"
    resets_TB = torch.zeros(6, 3, dtype=torch.bool, device="cuda")
    x_TBD = torch.zeros(6, 3, 4, device="cuda")
    small, large = cells.make(name, 4, 50).cuda(), cells.make(name, 4, 512).cuda()
    assert paths_of(small, x_TBD, resets_TB) == ["cudnn", lanes, steps]
    assert paths_of(large, x_TBD, resets_TB) == ["cudnn", steps]
    with without_looking():
        assert paths_of(large, x_TBD, resets_TB) == [steps]
    resets_TB[2, 1] = True
    assert paths_of(small, x_TBD, resets_TB) == [lanes, steps]
    assert paths_of(large, x_TBD, resets_TB) == [steps]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
@EITHER_WAY
@EVERY_CELL
def test_cudnn_itself_equals_the_cell(name: str, reverse: bool) -> None:
    cell, x_TBD, resets_TB, state = fitting(name, reverse)
    cell, there = cell.cuda(), (x_TBD.cuda(), resets_TB.cuda(), tuple(s.cuda() for s in state), reverse)
    outcomes = []
    run: Callable[..., Any]
    for run in (library.kernel, step_by_step):
        h_TBH, after = run(cell, *there)
        loss = h_TBH.square().sum() + sum(s.square().sum() for s in after)
        outcomes.append([h_TBH, *after, *torch.autograd.grad(loss, [x_TBD, *state, *cell.parameters()])])
    torch.testing.assert_close(outcomes[0], outcomes[1], atol=1e-10, rtol=1e-10)
