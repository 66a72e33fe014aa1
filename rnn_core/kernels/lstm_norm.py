"""The layer-normalised LSTM over a whole window; the cell and its paper are in `rnn_core/cells/lstm_norm.py`.

Forward, with z_t = s_x * LN(W_x x_t) + b of all steps at once, and u_t = W_h h_{t-1}:

    a_t = z_t + s_h * LN(u_t)
    i, f, o = sigmoid(a_i, a_f, a_o)      g = tanh(a_g)
    c_t = f * c_{t-1} + i * g             y_t = tanh(s_c * LN(c_t) + b_c)
    h_t = o * y_t

Backward, from the last step to the first, where dh_t and dc_t are what has come in from above and from step t + 1,
dv_t is the gradient of what y_t is the tanh of, and LN'_u(d) that of u where d is that of LN(u):

    LN'_u(d) = (d - mean(d) - LN(u) * mean(d * LN(u))) / sqrt(var(u) + epsilon)

    dv_t = dh_t * o * (1 - y_t^2)         dc_t += LN'_c(s_c * dv_t)
    da_i = dc_t * g * i (1 - i)           da_f = dc_t * c_{t-1} * f (1 - f)
    da_g = dc_t * i * (1 - g^2)           da_o = dh_t * y_t * o (1 - o)
    du_t = LN'_u(s_h * da_t)
    dc_{t-1} = dc_t * f                   dh_{t-1} += W_h^T du_t

    dz_t = da_t                           dW_h = sum over t of du_t h_{t-1}^T, one product
    ds_h = sum over t of da_t * LN(u_t)   ds_c = sum over t of dv_t * LN(c_t)         db_c = sum over t of dv_t

All that dc_t and dh_t are multiplied with is known before the first step back, and is found for the window at once.
At a reset h_{t-1} and c_{t-1} are zero, and no gradient goes on to them.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from rnn_core.cells.cell import Cell, State
from rnn_core.cells.lstm_norm import EPSILON, LSTMNorm
from rnn_core.kernels.lstm_gates import factors, gates_
from rnn_core.kernels.window import clear_, cleared, differentiable, last, reset_lanes, states, steps, tanh_
from rnn_core.products import autocast_backward, autocast_forward, outer, recurrent

_norm = torch.native_layer_norm  # (x, sizes, gain, bias, epsilon): LN(x), and of x the mean and 1/sqrt(var + epsilon)
_norm_backward = torch.ops.aten.native_layer_norm_backward
_OF_X = [True, False, False]
"""Of the three gradients that `_norm_backward` can give, those of x, gain and bias, the first."""


def kernel(cell: Cell, x_TBD: Tensor, resets_TB: Tensor, state: State, reverse: bool) -> tuple[Tensor, State]:
    """As every kernel: see `rnn_core.kernels`."""
    assert isinstance(cell, LSTMNorm)
    z_TBG, weights = cell.inputs(x_TBD), (cell.w_h, cell.s_h, cell.s_c, cell.b_c)
    keep = differentiable(z_TBG, *weights, *state)
    h_TBH, h_BH, c_BH = _Window.apply(z_TBG, *weights, *state, resets_TB, reverse, keep)
    return h_TBH, (h_BH, c_BH)


class _Window(torch.autograd.Function):
    @staticmethod
    @autocast_forward
    def forward(
        ctx: Any,
        z_TBG: Tensor,
        w_h: Tensor,
        s_h: Tensor,
        s_c: Tensor,
        b_c: Tensor,
        h_BH: Tensor,
        c_BH: Tensor,
        resets_TB: Tensor,
        reverse: bool,
        keep: bool,
    ) -> tuple[Tensor, Tensor, Tensor]:
        lanes_T = reset_lanes(resets_TB)
        h_before_TBH, h_after_TBH = states(h_BH, len(z_TBG), reverse)
        c_before_TBH, c_after_TBH = states(c_BH, len(z_TBG), reverse)
        # The gates take the place of z, which is the kernel's own and needed no more.
        i, f, g, o = z_TBG.chunk(4, 2)
        u_TBG, y_TBH = torch.empty_like(z_TBG), torch.empty_like(o, memory_format=torch.contiguous_format)
        times_w_h = recurrent(w_h, len(h_BH))
        windows = z_TBG, u_TBG, i, f, g, o, y_TBH, h_before_TBH, c_before_TBH, h_after_TBH, c_after_TBH
        for lanes, z, u, i_, f_, g_, o_, y, h, c, h_after, c_after in steps(lanes_T, *windows, reverse=reverse):
            if lanes is not None:
                c = clear_(c.clone(), lanes)  # aside: there it is the memory after the step before
            u.copy_(clear_(times_w_h(h), lanes))
            z.add_(_norm(u, s_h.shape, s_h, None, EPSILON)[0])
            gates_(z, g_)
            torch.mul(f_, c, out=c_after).addcmul_(i_, g_)
            tanh_(y.copy_(_norm(c_after, s_c.shape, s_c, b_c, EPSILON)[0]))
            torch.mul(o_, y, out=h_after)
        if keep:
            ctx.save_for_backward(
                z_TBG, u_TBG, y_TBH, c_after_TBH, c_before_TBH, h_before_TBH, w_h, s_h, s_c, resets_TB
            )
            ctx.lanes_T, ctx.reverse = lanes_T, reverse
        return h_after_TBH, last(h_after_TBH, reverse), last(c_after_TBH, reverse)

    @staticmethod
    @once_differentiable
    @autocast_backward
    def backward(ctx: Any, dh_TBH: Tensor, dh_BH: Tensor, dc_BH: Tensor) -> tuple[Tensor | None, ...]:
        gates_TBG, u_TBG, y_TBH, c_TBH, c_before_TBH, h_before_TBH, w_h, s_h, s_c, resets_TB = ctx.saved_tensors
        c_before_TBH = cleared(c_before_TBH, resets_TB)
        _, f, _, _ = gates_TBG.chunk(4, 2)
        du_TBG = torch.empty_like(u_TBG)
        da_TBG, dv_TBH = factors(gates_TBG, c_before_TBH, y_TBH)
        *_, da_o = da_TBG.chunk(4, 2)
        da_ifg = da_TBG[:, :, : 3 * w_h.shape[1]].unflatten(2, (3, -1))
        norm_u_TBG, *of_u = _norm(u_TBG, s_h.shape, None, None, EPSILON)
        norm_c_TBH, *of_c = _norm(c_TBH, s_c.shape, None, None, EPSILON)
        times_w_h, dh, dc = recurrent(w_h.t(), len(dh_BH)), dh_BH, dc_BH.clone()
        dc_B1H = dc[:, None]
        inner = u_TBG, *of_u, du_TBG, c_TBH, *of_c, dv_TBH
        windows = ctx.lanes_T, dh_TBH, *inner, da_TBG, da_ifg, da_o, f
        for lanes, dh_out, u, mean_u, scale_u, du, c, mean_c, scale_c, dv, da, da_ifg_, da_o_, f_ in steps(
            *windows, reverse=not ctx.reverse
        ):
            dh = dh + dh_out
            dv.mul_(dh)
            dc.add_(_norm_backward(dv, c, s_c.shape, mean_c, scale_c, s_c, None, _OF_X)[0])
            da_ifg_.mul_(dc_B1H)
            da_o_.mul_(dh)
            clear_(dc.mul_(f_), lanes)
            du.copy_(_norm_backward(da, u, s_h.shape, mean_u, scale_u, s_h, None, _OF_X)[0])
            dh = clear_(times_w_h(du), lanes)
        dw_h = outer(du_TBG.flatten(0, 1), cleared(h_before_TBH, resets_TB).flatten(0, 1))
        ds_h, ds_c = (da_TBG * norm_u_TBG).sum((0, 1)), (dv_TBH * norm_c_TBH).sum((0, 1))
        return da_TBG, dw_h, ds_h, ds_c, dv_TBH.sum((0, 1)), dh.to(dh_BH.dtype), dc, None, None, None
