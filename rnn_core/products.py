"""Products of matrices, by oneDNN where that is possible.

In float32 on a CPU torch's own product goes to MKL, on an AMD processor at half of what oneDNN reaches, the library
that comes with torch and runs its `nn.LSTM`. The two operators used here are torch's, written for its compiler and
not documented: without them, and for all other types and devices, the product is torch's own.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

FEW_STEPS = 16
"""A weight is packed once a window, which takes as long as one to four of its products: fewer do not win it back."""

_available = torch.backends.mkldnn.is_available() and all(
    hasattr(torch.ops.mkldnn, name) for name in ("_linear_pointwise", "_reorder_linear_weight")
)


def linear(x: Tensor, w: Tensor, b: Tensor) -> Tensor:
    """`torch.nn.functional.linear`: x_..D, w_GD, b_G -> z_..G, differentiable once."""
    return _Linear.apply(x.flatten(0, -2), w, b).unflatten(0, x.shape[:-1])


def product(x: Tensor, w: Tensor, b: Tensor | None = None) -> Tensor:
    """x w^T + b: x_ND, w_GD, b_G -> z_NG. Not differentiable."""
    if _fit(x, w):
        return torch.ops.mkldnn._linear_pointwise(x, w, b, "none", [], "")
    return torch.nn.functional.linear(x, w, b)


def adder(w: Tensor, rows: int, times: int) -> Callable[[Tensor, Tensor], object]:
    """A function that adds x w^T to z in place, of (z_BG, x_BD), for use with the same w_GD again and again.

    Args:
        rows: B.
        times: how often it will be called.
    """
    if times < FEW_STEPS or not rows or not _fit(w):
        w_DG = w.t()
        return lambda z, x: z.addmm_(x, w_DG)
    linear_pointwise = torch.ops.mkldnn._linear_pointwise
    packed = torch.ops.mkldnn._reorder_linear_weight(w, rows)
    return lambda z, x: z.add_(linear_pointwise(x, packed, None, "none", [], ""))


def _fit(*matrices: Tensor) -> bool:
    return _available and all(m.dtype == torch.float32 and m.device.type == "cpu" and m.numel() for m in matrices)


class _Linear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x_ND: Tensor, w_GD: Tensor, b_G: Tensor) -> Tensor:
        ctx.save_for_backward(x_ND, w_GD)
        return product(x_ND, w_GD, b_G)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dz_NG: Tensor) -> tuple[Tensor | None, ...]:
        x_ND, w_GD = ctx.saved_tensors
        x, w, b = ctx.needs_input_grad
        return (
            product(dz_NG, w_GD.t()) if x else None,
            product(dz_NG.t(), x_ND.t()) if w else None,
            dz_NG.sum(0) if b else None,
        )
