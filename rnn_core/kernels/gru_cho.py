"""The GRU of Cho et al. over a whole window; the cell and its paper are in `rnn_core/cells/gru_cho.py`.

Forward, with x_r, x_z, x_n the rows of W_x x_t + b of all steps from one product, then two products a step:

    r, z = sigmoid((x_r, x_z) + W_hrz h_{t-1})
    n = tanh(x_n + W_hn (r * h_{t-1}))
    h_t = (1 - z) * n + z * h_{t-1}

Backward, from the last step to the first, where dh_t is what has come in from above and from step t + 1, da_* is the
gradient of what a gate is the sigmoid or tanh of, and u = r * h_{t-1}:

    da_n = dh_t * (1 - z) * (1 - n^2)     da_z = dh_t * (h_{t-1} - n) * z (1 - z)
    du = W_hn^T da_n                      da_r = du * h_{t-1} * r (1 - r)
    dh_{t-1} += dh_t * z + du * r + W_hrz^T (da_r, da_z)

    dx_t = (da_r, da_z, da_n)
    dW_hrz = sum over t of (da_r, da_z) h_{t-1}^T, dW_hn = sum over t of da_n u^T, one product each

All that dh_t and du are multiplied with is known before the first step back, and is found for the window at once.
At a reset h_{t-1} is zero, and no gradient goes on to it.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from rnn_core.cells.cell import Cell, State
from rnn_core.cells.gru_cho import GRUCho
from rnn_core.kernels.window import clear_, cleared, differentiable, last, reset_lanes, states, steps, tanh_
from rnn_core.products import autocast_backward, autocast_forward, linear, outer, recurrent

_sigmoid_backward = torch.ops.aten.sigmoid_backward.grad_input  # (d, y): d * y * (1 - y), y being the sigmoid
_tanh_backward = torch.ops.aten.tanh_backward.grad_input  # (d, y): d * (1 - y^2), y being the tanh


def kernel(cell: Cell, x_TBD: Tensor, resets_TB: Tensor, state: State, reverse: bool) -> tuple[Tensor, State]:
    """As every kernel: see `rnn_core.kernels`."""
    assert isinstance(cell, GRUCho)
    x_TBG = linear(x_TBD, cell.w_x, cell.b)
    keep = differentiable(x_TBG, cell.w_h, *state)
    h_TBH, h_BH = _Window.apply(x_TBG, cell.w_h, *state, resets_TB, reverse, keep)
    return h_TBH, (h_BH,)


class _Window(torch.autograd.Function):
    @staticmethod
    @autocast_forward
    def forward(
        ctx: Any, x_TBG: Tensor, w_h: Tensor, h_BH: Tensor, resets_TB: Tensor, reverse: bool, keep: bool
    ) -> tuple[Tensor, Tensor]:
        lanes_T = reset_lanes(resets_TB)
        h_before_TBH, h_after_TBH = states(h_BH, len(x_TBG), reverse)
        # The gates take the place of x, which is the kernel's own and needed no more.
        sizes = 2 * w_h.shape[1], w_h.shape[1]
        r_and_z, n = x_TBG.split(sizes, 2)
        r, z = r_and_z.chunk(2, 2)
        times_w_rz, times_w_n = (recurrent(w, len(h_BH)) for w in w_h.split(sizes))
        u = torch.empty_like(h_BH, memory_format=torch.contiguous_format)
        windows = lanes_T, r_and_z, r, z, n, h_before_TBH, h_after_TBH
        for lanes, r_z, r_, z_, n_, h, h_after in steps(*windows, reverse=reverse):
            if lanes is not None:
                h = clear_(h.clone(), lanes)  # aside: there it is the output of the step before
            r_z.add_(times_w_rz(h)).sigmoid_()
            tanh_(n_.add_(times_w_n(torch.mul(r_, h, out=u))))
            torch.lerp(n_, h, z_, out=h_after)
        if keep:
            ctx.save_for_backward(x_TBG, h_before_TBH, w_h, resets_TB)
            ctx.lanes_T, ctx.reverse = lanes_T, reverse
        return h_after_TBH, last(h_after_TBH, reverse)

    @staticmethod
    @once_differentiable
    @autocast_backward
    def backward(ctx: Any, dh_TBH: Tensor, dh_BH: Tensor) -> tuple[Tensor | None, ...]:
        gates_TBG, h_before_TBH, w_h, resets_TB = ctx.saved_tensors
        sizes = 2 * w_h.shape[1], w_h.shape[1]
        r, z, n = gates_TBG.chunk(3, 2)
        h_before_TBH = cleared(h_before_TBH, resets_TB)
        u_TBH = r * h_before_TBH
        da_TBG = torch.empty_like(gates_TBG)
        da_r, da_z, da_n = da_TBG.chunk(3, 2)
        # First what dh_t and du are to be multiplied with, at all steps.
        _sigmoid_backward(h_before_TBH, r, grad_input=da_r)
        _sigmoid_backward(h_before_TBH - n, z, grad_input=da_z)
        _tanh_backward(1 - z, n, grad_input=da_n)
        da_rz, da_zn = da_TBG[:, :, : sizes[0]], da_TBG[:, :, sizes[1] :].unflatten(2, (2, -1))
        times_w_rz, times_w_n = (recurrent(w.t(), len(dh_BH)) for w in w_h.split(sizes))
        dh_next = dh_BH
        windows = ctx.lanes_T, dh_TBH, da_rz, da_zn, da_r, da_n, r, z
        for lanes, dh_out, da_rz_, da_zn_, da_r_, da_n_, r_, z_ in steps(*windows, reverse=not ctx.reverse):
            dh = dh_next + dh_out
            da_zn_.mul_(dh[:, None])
            du = times_w_n(da_n_)
            da_r_.mul_(du)
            dh_next = clear_((dh * z_).addcmul_(r_, du).add_(times_w_rz(da_rz_)), lanes)
        # Copies: of a part of a wider matrix oneDNN makes the product hundreds of times slower.
        dw_rz = outer(da_rz.flatten(0, 1).contiguous(), h_before_TBH.flatten(0, 1))
        dw_n = outer(da_n.flatten(0, 1).contiguous(), u_TBH.flatten(0, 1))
        return da_TBG, torch.cat((dw_rz, dw_n)), dh_next, None, None, None
