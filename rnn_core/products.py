"""Products of matrices, by oneDNN where that is possible.

In float32 on a CPU torch's own product goes to MKL, on an AMD processor at half of what oneDNN reaches, the library
that comes with torch and runs its `nn.LSTM`. The operator used here is torch's, written for its compiler and not
documented: without it, and for all other types and devices, the product is torch's own.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

_available = torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")


def linear(x: Tensor, w: Tensor, b: Tensor) -> Tensor:
    """`torch.nn.functional.linear`: x_..D, w_GD, b_G -> z_..G, differentiable once."""
    return _Linear.apply(x.flatten(0, -2), w, b).unflatten(0, x.shape[:-1])


def product(x: Tensor, w: Tensor, b: Tensor | None = None) -> Tensor:
    """x w^T + b: x_ND, w_GD, b_G -> z_NG. Not differentiable."""
    if _fit(x, w):
        return torch.ops.mkldnn._linear_pointwise(x, w, b, "none", [], "")
    return torch.nn.functional.linear(x, w, b)


def outer(dz: Tensor, x: Tensor) -> Tensor:
    """dz^T x, the gradient of w in x w^T: dz_NG, x_ND -> dw_GD. Not differentiable."""
    # oneDNN would first turn the left one round in memory. This way that is x, and G is a multiple of H.
    return product(x.t(), dz.t()).t().contiguous()


def adder(w: Tensor) -> Callable[[Tensor, Tensor], object]:
    """A function of (z_NG, x_ND) that adds x w^T to z in place, for use with the same w_GD again and again."""
    if _fit(w):
        linear_pointwise = torch.ops.mkldnn._linear_pointwise
        return lambda z, x: z.add_(linear_pointwise(x, w, None, "none", [], ""))
    w_DG = w.t()
    return lambda z, x: z.addmm_(x, w_DG)


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
            outer(dz_NG, x_ND) if w else None,
            dz_NG.sum(0) if b else None,
        )
