"""What the cases share: devices, windows of random inputs, layers forward and backward, and when two results agree."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor

from rnn_core import cells, kernels
from rnn_core.cells import Cell
from rnn_core.kernels import separators
from rnn_core.layers import Layer, Stack, StackConfig

SHAPES = [(35, 20, 650), (35, 64, 256), (35, 64, 1024), (100, 32, 512)]
"""(T, B, H); inputs are as wide as the layer."""
NO_GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
NO_BFLOAT16 = pytest.mark.skipif(
    not torch.ops.mkldnn._is_mkldnn_bf16_supported(), reason="this processor has no bfloat16 product"
)

Gradients = Callable[[], tuple[Tensor, ...]]
"""Runs a layer forward and backward: gradients of the inputs and of its weights."""


def on_devices(name: str, *values: Any) -> list[Any]:
    """A case on the CPU and on a GPU, where there is one: `values`, then the device."""
    on_gpu = pytest.param(*values, "cuda", id=f"{name}/cuda", marks=NO_GPU)
    return [pytest.param(*values, "cpu", id=name), on_gpu]


def layer(cell: str, input_size: int, hidden_size: int, device: str = "cpu") -> Layer:
    return Layer(cells.make(cell, input_size, hidden_size)).to(device)


def stack(cell: str, input_size: int, hidden_size: int, bidirectional: bool) -> Stack:
    """Of one layer, nothing dropped."""
    config = StackConfig(cell=cell, hidden_size=hidden_size, num_layers=1, dropout=0.0, input_dropout=0.0)
    return Stack(config, input_size, bidirectional=bidirectional)


def path(cell: Cell, x_TBD: Tensor, resets_TB: Tensor, both: bool = False) -> str:
    """Name of the kernel that runs; `both`: in a layer of both directions."""
    if both and separators.fits_both(cell, x_TBD):
        return "onednn, separators"
    found = kernels.path(cell, x_TBD, resets_TB)
    return "step by step" if found is None else found.name


def gradients(forward: Callable[[], Tensor], inputs: Sequence[Tensor], dh: Tensor) -> Gradients:
    """
    Args:
        forward: gives the outputs.
        inputs: whose gradients are wanted.
        dh: the gradient of the outputs.
    """
    return lambda: torch.autograd.grad(forward(), inputs, dh)


def once(run: Callable[[], Any], device: str) -> Callable[[], float]:
    """`run` as one piece of work, waited for."""

    def work() -> float:
        run()
        if device == "cuda":
            torch.cuda.synchronize()
        return 1.0

    return work


def assert_agree(ours: Sequence[Tensor], theirs: Sequence[Tensor], tolerance: float = 1e-4) -> None:
    """Each pair differs by no more than `tolerance` times the largest number in it."""
    for mine, other in zip(ours, theirs, strict=True):
        scale = other.abs().max().item()
        torch.testing.assert_close(mine, other, atol=tolerance * scale, rtol=0, check_dtype=False)


def device_name(device: str) -> str:
    return device if device == "cpu" else f"cuda ({torch.cuda.get_device_name()})"
