"""The simple recurrent network over a whole window; the cell and its paper are in `rnn_core/cells/elman.py`.

Forward, with z_t = W_x x_t + b of all steps from one product:

    h_t = tanh(z_t + W_h h_{t-1})

Backward, from the last step to the first, where dh_t is what has come in from above and from step t + 1:

    dz_t = dh_t * (1 - h_t^2)             dh_{t-1} += W_h^T dz_t
    dW_h = sum over t of dz_t h_{t-1}^T, one product

At a reset h_{t-1} is zero, and no gradient goes on to it.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from rnn_core.cells.cell import Cell, State
from rnn_core.cells.elman import Elman
from rnn_core.kernels.window import cleared, differentiable, gradients, last, marks, states, steps
from rnn_core.products import adder, linear, outer

_tanh_backward = torch.ops.aten.tanh_backward  # (d, y): d * (1 - y^2), y being the tanh


def kernel(cell: Cell, x_TBD: Tensor, resets_TB: Tensor, state: State, reverse: bool) -> tuple[Tensor, State]:
    """As every kernel: see `rnn_core.kernels`."""
    assert isinstance(cell, Elman)
    z_TBG = linear(x_TBD, cell.w_x, cell.b)
    keep = differentiable(z_TBG, cell.w_h, *state)
    h_TBH, h_BH = _Window.apply(z_TBG, cell.w_h, *state, resets_TB, reverse, keep)
    return h_TBH, (h_BH,)


class _Window(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, z_TBH: Tensor, w_h: Tensor, h_BH: Tensor, resets_TB: Tensor, reverse: bool, keep: bool
    ) -> tuple[Tensor, Tensor]:
        h_before_TBH, h_after_TBH = states(h_BH, len(z_TBH), reverse)
        add_recurrent = adder(w_h, len(h_BH))
        # The window of z is the kernel's own, and may be written to.
        windows = marks(resets_TB), z_TBH, h_before_TBH, h_after_TBH
        for mark, z, h, h_after in steps(*windows, reverse=reverse):
            if mark is not None:
                h = h.masked_fill(mark, 0)  # aside: there it is the output of the step before
            add_recurrent(z, h)
            torch.tanh(z, out=h_after)
        if keep:
            ctx.save_for_backward(h_before_TBH, h_after_TBH, w_h, resets_TB)
            ctx.reverse = reverse
        return h_after_TBH, last(h_after_TBH, reverse)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dh_TBH: Tensor, dh_BH: Tensor) -> tuple[Tensor | None, ...]:
        h_before_TBH, h_after_TBH, w_h, resets_TB = ctx.saved_tensors
        # First what dh_t is to be multiplied with, at all steps.
        dz_TBH = _tanh_backward(torch.ones_like(h_after_TBH), h_after_TBH)
        dh_before_TBH, dh_after_TBH = gradients(dh_TBH, dh_BH, ctx.reverse)
        add_recurrent = adder(w_h.t(), len(dh_BH))
        windows = marks(resets_TB), dz_TBH, dh_after_TBH, dh_before_TBH
        for mark, dz, dh, dh_before in steps(*windows, reverse=not ctx.reverse):
            dz.mul_(dh)
            if mark is not None:
                dz = dz.masked_fill(mark, 0)
            add_recurrent(dh_before, dz)
        dw_h = outer(dz_TBH.flatten(0, 1), cleared(h_before_TBH, resets_TB).flatten(0, 1))
        return dz_TBH, dw_h, dh_before_TBH[-1 if ctx.reverse else 0], None, None, None
