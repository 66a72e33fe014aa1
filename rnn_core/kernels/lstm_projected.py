"""The LSTM with recurrent projection over a whole window; the cell and its paper: `rnn_core/cells/lstm_projected.py`.

Forward, with z_t = W_x x_t + b of all steps from one product, a_t the rows of z_t + W_h r_{t-1}, and y what the
projection is of; two products a step:

    i, f, o = sigmoid(a_i, a_f, a_o)      g = tanh(a_g)
    c_t = f * c_{t-1} + i * g             y_t = o * tanh(c_t)
    r_t = W_p y_t

Backward, from the last step to the first, where dr_t and dc_t are what has come in from above and from step t + 1:

    dy_t = W_p^T dr_t
    dc_t += dy_t * o * (1 - tanh(c_t)^2)
    da_i = dc_t * g * i (1 - i)           da_f = dc_t * c_{t-1} * f (1 - f)
    da_g = dc_t * i * (1 - g^2)           da_o = dy_t * tanh(c_t) * o (1 - o)
    dc_{t-1} = dc_t * f                   dr_{t-1} += W_h^T da_t

    dz_t = da_t
    dW_h = sum over t of da_t r_{t-1}^T, dW_p = sum over t of dr_t y_t^T, one product each

All that dc_t and dy_t are multiplied with is known before the first step back, and is found for the window at once.
At a reset r_{t-1} and c_{t-1} are zero, and no gradient goes on to them.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from rnn_core.cells.cell import Cell, State
from rnn_core.cells.lstm_projected import LSTMProjected
from rnn_core.kernels.lstm_gates import factors, gates_
from rnn_core.kernels.window import clear_, cleared, differentiable, last, reset_lanes, states, steps, tanh_
from rnn_core.products import autocast_backward, autocast_forward, linear, outer, recurrent


def kernel(cell: Cell, x_TBD: Tensor, resets_TB: Tensor, state: State, reverse: bool) -> tuple[Tensor, State]:
    """As every kernel: see `rnn_core.kernels`."""
    assert isinstance(cell, LSTMProjected)
    z_TBG = linear(x_TBD, cell.w_x, cell.b)
    keep = differentiable(z_TBG, cell.w_h, cell.w_p, *state)
    r_TBH, r_BH, c_BM = _Window.apply(z_TBG, cell.w_h, cell.w_p, *state, resets_TB, reverse, keep)
    return r_TBH, (r_BH, c_BM)


class _Window(torch.autograd.Function):
    @staticmethod
    @autocast_forward
    def forward(
        ctx: Any,
        z_TBG: Tensor,
        w_h: Tensor,
        w_p: Tensor,
        r_BH: Tensor,
        c_BM: Tensor,
        resets_TB: Tensor,
        reverse: bool,
        keep: bool,
    ) -> tuple[Tensor, Tensor, Tensor]:
        lanes_T = reset_lanes(resets_TB)
        r_before_TBH, r_after_TBH = states(r_BH, len(z_TBG), reverse)
        c_before_TBM, c_after_TBM = states(c_BM, len(z_TBG), reverse)
        # The gates take the place of z, which is the kernel's own and needed no more.
        i, f, g, o = z_TBG.chunk(4, 2)
        tanh_c_TBM, y = (torch.empty_like(c, memory_format=torch.contiguous_format) for c in (c_after_TBM, c_BM))
        times_w_h, times_w_p = recurrent(w_h, len(r_BH)), recurrent(w_p, len(r_BH))
        windows = z_TBG, i, f, g, o, tanh_c_TBM, r_before_TBH, c_before_TBM, r_after_TBH, c_after_TBM
        for lanes, z, i_, f_, g_, o_, tanh_c, r, c, r_after, c_after in steps(lanes_T, *windows, reverse=reverse):
            z.add_(clear_(times_w_h(r), lanes))
            gates_(z, g_)
            torch.mul(f_, clear_(c, lanes), out=c_after).addcmul_(i_, g_)
            tanh_(tanh_c.copy_(c_after))
            r_after.copy_(times_w_p(torch.mul(o_, tanh_c, out=y)))
        if keep:
            ctx.save_for_backward(z_TBG, tanh_c_TBM, c_before_TBM, r_before_TBH, w_h, w_p, resets_TB)
            ctx.lanes_T, ctx.reverse = lanes_T, reverse
        return r_after_TBH, last(r_after_TBH, reverse), last(c_after_TBM, reverse)

    @staticmethod
    @once_differentiable
    @autocast_backward
    def backward(ctx: Any, dr_TBH: Tensor, dr_BH: Tensor, dc_BM: Tensor) -> tuple[Tensor | None, ...]:
        gates_TBG, tanh_c_TBM, c_before_TBM, r_before_TBH, w_h, w_p, resets_TB = ctx.saved_tensors
        _, f, _, o = gates_TBG.chunk(4, 2)
        da_TBG, into_c_TBM = factors(gates_TBG, c_before_TBM, tanh_c_TBM)
        *_, da_o = da_TBG.chunk(4, 2)
        da_ifg = da_TBG[:, :, : 3 * w_p.shape[1]].unflatten(2, (3, -1))
        times_w_h, times_w_p = recurrent(w_h.t(), len(dr_BH)), recurrent(w_p.t(), len(dr_BH))
        dr_after_TBH, dr_next, dc = torch.empty_like(dr_TBH), dr_BH, dc_BM.clone()
        dc_B1M = dc[:, None]
        windows = ctx.lanes_T, dr_TBH, dr_after_TBH, da_TBG, da_ifg, da_o, into_c_TBM, f
        for lanes, dr_out, dr, da, da_ifg_, da_o_, into_c, f_ in steps(*windows, reverse=not ctx.reverse):
            dy = times_w_p(torch.add(dr_next, dr_out, out=dr))
            dc.addcmul_(dy, into_c)
            da_ifg_.mul_(dc_B1M)
            da_o_.mul_(dy)
            clear_(dc.mul_(f_), lanes)
            dr_next = clear_(times_w_h(da), lanes)
        dw_h = outer(da_TBG.flatten(0, 1), cleared(r_before_TBH, resets_TB).flatten(0, 1))
        dw_p = outer(dr_after_TBH.flatten(0, 1), (o * tanh_c_TBM).flatten(0, 1))
        return da_TBG, dw_h, dw_p, dr_next.to(dr_BH.dtype), dc, None, None, None
