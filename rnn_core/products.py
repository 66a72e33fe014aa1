"""Products of matrices, by oneDNN where that is faster.

In float32 on a CPU torch's own product goes to MKL, on an AMD processor at half of what oneDNN reaches, the library
that comes with torch and runs its `nn.LSTM`. The operator used here is torch's, written for its compiler and not
documented: without it, and for all other types and devices, the product is torch's own.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

LEAST_ROWS = 4
LEAST_WORK = 2**20
"""From this many multiplications on oneDNN is used: a call costs 11 us, in which MKL does half as many of them. With
one to three rows the time goes into reading the weights, which MKL does no slower."""

_available = torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")


def linear(x: Tensor, w: Tensor, b: Tensor | None) -> Tensor:
    """`torch.nn.functional.linear`: x_..D, w_GD, b_G -> z_..G, differentiable once."""
    return _Linear.apply(x.reshape(-1, x.shape[-1]), w, b).reshape(*x.shape[:-1], len(w))


def product(x: Tensor, w: Tensor, b: Tensor | None = None) -> Tensor:
    """x w^T + b: x_ND, w_GD, b_G -> z_NG. Not differentiable."""
    if _by_onednn(w, len(x)):
        return torch.ops.mkldnn._linear_pointwise(x, w, b, "none", [], "")
    return torch.nn.functional.linear(x, w, b)


def outer(dz: Tensor, x: Tensor) -> Tensor:
    """dz^T x, the gradient of w in x w^T: dz_NG, x_ND -> dw_GD. Not differentiable."""
    # oneDNN first turns the left factor round in memory. Let that be x: G is mostly a multiple of D.
    return product(x.t(), dz.t()).t().contiguous()


def adder(w: Tensor, rows: int) -> Callable[[Tensor, Tensor], object]:
    """A function of (z_NG, x_ND) that adds x w^T to z in place, for use with the same w_GD and N again and again."""
    if _by_onednn(w, rows):
        linear_pointwise = torch.ops.mkldnn._linear_pointwise
        return lambda z, x: z.add_(linear_pointwise(x, w, None, "none", [], ""))
    w_DG = w.t()
    return lambda z, x: z.addmm_(x, w_DG)


def _by_onednn(w: Tensor, rows: int) -> bool:
    large = rows >= LEAST_ROWS and rows * w.numel() >= LEAST_WORK
    return _available and large and w.dtype == torch.float32 and w.device.type == "cpu"


class _Linear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x_ND: Tensor, w_GD: Tensor, b_G: Tensor | None) -> Tensor:
        ctx.save_for_backward(x_ND, w_GD)
        return product(x_ND, w_GD, b_G)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dz_NG: Tensor) -> tuple[Tensor | None, ...]:
        x_ND, w_GD = ctx.saved_tensors
        x, w, b = ctx.needs_input_grad
        return (
            product(dz_NG, w_GD.t()) if x else None,
            outer(dz_NG, x_ND) if w else None,
            dz_NG.sum(0) if b else None,
        )
