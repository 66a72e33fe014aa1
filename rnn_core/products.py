"""Products of matrices, by oneDNN where that is faster, and in bfloat16 where the caller's autocast asks for it.

In float32 on a CPU torch's own product goes to MKL, on an AMD processor at half of what oneDNN reaches, the library
that comes with torch and runs its `nn.LSTM`. The operators used here are torch's, written for its compiler and not
documented: without them, and for all other types and devices, the product is torch's own.

Under `torch.autocast("cpu", dtype=torch.bfloat16)` the factors of a float32 product are rounded to bfloat16; sums are
kept in float32 inside the product, and the result is float32 again, so weights, states and gradients stay what they
were. A backward pass needs the same context: `autocast_forward` and `autocast_backward` carry it there.
"""

from collections.abc import Callable
from typing import Any, TypeVar, cast

import torch
from torch import Tensor, nn
from torch.amp import custom_bwd, custom_fwd
from torch.autograd.function import once_differentiable

F = TypeVar("F", bound=Callable[..., Any])

LEAST_ROWS = 4
LEAST_WORK = 2**20
"""From this many multiplications on oneDNN is used: a call costs 11 us, in which MKL does half as many of them. With
one to three rows the time goes into reading the weights, which MKL does no slower."""

_available = torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")


def linear(x: Tensor, w: Tensor, b: Tensor | None) -> Tensor:
    """`torch.nn.functional.linear`: x_..D, w_GD, b_G -> z_..G, differentiable once on a CPU."""
    if x.device.type != "cpu":
        return torch.nn.functional.linear(x, w, b)
    return _Linear.apply(x.reshape(-1, x.shape[-1]), w, b).reshape(*x.shape[:-1], len(w))


def product(x: Tensor, w: Tensor, b: Tensor | None = None) -> Tensor:
    """x w^T + b: x_ND, w_GD, b_G -> z_NG. Not differentiable. Factors in bfloat16 give float32 too."""
    if reduced(x) or x.dtype == torch.bfloat16:
        # torch's own product goes to oneDNN here, and copes with turned factors where the operator below copies them.
        z = torch.mm(x.bfloat16(), w.bfloat16().t()).float()
        return z if b is None else z.add_(b)
    return _onednn(x, w, b) if _by_onednn(w, len(x)) else torch.nn.functional.linear(x, w, b)


def outer(dz: Tensor, x: Tensor) -> Tensor:
    """dz^T x, the gradient of w in x w^T: dz_NG, x_ND -> dw_GD. Not differentiable."""
    w_GD = x.new_empty(dz.shape[1], x.shape[1])
    if reduced(dz) or dz.dtype == torch.bfloat16:
        return product(dz.bfloat16().t(), x.t())
    if dz.dtype != torch.float32 or not _by_onednn(w_GD, len(x)):
        return product(dz.t(), x.t())
    # The backward pass of oneDNN's linear layer, which rearranges nothing in memory; of w_GD its shape alone is used.
    dz, x = dz.contiguous().to_mkldnn(), x.contiguous().to_mkldnn()
    return torch.ops.aten.mkldnn_linear_backward_weights(dz, x, w_GD, False)[0]


def lower(x: Tensor) -> Tensor:
    """x as products under autocast take it: to be kept in its place where several will."""
    return x.bfloat16() if reduced(x) else x


def recurrent(w: Tensor, rows: int) -> Callable[[Tensor], Tensor]:
    """A function x_NG -> x w^T that is called again and again with the same w_GD and N: a window's product a step.

    What it returns is the caller's to write to. oneDNN's layout of the weights is made once, which lifts products of
    some dozen rows by an eighth to a third.
    """
    low, w = reduced(w), lower(w)
    if not _by_onednn(w, rows):
        w_DG = w.t()
        return (lambda x: torch.mm(x.bfloat16(), w_DG).float()) if low else (lambda x: torch.mm(x, w_DG))
    packed, call = torch.ops.mkldnn._reorder_linear_weight(w, rows), torch.ops.mkldnn._linear_pointwise
    if low:
        return lambda x: call(x.bfloat16(), packed, None, "none", [], "")
    return lambda x: call(x, packed, None, "none", [], "")


def reduced(x: Tensor) -> bool:
    """Whether products with this tensor are to be in bfloat16: one of float32 on a CPU, under autocast."""
    wanted = torch.is_autocast_enabled("cpu") and torch.get_autocast_dtype("cpu") == torch.bfloat16
    return wanted and x.dtype == torch.float32 and x.device.type == "cpu"


def bfloat16_pays(device: torch.device | str) -> bool:
    """Whether the device multiplies in bfloat16 by itself; elsewhere it would be slower than float32."""
    if torch.device(device).type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return _available and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def _onednn(x: Tensor, w: Tensor, b: Tensor | None = None) -> Tensor:
    return torch.ops.mkldnn._linear_pointwise(_dense(x), _dense(w), b, "none", [], "")


def _dense(x: Tensor) -> Tensor:
    """Rows or columns without gaps: a slice of columns, turned round, is hundreds of times slower."""
    return x if x.is_contiguous() or x.t().is_contiguous() else x.contiguous()


def _by_onednn(w: Tensor, rows: int) -> bool:
    large = rows >= LEAST_ROWS and rows * w.numel() >= LEAST_WORK
    # A processor that does not multiply in bfloat16 is refused there; torch's own product emulates it.
    known = w.dtype == torch.float32 or (w.dtype == torch.bfloat16 and bfloat16_pays("cpu"))
    return _available and large and known and w.device.type == "cpu"


class Linear(nn.Linear):
    """`torch.nn.Linear` by the products of this file."""

    def forward(self, x: Tensor) -> Tensor:
        return linear(x, self.weight, self.bias)


def autocast_forward(forward: F) -> F:
    """For the `forward` of an autograd function with products: `backward`'s will be of the same precision."""
    return cast(F, custom_fwd(forward, device_type="cpu"))


def autocast_backward(backward: F) -> F:
    """For its `backward`, which mostly runs outside of the caller's autocast."""
    return cast(F, custom_bwd(backward, device_type="cpu"))


class _Linear(torch.autograd.Function):
    @staticmethod
    @autocast_forward
    def forward(ctx: Any, x_ND: Tensor, w_GD: Tensor, b_G: Tensor | None) -> Tensor:
        x_ND, w_GD = lower(x_ND), lower(w_GD)
        ctx.save_for_backward(x_ND, w_GD)
        return product(x_ND, w_GD, b_G)

    @staticmethod
    @once_differentiable
    @autocast_backward
    def backward(ctx: Any, dz_NG: Tensor) -> tuple[Tensor | None, ...]:
        x_ND, w_GD = ctx.saved_tensors
        x, w, b = ctx.needs_input_grad
        db_G, dz_NG = dz_NG.sum(0) if b else None, lower(dz_NG)
        return product(dz_NG, w_GD.t()) if x else None, outer(dz_NG, x_ND) if w else None, db_G
