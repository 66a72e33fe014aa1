"""The scan against a plain loop, and the cells that train by it against their papers' formulas."""

import math
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.functional import softplus

from rnn_core import cells
from rnn_core.cells import LRU, Cell, MinGRU, State
from rnn_core.kernels import KERNELS, Kernel, scan
from rnn_core.kernels.window import states
from rnn_core.layers import step_by_step
from tests.rnn_core.test_kernels import EITHER_WAY, TOLERANCE, assert_close, case, results

CLOSE = {"atol": 1e-10, "rtol": 1e-10}
SCANNED = ["mingru", "minlstm", "lru"]
EVERY_CELL = pytest.mark.parametrize("name", SCANNED)
BOTH_FORMS = pytest.mark.parametrize("chunked", [False, True])


@contextmanager
def scanned(chunked: bool) -> Iterator[None]:
    """All scans in chunks, however short the window or large the step; or none."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scan, "LEAST_STEPS", 1 if chunked else 2**60)
        patch.setattr(scan, "LARGEST_STEP", 2**60)
        yield


def scan_of(a_TBH: Tensor, b_TBH: Tensor, h_BH: Tensor, resets_TB: Tensor, reverse: bool) -> Tensor:
    before_TBH, after_TBH = states(h_BH, len(a_TBH), reverse)
    after_TBH.copy_(b_TBH)
    scan.scan(a_TBH, before_TBH, after_TBH, resets_TB, reverse)
    return after_TBH


def loop(a_TBH: Tensor, b_TBH: Tensor, h_BH: Tensor, resets_TB: Tensor, reverse: bool) -> Tensor:
    h_TBH = torch.empty_like(b_TBH)
    for t in reversed(range(len(a_TBH))) if reverse else range(len(a_TBH)):
        h_BH = b_TBH[t] + torch.where(resets_TB[t, :, None], 0, a_TBH[t] * h_BH)
        h_TBH[t] = h_BH
    return h_TBH


def factors(*shape: int, dtype: torch.dtype) -> Tensor:
    """|a| < 1."""
    a = torch.randn(shape, dtype=dtype)
    return a / a.abs() * torch.rand(shape, dtype=torch.float64)


@settings(max_examples=60, deadline=None)
@given(
    num_steps=st.one_of(st.integers(1, 40), st.sampled_from([127, 128, 144, 200, 1023, 1024])),
    sizes=st.tuples(st.integers(1, 4), st.integers(1, 5)),
    dtype=st.sampled_from([torch.float64, torch.complex128]),
    resets=st.sampled_from([0.0, 0.01, 0.3, 1.0]),
    chunked=st.booleans(),
    reverse=st.booleans(),
    seed=st.integers(0, 2**31),
)
def test_a_scan_is_the_loop(
    num_steps: int,
    sizes: tuple[int, int],
    dtype: torch.dtype,
    resets: float,
    chunked: bool,
    reverse: bool,
    seed: int,
) -> None:
    torch.manual_seed(seed)
    shape = num_steps, *sizes
    a_TBH, b_TBH, h_BH = factors(*shape, dtype=dtype), torch.randn(shape, dtype=dtype), torch.randn(sizes, dtype=dtype)
    resets_TB = torch.rand(shape[:2]) < resets
    with scanned(chunked):
        found_TBH = scan_of(a_TBH, b_TBH, h_BH, resets_TB, reverse)
    torch.testing.assert_close(found_TBH, loop(a_TBH, b_TBH, h_BH, resets_TB, reverse), **CLOSE)


def test_a_window_is_cut_into_chunks_where_it_is_long_and_its_steps_small(monkeypatch: pytest.MonkeyPatch) -> None:
    cut: list[tuple[int, ...]] = []
    monkeypatch.setattr(scan, "_in_chunks", lambda *windows, reverse: cut.append(tuple(windows[0].shape)))
    single, double = torch.float32, torch.float64
    for shape, dtype in (
        ((127, 2, 4), single),
        ((128, 2, 4), single),
        ((1024, 8, 256), single),
        ((1024, 8, 257), single),
        ((1024, 8, 128), double),
        ((1024, 8, 129), double),
    ):
        ones_TBH, resets_TB = torch.ones(shape, dtype=dtype), torch.zeros(shape[:2], dtype=torch.bool)
        scan_of(ones_TBH, ones_TBH, ones_TBH[0], resets_TB, False)
    assert cut == [(11, 11, 2, 4), (32, 32, 8, 256), (32, 32, 8, 128)]


@EVERY_CELL
@settings(max_examples=25, deadline=None)
@given(
    sizes=st.tuples(st.integers(1, 40), st.integers(1, 3), st.integers(1, 4), st.integers(1, 5)),
    dtype=st.sampled_from(list(TOLERANCE)),
    resets=st.sampled_from([0.0, 0.1, 0.5, 1.0]),
    reverse=st.booleans(),
    seed=st.integers(0, 2**31),
)
def test_a_kernel_in_chunks_equals_its_cell_step_by_step(
    name: str, sizes: tuple[int, int, int, int], dtype: torch.dtype, resets: float, reverse: bool, seed: int
) -> None:
    arguments = case(name, sizes, dtype, resets, seed)
    expected = results(step_by_step, *arguments, reverse)
    with scanned(True):
        found = results(KERNELS[name], *arguments, reverse)
    largest = max(float(w.abs().max()) for w in expected.weights)
    assert_close(found, expected, TOLERANCE[dtype] * max(1, largest))


@EITHER_WAY
@EVERY_CELL
def test_gradients_in_chunks_are_those_of_finite_differences(name: str, reverse: bool) -> None:
    cell, x_TBD, resets_TB, state = case(name, (11, 2, 2, 2), resets=0.1)
    assert resets_TB.any()

    def run(x_TBD: Tensor, *rest: Tensor) -> tuple[Tensor, ...]:
        h_TBH, after = KERNELS[name](cell, x_TBD, resets_TB, rest[: len(state)], reverse)
        return (h_TBH, *after)

    with scanned(True):
        assert torch.autograd.gradcheck(run, (x_TBD, *state, *cell.parameters()))


@BOTH_FORMS
@EITHER_WAY
@EVERY_CELL
@pytest.mark.parametrize("at", [0, 1, 7, 8, 9, 63, 64, 65, 69])
def test_nothing_passes_a_reset_wherever_in_a_chunk(name: str, at: int, reverse: bool, chunked: bool) -> None:
    """70 steps: eight chunks of eight and six more. A lane is NaN on one side of its reset, then on the other."""
    cell, x_TBD, resets_TB, state = case(name, (70, 3, 4, 5), resets=0)
    resets_TB[at, 1] = True
    early, late = (slice(at + 1, None), slice(at + 1)) if reverse else (slice(at), slice(at, None))
    with scanned(chunked):
        expected = results(KERNELS[name], cell, x_TBD, resets_TB, state, reverse)
        bad_TBD, bad = x_TBD.detach().clone(), tuple(s.detach().clone() for s in state)
        bad_TBD[early, 1] = torch.nan
        for s in bad:
            s[1] = torch.nan
        h_TBH, after = KERNELS[name](cell, bad_TBD, resets_TB, bad, reverse)
        assert h_TBH[early, 1].isnan().all()
        assert torch.equal(h_TBH[late, 1], expected.lanes[0][late, 1])
        assert torch.equal(h_TBH[:, [0, 2]], expected.lanes[0][:, [0, 2]])
        assert all(s.isfinite().all() for s in after)

        bad_TBD = x_TBD.detach().clone()
        bad_TBD[late, 1] = torch.nan
        bad_TBD.requires_grad_()
        weight_TBH = torch.ones_like(h_TBH)
        h_TBH, _ = KERNELS[name](cell, x_TBD, resets_TB, state, reverse)
        wanted = torch.autograd.grad((h_TBH * weight_TBH).sum(), [x_TBD, *state])
        weight_TBH[late, 1] = torch.nan
        h_TBH, _ = KERNELS[name](cell, bad_TBD, resets_TB, state, reverse)
        found = torch.autograd.grad((h_TBH * weight_TBH).sum(), [bad_TBD, *state])
    assert found[0][late, 1].isnan().all()
    assert torch.equal(found[0][early, 1], wanted[0][early, 1])
    assert torch.equal(found[0][:, [0, 2]], wanted[0][:, [0, 2]])
    assert all(torch.equal(mine, other) for mine, other in zip(found[1:], wanted[1:], strict=True))


@BOTH_FORMS
@EVERY_CELL
def test_a_reset_in_one_lane_changes_not_a_bit_of_another(name: str, chunked: bool) -> None:
    cell, x_TBD, resets_TB, state = case(name, (70, 4, 4, 24), torch.float32, resets=0)
    with scanned(chunked):
        expected = results(KERNELS[name], cell, x_TBD, resets_TB, state, False)
        resets_TB[::5, 1] = True
        found = results(KERNELS[name], cell, x_TBD, resets_TB, state, False)
    assert found.equal(expected, [0, 2, 3])
    assert not found.equal(expected, [1])


def as_double(kernel: Kernel) -> Kernel:
    """The same with its results in float64, so that their loss is the same number whatever the kernel computes in."""

    def run(cell: Cell, x_TBD: Tensor, resets_TB: Tensor, state: State, reverse: bool) -> tuple[Tensor, State]:
        h_TBH, after = kernel(cell, x_TBD, resets_TB, state, reverse)
        return h_TBH.double(), tuple(s.double() for s in after)

    return run


@EVERY_CELL
@pytest.mark.parametrize("kept", [0.999, None, 1e-4], ids=["long memory", "as it starts", "short memory"])
def test_a_thousand_steps_in_float32_are_as_exact_as_one_by_one(name: str, kept: float | None) -> None:
    """Against float64, whose product of all a underflows a float32 unless the memory is long."""
    T, B, D, H = 1024, 2, 3, 8
    cell, x_TBD, _, state = case(name, (T, B, D, H), torch.float32)
    if kept:
        keep(cell, kept)
    resets_TB = torch.zeros(T, B, dtype=torch.bool)
    resets_TB[700, 1] = True
    stepped = results(as_double(step_by_step), cell, x_TBD, resets_TB, state, False)
    found = []
    for chunked in (False, True):
        with scanned(chunked):
            found.append(results(as_double(KERNELS[name]), cell, x_TBD, resets_TB, state, False))
    exact_state = tuple(s.detach().double().requires_grad_() for s in state)
    exact_TBD = x_TBD.detach().double().requires_grad_()
    exact = results(step_by_step, cell.double(), exact_TBD, resets_TB, exact_state, False)
    for results_ in found:
        for mine, other, best in zip(*(r.lanes + r.weights for r in (results_, stepped, exact)), strict=True):
            error, least = (float((t - best).abs().max() / best.abs().max().clamp_min(1)) for t in (mine, other))
            # Beyond 1e-5 goes only LRU with a long memory, from the rounding of lambda, whichever way it is run.
            assert error <= max(1e-5, 2 * least)


def keep(cell: Cell, kept: float) -> None:
    """Let every |a| of the cell be about `kept`."""
    with torch.no_grad():
        if isinstance(cell, LRU):
            cell.nu_log.fill_(math.log(-math.log(kept)))
            cell.gamma_log.fill_(0.5 * math.log(1 - kept**2))
        else:
            gate = slice(8) if isinstance(cell, MinGRU) else slice(8, 16)  # z, or i, with f open
            cell.b[gate] = math.log((1 - kept) / kept)


def paper_g(x: Tensor) -> Tensor:
    return torch.where(x >= 0, x + 0.5, torch.sigmoid(x))


def paper_log_g(x: Tensor) -> Tensor:
    return torch.where(x >= 0, (x.clamp_min(0) + 0.5).log(), -softplus(-x))


def paper_scan_log(log_coeffs_TBH: Tensor, log_values_SBH: Tensor) -> Tensor:
    """Feng et al. 2024, appendix B: `parallel_scan_log`, time first; the first value is that of the state before."""
    a_star = torch.cat((torch.zeros_like(log_coeffs_TBH[:1]), log_coeffs_TBH.cumsum(0)))
    return (a_star + (log_values_SBH - a_star).logcumsumexp(0)).exp()[1:]


@pytest.mark.parametrize("run", ["mingru", "minlstm", "steps of mingru", "steps of minlstm"])
def test_minimal_cells_are_the_papers_in_log_space(run: str) -> None:
    name = run.split()[-1]
    cell, x_TBD, _, _ = case(name, (150, 3, 4, 5))
    h_BH = torch.rand(3, 5, dtype=torch.float64) + 0.1
    w = cell.w_x.unflatten(0, (-1, 5))
    k = [x_TBD @ w_HD.t() + b_H for w_HD, b_H in zip(w, cell.b.unflatten(0, (-1, 5)), strict=True)]
    if name == "mingru":
        log_z, log_kept = -softplus(-k[0]), -softplus(k[0])
    else:
        difference = softplus(-k[0]) - softplus(-k[1])
        log_kept, log_z = -softplus(difference), -softplus(-difference)
    expected_TBH = paper_scan_log(log_kept, torch.cat((h_BH.log()[None], log_z + paper_log_g(k[-1]))))
    kernel = step_by_step if run.startswith("steps") else KERNELS[name]
    found_TBH, (last_BH,) = kernel(cell, x_TBD, torch.zeros(150, 3, dtype=torch.bool), (h_BH,), False)
    torch.testing.assert_close(found_TBH, expected_TBH, **CLOSE)
    torch.testing.assert_close(last_BH, expected_TBH[-1], **CLOSE)


def test_the_gates_of_minlstm_are_normalised() -> None:
    cell, x_TBD, _, (h_BH,) = case("minlstm", (1, 3, 4, 5))
    f, i, n = (x_TBD[0] @ cell.w_x.t() + cell.b).chunk(3, 1)
    f, i = f.sigmoid(), i.sigmoid()
    expected_BH = f / (f + i) * h_BH + i / (f + i) * paper_g(n)
    torch.testing.assert_close(cell(x_TBD[0], (h_BH,))[0], expected_BH, **CLOSE)


@pytest.mark.parametrize("run", [step_by_step, KERNELS["minlstm"]])
def test_two_closed_gates_are_weighed_against_each_other(run) -> None:
    """f and i are zero in float32; f / (f + i) is not."""
    cell, x_TBD, _, _ = case("minlstm", (2, 1, 1, 2), torch.float32)
    with torch.no_grad():
        cell.w_x.zero_()
        cell.b.copy_(torch.tensor([-200, -200, -200, -200 + math.log(3), 1, 1]))
    state = (torch.zeros(1, 2),)
    h_TBH, _ = run(cell, x_TBD, torch.ones(2, 1, dtype=torch.bool), state, False)
    torch.testing.assert_close(h_TBH, torch.tensor([[[0.75, 1.125]]] * 2), atol=1e-5, rtol=0)
    h_TBH.sum().backward()
    assert cell.b.grad is not None
    assert cell.b.grad.isfinite().all()
    assert (cell.b.grad != 0).all()


@pytest.mark.parametrize("run", [step_by_step, KERNELS["lru"]])
@EITHER_WAY
def test_lru_is_the_papers_in_complex_numbers(run, reverse: bool) -> None:
    cell, x_TBD, resets_TB, (re_BH, im_BH) = case("lru", (40, 3, 4, 5), resets=0.1)
    with torch.no_grad():
        cell.b.normal_()
    found_TBH, after = run(cell, x_TBD, resets_TB, (re_BH, im_BH), reverse)

    b_re, b_im, d = cell.w_x.unflatten(0, (3, 5))
    bias_re, bias_im, bias = cell.b.unflatten(0, (3, 5))
    eigenvalues = torch.exp(torch.complex(-cell.nu_log.exp(), cell.theta_log.exp()))
    b, c, gamma = torch.complex(b_re, b_im), torch.complex(cell.c_re, cell.c_im), cell.gamma_log.exp()
    s_BH, outputs = torch.complex(re_BH, im_BH), []
    steps = list(zip(x_TBD, resets_TB, strict=True))
    for x_BD, resets_B in reversed(steps) if reverse else steps:
        s_BH = torch.where(resets_B[:, None], 0, s_BH)
        s_BH = eigenvalues * s_BH + gamma * (x_BD.to(b.dtype) @ b.t() + torch.complex(bias_re, bias_im))
        outputs.append((s_BH @ c.t()).real + x_BD @ d.t() + bias)
    expected_TBH = torch.stack(outputs[::-1] if reverse else outputs)
    torch.testing.assert_close(found_TBH, expected_TBH, **CLOSE)
    torch.testing.assert_close(torch.complex(*after), s_BH, **CLOSE)

    given = [x_TBD, re_BH, im_BH, *cell.parameters()]
    weight_TBH = torch.randn_like(expected_TBH)
    expected = torch.autograd.grad((expected_TBH * weight_TBH).sum() + s_BH.abs().square().sum(), given)
    found = torch.autograd.grad((found_TBH * weight_TBH).sum() + sum(s.square().sum() for s in after), given)
    for mine, other in zip(found, expected, strict=True):
        torch.testing.assert_close(mine, other, **CLOSE)


def test_lru_starts_on_a_ring_and_keeps_the_scale() -> None:
    torch.manual_seed(5)
    cell = cells.make("lru", 64, 2000).double()
    re_H, im_H = (part.detach() for part in cell.eigenvalues())
    size_H = (re_H.square() + im_H.square()).sqrt()
    assert 0.4999 < size_H.min() < 0.53
    assert 0.989 < size_H.max() < 0.9901
    # Uniform in the area: half of it lies inside the radius whose square is the mean of the two.
    assert 0.47 < (size_H.square() < (0.5**2 + 0.99**2) / 2).double().mean() < 0.53
    quarters = [((re_H > 0) == a) & ((im_H > 0) == b) for a in (True, False) for b in (True, False)]
    assert all(0.22 < quarter.double().mean() < 0.28 for quarter in quarters)
    x_TBD = torch.randn(1000, 1, 64, dtype=torch.float64)
    _, after = KERNELS["lru"](cell, x_TBD, torch.zeros(1000, 1).bool(), cell.initial_state(1, x_TBD), False)
    assert 0.9 < torch.complex(*after).abs().square().mean() < 1.1


def test_lru_cannot_explode_whatever_it_learns() -> None:
    cell = cells.make("lru", 2, 4)
    with torch.no_grad():
        for weight in (cell.nu_log, cell.theta_log):
            weight.copy_(torch.tensor([-50.0, -1.0, 1.0, 50.0]))
    re_H, im_H = cell.eigenvalues()
    assert (re_H.square() + im_H.square() <= 1 + 1e-6).all()
