"""The Triton kernels against their cells: on a GPU where there is one, else in Triton's interpreter, on the CPU.

The interpreter has to be asked for before Triton is imported, so without a GPU the tests here run in a process of
their own, which `test_all_of_this_in_the_interpreter` starts.
"""

import copy
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from rnn_core.cells import Cell, State
from rnn_core.layers import step_by_step
from tests.rnn_core.test_kernels import Results, assert_close, case, results

triton = pytest.importorskip("triton", reason="no Triton: torch for a CPU brings none")
from rnn_core.kernels import triton_gru, triton_lstm, triton_window  # noqa: E402

GPU = torch.cuda.is_available()
INTERPRETED = triton.knobs.runtime.interpret
KERNELS = {
    "gru by steps": triton_gru.by_steps,
    "gru by lanes": triton_gru.by_lanes,
    "lstm by steps": triton_lstm.by_steps,
    "lstm by lanes": triton_lstm.by_lanes,
}
ITSELF = pytest.mark.skipif(not (GPU or INTERPRETED), reason="no GPU: runs in the interpreter, in a process of its own")
EVERY_KERNEL = pytest.mark.parametrize("name", KERNELS)
EITHER_WAY = pytest.mark.parametrize("reverse", [False, True])
TOLERANCE = {torch.float64: 1e-10, torch.float32: 1e-5}
pytestmark = [
    # Of Triton 3.9, about what its next version will do.
    pytest.mark.filterwarnings("ignore:TRITON_DEFAULT_FP_FUSION:UserWarning"),
    # The interpreter is numpy, which warns of a NaN or an infinity on its way.
    pytest.mark.filterwarnings("ignore::RuntimeWarning"),
]


@pytest.mark.skipif(GPU or INTERPRETED, reason="the tests below run themselves")
def test_all_of_this_in_the_interpreter() -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", __file__]
    root = Path(__file__).parents[2]
    ran = subprocess.run(
        command, env=os.environ | {"TRITON_INTERPRET": "1"}, cwd=root, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stdout[-5000:]


def kernel(name: str) -> Callable[..., tuple[Tensor, State]]:
    """That kernel, run on the GPU where there is one, with arguments and results on the CPU."""
    device = "cuda" if GPU else "cpu"

    def run(cell: Cell, x_TBD: Tensor, resets_TB: Tensor, state: State, reverse: bool) -> tuple[Tensor, State]:
        there = copy.copy(cell)
        there.__dict__ = {**cell.__dict__, "_parameters": {}}
        there.__dict__ |= {name: p.to(device) for name, p in cell.named_parameters()}
        arguments = x_TBD.to(device), resets_TB.to(device), tuple(s.to(device) for s in state)
        h_TBH, after = KERNELS[name](there, *arguments, reverse)
        return h_TBH.cpu(), tuple(s.cpu() for s in after)

    return run


def case_of(name: str, *arguments: Any, **settings: Any) -> tuple[Cell, Tensor, Tensor, State]:
    return case(name.split()[0], *arguments, **settings)


@ITSELF
@EVERY_KERNEL
@settings(max_examples=6, deadline=None)
@given(
    sizes=st.tuples(st.integers(1, 4), st.integers(1, 18), st.integers(1, 4), st.integers(1, 9)),
    double=st.booleans(),
    resets=st.sampled_from([0.0, 0.2, 0.5, 1.0]),
    reverse=st.booleans(),
    seed=st.integers(0, 2**31),
)
def test_a_kernel_equals_its_cell_step_by_step(
    name: str, sizes: tuple[int, int, int, int], double: bool, resets: float, reverse: bool, seed: int
) -> None:
    dtype = torch.float64 if double and "steps" in name else torch.float32
    arguments = case_of(name, sizes, dtype, resets, seed)
    before = [t.detach().clone() for t in (*arguments[1:3], *arguments[3])]
    found, expected = results(kernel(name), *arguments, reverse), results(step_by_step, *arguments, reverse)
    assert_close(found, expected, TOLERANCE[dtype])
    unchanged = zip((*arguments[1:3], *arguments[3]), before, strict=True)
    assert all(torch.equal(argument, copy) for argument, copy in unchanged), "no argument may be written to"


@ITSELF
@EVERY_KERNEL
def test_with_more_features_than_a_program_takes_at_once(name: str) -> None:
    assert triton_window.COLUMNS < 70 < triton_window.BLOCK < 17 * 70
    arguments = case_of(name, (2, 17, 4, 70), torch.float32)
    expected = results(step_by_step, *arguments, False)
    # The gradient of a weight is a sum over 34 steps: there 1e-5 is of the largest.
    largest = max(float(w.abs().max()) for w in expected.weights)
    assert_close(results(kernel(name), *arguments, False), expected, 1e-5 * max(1, largest))


@ITSELF
@EVERY_KERNEL
def test_however_the_numbers_lie_in_memory(name: str) -> None:
    cell, x_TBD, resets_TB, state = case_of(name, dtype=torch.float32)
    expected = results(kernel(name), cell, x_TBD, resets_TB, state, False)
    x_TBD, resets_TB, *others = (turned(t) for t in (x_TBD, resets_TB, *state))
    for weight in cell.parameters():
        weight.data = turned(weight).data
    assert not cell.get_parameter("w_h").is_contiguous()
    found = results(kernel(name), cell, x_TBD, resets_TB, tuple(others), False)
    assert_close(found, expected, 1e-6)


def turned(tensor: Tensor) -> Tensor:
    """The same numbers, the first dimension lying innermost."""
    return tensor.detach().movedim(0, -1).contiguous().movedim(-1, 0).requires_grad_(tensor.requires_grad)


@pytest.fixture
def _products_of_bfloat16(monkeypatch: pytest.MonkeyPatch) -> None:
    """The interpreter holds bfloat16 as the integers of its bits, and multiplies these: float32 for it instead."""
    if not INTERPRETED:
        return
    from triton.runtime import interpreter

    dot, language = interpreter.InterpreterBuilder.create_dot, triton.language

    def in_float32(builder: Any, a: Any, b: Any, *rest: Any) -> Any:
        if a.dtype.scalar == language.bfloat16:
            a, b = (builder.cast_impl(x, language.float32) for x in (a, b))
        return dot(builder, a, b, *rest)

    monkeypatch.setattr(interpreter.InterpreterBuilder, "create_dot", in_float32)


@ITSELF
@EVERY_KERNEL
@pytest.mark.usefixtures("_products_of_bfloat16")
def test_in_bfloat16_the_state_stays_as_it_is(name: str) -> None:
    """Products of bfloat16, of 8 bits, against float32: within 2 % of the largest number there is of each kind."""
    arguments = case_of(name, (6, 5, 8, 20), torch.float32)
    expected = results(step_by_step, *arguments, False)
    with torch.autocast("cuda" if GPU else "cpu", dtype=torch.bfloat16):
        h_TBH, after = kernel(name)(*arguments, False)
        found = results(kernel(name), *arguments, False)
    assert {t.dtype for t in (h_TBH, *after)} == {torch.float32}
    for mine, right in zip([*found.lanes, *found.weights], [*expected.lanes, *expected.weights], strict=True):
        assert mine.dtype == torch.float32
        assert (mine - right).abs().max() < 0.02 * right.abs().max()


@ITSELF
@pytest.mark.parametrize("name", ["gru by steps", "lstm by steps"])
def test_gradients_are_those_of_finite_differences(name: str) -> None:
    cell, x_TBD, resets_TB, state = case_of(name, (4, 2, 2, 2))
    assert resets_TB.any()

    def run(x_TBD: Tensor, *rest: Tensor) -> tuple[Tensor, ...]:
        # gradcheck moves the weights in place, so the cell's own are those given.
        h_TBH, after = kernel(name)(cell, x_TBD, resets_TB, rest[: len(state)], False)
        return (h_TBH, *after)

    # Of random mixtures of the arguments and of the results: one by one takes the interpreter ten seconds.
    assert torch.autograd.gradcheck(run, (x_TBD, *state, *cell.parameters()), fast_mode=True)


@ITSELF
@EITHER_WAY
@EVERY_KERNEL
def test_a_lane_knows_nothing_of_the_others(name: str, reverse: bool) -> None:
    cell, x_TBD, resets_TB, state = case_of(name, (4, 6, 3, 5), torch.float32)
    x_other_TBD, resets_other_TB, state_other = x_TBD.detach().clone(), resets_TB.clone(), [s.clone() for s in state]
    x_other_TBD[:, 2] += 1
    resets_other_TB[:, 2] ^= True
    x_other_TBD[-1, 5] = torch.nan
    resets_other_TB[:, 5] = False
    for s in state_other:
        s.data[5] = torch.inf
    found = results(kernel(name), cell, x_TBD, resets_TB, state, reverse)
    other = cell, x_other_TBD.requires_grad_(), resets_other_TB, tuple(state_other)
    changed: Results = results(kernel(name), *other, reverse)
    assert found.equal(changed, [0, 1, 3, 4])
    assert not found.equal(changed, [2])
    assert not found.equal(changed, [5])


@ITSELF
@EITHER_WAY
@EVERY_KERNEL
def test_no_nan_passes_a_reset_in_either_direction(name: str, reverse: bool) -> None:
    cell, x_TBD, resets_TB, state = case_of(name, dtype=torch.float32, resets=0)
    resets_TB[3] = True
    here, there = (slice(4, None), slice(4)) if reverse else (slice(3), slice(3, None))
    # The steps processed before the reset are `here`, the others `there`.
    weight_TBH = torch.ones(6, 3, 5)
    expected_TBH, _ = kernel(name)(cell, x_TBD, resets_TB, state, reverse)
    (expected_TBD,) = torch.autograd.grad((expected_TBH * weight_TBH)[here].sum(), x_TBD)
    bad = tuple(torch.full_like(s, torch.nan) for s in state)
    h_TBH, _ = kernel(name)(cell, x_TBD, resets_TB, bad, reverse)
    assert h_TBH[here].isnan().all()
    assert torch.equal(h_TBH[there], expected_TBH[there])
    h_TBH, _ = kernel(name)(cell, x_TBD, resets_TB, state, reverse)
    weight_TBH[there] = torch.nan
    dx_TBD, *dstate = torch.autograd.grad((h_TBH * weight_TBH).sum(), [x_TBD, *state])
    assert dx_TBD[there].isnan().all()
    assert torch.equal(dx_TBD[here], expected_TBD[here])
    assert all(d.isfinite().all() for d in dstate)


@ITSELF
@EVERY_KERNEL
def test_a_nan_before_the_window_ends_at_a_reset_of_its_first_step(name: str) -> None:
    cell, x_TBD, resets_TB, state = case_of(name, dtype=torch.float32)
    resets_TB[0] = True
    expected = results(kernel(name), cell, x_TBD, resets_TB, state, False)
    bad = tuple(torch.full_like(s, torch.nan).requires_grad_() for s in state)
    found = results(kernel(name), cell, x_TBD, resets_TB, bad, False)
    assert found.equal(expected, list(range(3)))
    assert not any(d.any() for d in found.lanes[-len(state) :]), "no gradient goes back to the state"


@ITSELF
@EVERY_KERNEL
def test_a_backward_pass_writes_to_nothing_that_is_not_its_own(name: str) -> None:
    cell, x_TBD, resets_TB, state = case_of(name, dtype=torch.float32)
    h_TBH, after = kernel(name)(cell, x_TBD, resets_TB, state, False)
    wanted, given = [x_TBD, *state, *cell.parameters()], [torch.randn_like(f) for f in (h_TBH, *after)]
    copies = [g.clone() for g in given]
    first, second = (torch.autograd.grad((h_TBH, *after), wanted, given, retain_graph=True) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(given, copies, strict=True))
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


@ITSELF
@EVERY_KERNEL
def test_without_gradients_nothing_is_kept_and_the_state_is_free_to_be_written_to(name: str) -> None:
    arguments = case_of(name, dtype=torch.float32)
    expected_TBH, expected = kernel(name)(*arguments, False)
    with torch.no_grad():
        h_TBH, after = kernel(name)(*arguments, False)
    assert all(t.grad_fn is None for t in (h_TBH, *after))
    assert torch.equal(h_TBH, expected_TBH)
    assert all(torch.equal(a, b) for a, b in zip(after, expected, strict=True))
    for s in expected:
        s.mul_(0)
    assert torch.equal(h_TBH, expected_TBH)
    expected_TBH.sum().backward()


@pytest.mark.skipif(INTERPRETED, reason="the interpreter compiles nothing")
@pytest.mark.parametrize("module", [triton_gru, triton_lstm], ids=["gru", "lstm"])
@pytest.mark.parametrize("products", ["fp32", "bf16"])
def test_compiled_for_a_gpu_the_tiles_fit_and_the_barriers_are_there(
    module: Any, products: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For Hopper, with no GPU at hand; a program may use 99 KiB of shared memory on every GPU from Ampere on."""
    monkeypatch.setattr(triton.knobs.cache, "dir", str(tmp_path))
    for function, barriers in (
        (module._forward_step, 0),
        (module._backward_step, 0),
        (module._forward_lanes, 1),
        (module._backward_lanes, 2),
    ):
        compiled = compile_for(function, products)
        assert compiled.metadata.shared <= 99 * 2**10
        assert compiled.asm["ttgir"].count("barrier") == barriers


def compile_for(function: Any, products: str) -> Any:
    constants = {"REVERSE": False, **{n: getattr(triton_window, n) for n in ("LANES", "COLUMNS", "DEPTH", "BLOCK")}}
    low = ("x", "m", "z", "u", "gates", "seen", "seen_after", "w", "da", "da_n")
    types = {}
    for parameter in function.params:
        name = parameter.name
        number = "i32" if name in "TBHN" else "*u8" if name in ("now", "following") else None
        types[name] = "constexpr" if parameter.is_constexpr else number or f"*{products if name in low else 'fp32'}"
    source = triton.compiler.ASTSource(function, types, {n: v for n, v in constants.items() if n in types})
    target = triton.backends.compiler.GPUTarget("cuda", 90, 32)
    return triton.compile(source, target=target, options={"num_warps": triton_window.WARPS})
