"""The kernels: each equals its cell step by step, forward and backward, and no lane knows of another."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from rnn_core import cells, products
from rnn_core.cells import Cell, State
from rnn_core.kernels import KERNELS, Kernel
from rnn_core.layers import step_by_step
from tests.rnn_core.states import some_state

TOLERANCE = {torch.float64: 1e-10, torch.float32: 1e-5}
BFLOAT16 = {"elman_relu": 0.2, "lstm_norm": 0.05, "minlstm": 0.06}
"""Of the norm of each output and gradient, else 0.02: 12 steps whose factors are rounded to 8 bits. Where a
normalisation divides by the spread of 24 numbers roundings grow; a rectifier near zero turns a gradient on or off."""
EVERY_KERNEL = pytest.mark.parametrize("name", KERNELS)
EITHER_WAY = pytest.mark.parametrize("reverse", [False, True])
Sizes = tuple[int, int, int, int]
LARGER: Sizes = 7, 8, 4, 24
NORMALISED = {"lstm_norm"}
"""A normalisation divides by what may be next to nothing, and by more of it the fewer the features: it magnifies the
rounding of all before it. In float32 these cells have 8 features at least, and 1e-5 is of the largest number."""
BOTH_PRODUCTS = pytest.mark.parametrize("onednn", [False, True])


class Results(NamedTuple):
    """What a kernel gave: all that has a place for each lane, the lane second; and the gradients of the weights."""

    lanes: list[Tensor]
    weights: list[Tensor]

    def equal(self, other: "Results", lanes: list[int]) -> bool:
        """Whether these lanes are the same to the bit."""
        return all(torch.equal(a[:, lanes], b[:, lanes]) for a, b in zip(self.lanes, other.lanes, strict=True))


@contextmanager
def products_by(onednn: bool) -> Iterator[None]:
    """All products of float32 by oneDNN, however small; or none."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(products, "LEAST_ROWS", 1)
        patch.setattr(products, "LEAST_WORK", 1 if onednn else 2**60)
        yield


def case(
    name: str,
    sizes: Sizes = (6, 3, 4, 5),
    dtype: torch.dtype = torch.float64,
    resets: float = 0.3,
    seed: int = 1,
) -> tuple[Cell, Tensor, Tensor, State]:
    """A cell, x_TBD, resets_TB and a state that is not the initial one, of (T, B, D, H)."""
    torch.manual_seed(seed)
    T, B, D, H = sizes
    cell = cells.make(name, D, H).to(dtype)
    x_TBD = torch.randn(T, B, D, dtype=dtype, requires_grad=True)
    state = tuple(s.requires_grad_() for s in some_state(cell, B, x_TBD))
    return cell, x_TBD, torch.rand(T, B) < resets, state


def results(run: Kernel, cell: Cell, x_TBD: Tensor, resets_TB: Tensor, state: State, reverse: bool) -> Results:
    """Of a loss that sees all outputs: h, dx, the state after, the gradient of that before; and of the weights."""
    h_TBH, after = run(cell, x_TBD, resets_TB, state, reverse)
    draw = torch.Generator().manual_seed(2)
    loss = sum((f * torch.randn(f.shape, generator=draw, dtype=f.dtype)).sum() for f in (h_TBH, *after))
    dx_TBD, *rest = torch.autograd.grad(loss, [x_TBD, *state, *cell.parameters()])
    states = [s.detach()[None] for s in (*after, *rest[: len(state)])]
    return Results([h_TBH.detach(), dx_TBD, *states], rest[len(state) :])


def assert_close(found: Results, expected: Results, tolerance: float) -> None:
    torch.testing.assert_close(found, expected, atol=tolerance, rtol=tolerance)


def largest(*tensors: list[Tensor]) -> float:
    """The largest number, and at least 1."""
    return max(1.0, *(float(t.abs().max()) for group in tensors for t in group))


@EVERY_KERNEL
@settings(max_examples=25, deadline=None)
@given(
    sizes=st.tuples(st.integers(1, 9), st.integers(1, 5), st.integers(1, 4), st.integers(1, 6)),
    dtype=st.sampled_from(list(TOLERANCE)),
    resets=st.sampled_from([0.0, 0.1, 0.5, 1.0]),
    reverse=st.booleans(),
    onednn=st.booleans(),
    seed=st.integers(0, 2**31),
)
def test_a_kernel_equals_its_cell_step_by_step(
    name: str, sizes: Sizes, dtype: torch.dtype, resets: float, reverse: bool, onednn: bool, seed: int
) -> None:
    normalised = name in NORMALISED and dtype == torch.float32
    arguments = case(name, (*sizes[:3], sizes[3] + 7 * normalised), dtype, resets, seed)
    before = [t.detach().clone() for t in (*arguments[1:3], *arguments[3])]
    expected = results(step_by_step, *arguments, reverse)
    with products_by(onednn):
        found = results(KERNELS[name], *arguments, reverse)
    assert_close(found, expected, TOLERANCE[dtype] * (largest(*expected) if normalised else 1))
    unchanged = zip((*arguments[1:3], *arguments[3]), before, strict=True)
    assert all(torch.equal(argument, copy) for argument, copy in unchanged), "no argument may be written to"


@EVERY_KERNEL
def test_at_the_size_of_a_real_window_too(name: str) -> None:
    arguments = case(name, (20, 20, 64, 130), torch.float32, 0.05)
    assert products.LEAST_WORK < 20 * 130 * 130 * 4
    expected = results(step_by_step, *arguments, False)
    found = results(KERNELS[name], *arguments, False)
    # The gradient of a weight is a sum over 400 steps: there 1e-5 is of the largest.
    assert_close(found, expected, 1e-5 * largest(expected.weights))


@BOTH_PRODUCTS
@EITHER_WAY
@EVERY_KERNEL
def test_bfloat16_is_near_float32_and_keeps_its_state_in_float32(name: str, reverse: bool, onednn: bool) -> None:
    arguments = case(name, (12, 8, 24, 24), torch.float32, 0.1)
    expected = results(step_by_step, *arguments, reverse)
    with products_by(onednn), torch.autocast("cpu", dtype=torch.bfloat16):
        found = results(KERNELS[name], *arguments, reverse)
    assert all(t.dtype == torch.float32 for t in (*found.lanes, *found.weights))
    for mine, other in zip((*found.lanes, *found.weights), (*expected.lanes, *expected.weights), strict=True):
        assert (mine - other).norm() < BFLOAT16.get(name, 0.02) * other.norm()


@EITHER_WAY
@EVERY_KERNEL
def test_gradients_are_those_of_finite_differences(name: str, reverse: bool) -> None:
    cell, x_TBD, resets_TB, state = case(name, (4, 2, 2, 2), resets=0.5)
    assert resets_TB.any()

    def run(x_TBD: Tensor, *rest: Tensor) -> tuple[Tensor, ...]:
        # gradcheck moves the weights in place, so the cell's own are those given.
        h_TBH, after = KERNELS[name](cell, x_TBD, resets_TB, rest[: len(state)], reverse)
        return (h_TBH, *after)

    assert torch.autograd.gradcheck(run, (x_TBD, *state, *cell.parameters()))


@BOTH_PRODUCTS
@EITHER_WAY
@EVERY_KERNEL
def test_the_same_arguments_give_the_same_bits(name: str, reverse: bool, onednn: bool) -> None:
    with products_by(onednn):
        first, second = (results(KERNELS[name], *case(name, LARGER, torch.float32), reverse) for _ in range(2))
    assert first.equal(second, list(range(LARGER[1])))
    assert all(torch.equal(a, b) for a, b in zip(first.weights, second.weights, strict=True))


@EVERY_KERNEL
def test_a_backward_pass_writes_to_nothing_that_is_not_its_own(name: str) -> None:
    cell, x_TBD, resets_TB, state = case(name)
    h_TBH, after = KERNELS[name](cell, x_TBD, resets_TB, state, False)
    wanted, given = [x_TBD, *state, *cell.parameters()], [torch.randn_like(f) for f in (h_TBH, *after)]
    copies = [g.clone() for g in given]
    first, second = (torch.autograd.grad((h_TBH, *after), wanted, given, retain_graph=True) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(given, copies, strict=True))
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


@BOTH_PRODUCTS
@EITHER_WAY
@EVERY_KERNEL
def test_a_lane_knows_nothing_of_the_others(name: str, reverse: bool, onednn: bool) -> None:
    cell, x_TBD, resets_TB, state = case(name, LARGER, torch.float32)
    x_other_TBD, resets_other_TB, state_other = x_TBD.detach().clone(), resets_TB.clone(), [s.clone() for s in state]
    x_other_TBD[:, 2] += 1
    resets_other_TB[:, 2] ^= True
    x_other_TBD[-1, 5] = torch.nan
    resets_other_TB[:, 5] = False
    for s in state_other:
        s.data[5] = torch.inf
    other = cell, x_other_TBD.requires_grad_(), resets_other_TB, tuple(state_other)
    with products_by(onednn):
        found = results(KERNELS[name], cell, x_TBD, resets_TB, state, reverse)
        changed = results(KERNELS[name], *other, reverse)
    assert found.equal(changed, [lane for lane in range(LARGER[1]) if lane not in (2, 5)])
    assert not found.equal(changed, [2])
    assert not found.equal(changed, [5])


@EITHER_WAY
@EVERY_KERNEL
def test_no_nan_passes_a_reset_in_either_direction(name: str, reverse: bool) -> None:
    cell, x_TBD, resets_TB, state = case(name, resets=0)
    resets_TB[3] = True
    here, there = (slice(4, None), slice(4)) if reverse else (slice(3), slice(3, None))
    # The steps processed before the reset are `here`, the others `there`.
    weight_TBH = torch.ones(6, 3, 5, dtype=x_TBD.dtype)
    expected_TBH, _ = KERNELS[name](cell, x_TBD, resets_TB, state, reverse)
    (expected_TBD,) = torch.autograd.grad((expected_TBH * weight_TBH)[here].sum(), x_TBD)
    bad = tuple(torch.full_like(s, torch.nan) for s in state)
    h_TBH, _ = KERNELS[name](cell, x_TBD, resets_TB, bad, reverse)
    assert h_TBH[here].isnan().all()
    assert torch.equal(h_TBH[there], expected_TBH[there])
    h_TBH, _ = KERNELS[name](cell, x_TBD, resets_TB, state, reverse)
    weight_TBH[there] = torch.nan
    dx_TBD, *dstate = torch.autograd.grad((h_TBH * weight_TBH).sum(), [x_TBD, *state])
    assert dx_TBD[there].isnan().all()
    assert torch.equal(dx_TBD[here], expected_TBD[here])
    assert all(d.isfinite().all() for d in dstate)


@EVERY_KERNEL
def test_gradient_flows_from_window_to_window_by_the_state(name: str) -> None:
    cell, x_TBD, resets_TB, state = case(name, resets=0.1)

    def in_two(cell: Cell, x_TBD: Tensor, resets_TB: Tensor, state: State, reverse: bool) -> tuple[Tensor, State]:
        first_TBH, state = KERNELS[name](cell, x_TBD[:2], resets_TB[:2], state, reverse)
        second_TBH, state = KERNELS[name](cell, x_TBD[2:], resets_TB[2:], state, reverse)
        return torch.cat((first_TBH, second_TBH)), state

    whole = results(KERNELS[name], cell, x_TBD, resets_TB, state, False)
    assert_close(results(in_two, cell, x_TBD, resets_TB, state, False), whole, 1e-12)


@EVERY_KERNEL
def test_without_gradients_nothing_is_kept_and_all_is_the_same(name: str) -> None:
    arguments = case(name)
    expected_TBH, expected = KERNELS[name](*arguments, False)
    with torch.no_grad():
        h_TBH, after = KERNELS[name](*arguments, False)
    assert expected_TBH.grad_fn is not None
    assert all(t.grad_fn is None for t in (h_TBH, *after))
    assert torch.equal(h_TBH, expected_TBH)
    assert all(torch.equal(a, b) for a, b in zip(after, expected, strict=True))


@EVERY_KERNEL
def test_weights_that_are_not_trained_cost_no_gradient(name: str) -> None:
    cell, x_TBD, resets_TB, state = case(name)
    expected = results(step_by_step, cell, x_TBD, resets_TB, state, False)
    cell.requires_grad_(False)
    h_TBH, _ = KERNELS[name](cell, x_TBD, resets_TB, state, False)
    h_TBH.sum().backward()
    assert x_TBD.grad is not None
    assert x_TBD.grad.shape == expected.lanes[1].shape
    assert all(w.grad is None for w in cell.parameters())


@EVERY_KERNEL
def test_the_state_is_free_to_be_written_to(name: str) -> None:
    h_TBH, after = KERNELS[name](*case(name), False)
    before = h_TBH.detach().clone()
    for s in after:
        s.mul_(0)
    assert torch.equal(h_TBH, before)
    h_TBH.sum().backward()
