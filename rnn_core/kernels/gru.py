"""The GRU over a whole window; the cell and its paper are in `rnn_core/cells/gru.py`.

Forward, with x_r, x_z, x_n the rows of W_x x_t + b of all steps from one product, u_* those of W_h h_{t-1}, and
m = u_n + b_hn:

    r, z = sigmoid(x_r + u_r, x_z + u_z)  n = tanh(x_n + r * m)
    h_t = (1 - z) * n + z * h_{t-1}

Backward, from the last step to the first, where dh_t is what has come in from above and from step t + 1, and da_* is
the gradient of what a gate is the sigmoid or tanh of:

    da_n = dh_t * (1 - z) * (1 - n^2)     dm = da_n * r
    da_r = da_n * m * r (1 - r)           da_z = dh_t * (h_{t-1} - n) * z (1 - z)
    dh_{t-1} += dh_t * z + W_h^T (da_r, da_z, dm)

    dx_t = (da_r, da_z, da_n)             db_hn = sum of dm
    dW_h = sum over t of (da_r, da_z, dm) h_{t-1}^T, one product

All that dh_t is multiplied with is known before the first step back, and is found for the window at once.
At a reset h_{t-1} is zero, and no gradient goes on to it.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from rnn_core.cells.cell import Cell, State
from rnn_core.cells.gru import GRU
from rnn_core.kernels.window import clear_, cleared, differentiable, last, reset_lanes, states, steps, tanh_
from rnn_core.products import autocast_backward, autocast_forward, linear, outer, recurrent

_sigmoid_backward = torch.ops.aten.sigmoid_backward.grad_input  # (d, y): d * y * (1 - y), y being the sigmoid
_tanh_backward = torch.ops.aten.tanh_backward  # (d, y): d * (1 - y^2), y being the tanh


def kernel(cell: Cell, x_TBD: Tensor, resets_TB: Tensor, state: State, reverse: bool) -> tuple[Tensor, State]:
    """As every kernel: see `rnn_core.kernels`."""
    assert isinstance(cell, GRU)
    x_TBG = linear(x_TBD, cell.w_x, cell.b)
    keep = differentiable(x_TBG, cell.w_h, cell.b_hn, *state)
    h_TBH, h_BH = _Window.apply(x_TBG, cell.w_h, cell.b_hn, *state, resets_TB, reverse, keep)
    return h_TBH, (h_BH,)


class _Window(torch.autograd.Function):
    @staticmethod
    @autocast_forward
    def forward(
        ctx: Any, x_TBG: Tensor, w_h: Tensor, b_hn: Tensor, h_BH: Tensor, resets_TB: Tensor, reverse: bool, keep: bool
    ) -> tuple[Tensor, Tensor]:
        lanes_T = reset_lanes(resets_TB)
        h_before_TBH, h_after_TBH = states(h_BH, len(x_TBG), reverse)
        # The window of x is the kernel's own: x_r and x_z become r and z, x_n makes room for m and becomes n apart.
        # So all of W_h h is added by one sum.
        r, z, m = x_TBG.chunk(3, 2)
        r_and_z, n_TBH = x_TBG[:, :, : 2 * w_h.shape[1]], m.clone(memory_format=torch.contiguous_format)
        m.copy_(b_hn)
        times_w_h = recurrent(w_h, len(h_BH))
        windows = lanes_T, x_TBG, r_and_z, r, z, m, n_TBH, h_before_TBH, h_after_TBH
        for lanes, a, r_z, r_, z_, m_, n, h, h_after in steps(*windows, reverse=reverse):
            a.add_(clear_(times_w_h(h), lanes))
            r_z.sigmoid_()
            tanh_(n.addcmul_(r_, m_))
            # Aside at a reset: there h is the output of the step before.
            torch.lerp(n, h if lanes is None else clear_(h.clone(), lanes), z_, out=h_after)
        if keep:
            ctx.save_for_backward(x_TBG, n_TBH, h_before_TBH, w_h, resets_TB)
            ctx.lanes_T, ctx.reverse = lanes_T, reverse
        return h_after_TBH, last(h_after_TBH, reverse)

    @staticmethod
    @once_differentiable
    @autocast_backward
    def backward(ctx: Any, dh_TBH: Tensor, dh_BH: Tensor) -> tuple[Tensor | None, ...]:
        gates_TBG, n_TBH, h_before_TBH, w_h, resets_TB = ctx.saved_tensors
        r, z, m = gates_TBG.chunk(3, 2)
        h_before_TBH = cleared(h_before_TBH, resets_TB)
        da_TBG = torch.empty_like(gates_TBG)
        da_r, da_z, dm = da_TBG.chunk(3, 2)
        # First what dh_t is to be multiplied with, at all steps.
        into_n_TBH = _tanh_backward(1 - z, n_TBH)
        torch.mul(into_n_TBH, r, out=dm)
        _sigmoid_backward(into_n_TBH * m, r, grad_input=da_r)
        _sigmoid_backward(h_before_TBH - n_TBH, z, grad_input=da_z)
        da_TB3H, dh_TB1H = da_TBG.unflatten(2, (3, -1)), torch.empty_like(n_TBH)[:, :, None]
        times_w_h, dh_next = recurrent(w_h.t(), len(dh_BH)), dh_BH
        windows = ctx.lanes_T, dh_TBH, da_TBG, da_TB3H, dh_TB1H, z
        for lanes, dh_out, da, da_B3H, dh_B1H, z_ in steps(*windows, reverse=not ctx.reverse):
            dh = torch.add(dh_next, dh_out, out=dh_B1H[:, 0])
            da_B3H.mul_(dh_B1H)
            dh_next = clear_((dh * z_).add_(times_w_h(da)), lanes)
        dw_h = outer(da_TBG.flatten(0, 1), h_before_TBH.flatten(0, 1))
        db_hn = dm.sum((0, 1))
        # Where dm stood, x_n's own gradient.
        torch.mul(into_n_TBH, dh_TB1H[:, :, 0], out=dm)
        return da_TBG, dw_h, db_hn, dh_next, None, None, None
