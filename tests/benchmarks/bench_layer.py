"""layer/, limit/, bf16/: one layer of ours beside torch.nn's, beside its matrix products alone, and in bfloat16."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from rnn_core import layers
from rnn_core.layers import Layer
from tests.benchmarks import corpora, plain, products
from tests.benchmarks.cases import NO_BFLOAT16, SHAPES, assert_agree, device_name, gradients, on_devices, once, path
from tests.benchmarks.cases import layer as make

CELLS = {"gru": "gru", "elman": "elman", "lstm": "lstm", "lstm-dense": "lstm"}
"""Of the names in layer/: `lstm` alone has sequences that begin inside the window."""
CASES = [
    case for name in CELLS for T, B, H in SHAPES for case in on_devices(f"layer/{name}/{T}x{B}x{H}", name, T, B, H)
]
LIMITS = [
    pytest.param(cell, *shape, id=f"limit/{cell}/{'x'.join(map(str, shape))}")
    for cell in plain.LAYERS
    for shape in SHAPES
]
HALVES = [
    pytest.param(cell, H, id=f"bf16/{cell}/{H}", marks=NO_BFLOAT16) for cell in plain.LAYERS for H in (512, 650, 1024)
]


@pytest.mark.parametrize(("name", "T", "B", "H", "device"), CASES)
def test_layer(compare: Any, record: Any, name: str, T: int, B: int, H: int, device: str) -> None:
    layer, x_TBD, dh_TBH = window(CELLS[name], T, B, H, device)
    theirs = plain.layer(CELLS[name], layer.cell)
    first, second = theirs.weight_ih_l0, theirs.weight_hh_l0
    alternative = gradients(lambda: theirs(x_TBD)[0], [x_TBD, first, second, theirs.bias_ih_l0], dh_TBH)
    no_starts_TB = torch.zeros(T, B, dtype=torch.bool, device=device)
    assert_agree(ours(layer, x_TBD, no_starts_TB, dh_TBH)(), alternative(), 1e-3)
    starts_TB = no_starts_TB
    if name == "lstm":
        starts_TB = torch.from_numpy(corpora.starts(T, B)).to(device)
        by_steps = ours(layer, x_TBD, starts_TB, dh_TBH, step_by_step)
        assert_agree(ours(layer, x_TBD, starts_TB, dh_TBH)(), by_steps(), 1e-3)
    pairs = compare(once(ours(layer, x_TBD, starts_TB, dh_TBH), device), once(alternative, device))
    record(
        pairs.times(),
        shape={"T": T, "B": B, "H": H},
        device=device_name(device),
        path=path(layer.cell, x_TBD, starts_TB),
        alternative=f"nn.{type(theirs).__name__}" + (" without starts" if name == "lstm" else ""),
    )


@pytest.mark.parametrize(("cell", "T", "B", "H"), LIMITS)
def test_limit(compare: Any, record: Any, cell: str, T: int, B: int, H: int) -> None:
    layer, x_TBD, dh_TBH = window(cell, T, B, H, "cpu")
    starts_TB = torch.from_numpy(corpora.starts(T, B)) if cell == "lstm" else torch.zeros(T, B, dtype=torch.bool)
    alone = products.of_layer(layer.cell.w_x.detach(), layer.cell.w_h.detach(), T, B)
    pairs = compare(once(ours(layer, x_TBD, starts_TB, dh_TBH), "cpu"), once(alone, "cpu"))
    record(
        pairs.times("share"),
        shape={"T": T, "B": B, "H": H},
        path=path(layer.cell, x_TBD, starts_TB),
        alternative="its products alone",
    )


@pytest.mark.parametrize(("cell", "H"), HALVES)
def test_bf16(compare: Any, record: Any, cell: str, H: int) -> None:
    T, B = 35, 20
    layer, x_TBD, dh_TBH = window(cell, T, B, H, "cpu")
    starts_TB = torch.from_numpy(corpora.starts(T, B))
    in_float32 = ours(layer, x_TBD, starts_TB, dh_TBH)

    def in_bfloat16() -> tuple[Tensor, ...]:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return in_float32()

    assert_agree(in_bfloat16(), in_float32(), 0.05)
    pairs = compare(once(in_bfloat16, "cpu"), once(in_float32, "cpu"))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        kernel = path(layer.cell, x_TBD, starts_TB)
    record(
        pairs.times(),
        shape={"T": T, "B": B, "H": H},
        dtype="bfloat16",
        path=kernel,
        alternative="ours in float32",
    )


def window(cell: str, T: int, B: int, H: int, device: str) -> tuple[Layer, Tensor, Tensor]:
    """A layer, its inputs x_TBD and the gradient dh_TBH of its outputs."""
    x_TBD = torch.randn(T, B, H, device=device, requires_grad=True)
    return make(cell, H, H, device), x_TBD, torch.randn(T, B, H, device=device)


Forward = Callable[[Layer, Tensor, Tensor], Tensor]


def by_kernel(layer: Layer, x_TBD: Tensor, starts_TB: Tensor) -> Tensor:
    return layer(x_TBD, starts_TB, layer.cell.initial_state(x_TBD.shape[1], x_TBD))[0]


def step_by_step(layer: Layer, x_TBD: Tensor, starts_TB: Tensor) -> Tensor:
    state = layer.cell.initial_state(x_TBD.shape[1], x_TBD)
    return layers.step_by_step(layer.cell, x_TBD, starts_TB, state, False)[0]


def ours(layer: Layer, x_TBD: Tensor, starts_TB: Tensor, dh_TBH: Tensor, forward: Forward = by_kernel) -> Any:
    """Gradients of the inputs, both matrices and the bias."""
    cell = layer.cell
    return gradients(lambda: forward(layer, x_TBD, starts_TB), [x_TBD, cell.w_x, cell.w_h, cell.b], dh_TBH)
