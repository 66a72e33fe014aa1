"""The sLSTM over a whole window; the cell and its paper are in `rnn_core/cells/slstm.py`.

Forward, with W_x x_t + b of all steps from one product, a_t its rows with W_h h_{t-1} added, and l = log sigmoid(a_f):

    m_t = max(l + m_{t-1}, a_i)           i = exp(a_i - m_t)    f = exp(l + m_{t-1} - m_t)
    z = tanh(a_z)                         o = sigmoid(a_o)
    c_t = f * c_{t-1} + i * z             n_t = f * n_{t-1} + i
    h_t = o * c_t / n_t

Backward, from the last step to the first, where dh_t, dc_t, dn_t and dm_t are what has come in from above and from
step t + 1. Wherever l + m_{t-1} is the larger, k = 1 (there f = 1), and elsewhere k = 0 (there i = 1):

    dc_t += dh_t * o / n_t                dn_t -= dh_t * o / n_t * c_t / n_t
    e_t = dc_t * c_t + dn_t * n_t - dm_t
    da_i = (dc_t * z + dn_t) * i - (1 - k) * e_t
    dl = (dc_t * c_{t-1} + dn_t * n_{t-1}) * f - k * e_t
    da_f = dl * (1 - sigmoid(a_f))
    da_z = dc_t * i * (1 - z^2)           da_o = dh_t * c_t / n_t * o (1 - o)
    dc_{t-1} = dc_t * f                   dn_{t-1} = dn_t * f                   dm_{t-1} = dl
    dh_{t-1} += W_h^T da_t

    dx_t = da_t                           dW_h = sum over t of da_t h_{t-1}^T, one product

e is what a loss would gain by exp(-m) c and exp(-m) n in the place of c and n. h does not change by that, and from the
lines above e_{t-1} = k * e_t: so e is zero but for a loss that sees c, n or m after the window, and e is carried on
instead of dm. All that dc_t, dn_t, e_t and dh_t are multiplied with is known before the first step back, and is found
for the window at once. At a reset h, c, n are zero and m is minus infinity, so that f = 0 and i = 1; no gradient goes
on to them.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from rnn_core.cells.cell import Cell, State
from rnn_core.cells.slstm import SLSTM
from rnn_core.kernels.window import clear_, cleared, differentiable, last, reset_lanes, states, steps, tanh_
from rnn_core.products import autocast_backward, autocast_forward, linear, outer, recurrent

_log_sigmoid = torch.ops.aten.log_sigmoid.out
_sigmoid_backward = torch.ops.aten.sigmoid_backward.grad_input  # (d, y): d * y * (1 - y), y being the sigmoid
_tanh_backward = torch.ops.aten.tanh_backward.grad_input  # (d, y): d * (1 - y^2), y being the tanh


def kernel(cell: Cell, x_TBD: Tensor, resets_TB: Tensor, state: State, reverse: bool) -> tuple[Tensor, State]:
    """As every kernel: see `rnn_core.kernels`."""
    assert isinstance(cell, SLSTM)
    x_TBG = linear(x_TBD, cell.w_x, cell.b)
    keep = differentiable(x_TBG, cell.w_h, *state)
    h_TBH, *after = _Window.apply(x_TBG, cell.w_h, *state, resets_TB, reverse, keep)
    return h_TBH, tuple(after)


class _Window(torch.autograd.Function):
    @staticmethod
    @autocast_forward
    def forward(
        ctx: Any,
        x_TBG: Tensor,
        w_h: Tensor,
        h_BH: Tensor,
        c_BH: Tensor,
        n_BH: Tensor,
        m_BH: Tensor,
        resets_TB: Tensor,
        reverse: bool,
        keep: bool,
    ) -> tuple[Tensor, ...]:
        lanes_T = reset_lanes(resets_TB)
        h_before_TBH, h_after_TBH = states(h_BH, len(x_TBG), reverse)
        c_before_TBH, c_after_TBH = states(c_BH, len(x_TBG), reverse)
        n_before_TBH, n_after_TBH = states(n_BH, len(x_TBG), reverse)
        # The gates take the place of x, which is the kernel's own and needed no more.
        i, f, z, o = x_TBG.chunk(4, 2)
        i_and_f = x_TBG[:, :, : 2 * w_h.shape[1]].unflatten(2, (2, -1))
        log_f_TBH = torch.empty_like(f, memory_format=torch.contiguous_format)
        m, times_w_h = m_BH.clone(), recurrent(w_h, len(h_BH))
        m_B1H = m[:, None]
        befores, afters = (h_before_TBH, c_before_TBH, n_before_TBH), (h_after_TBH, c_after_TBH, n_after_TBH)
        windows = lanes_T, x_TBG, i_and_f, i, f, z, o, log_f_TBH, *befores, *afters
        for lanes, a, i_f, i_, f_, z_, o_, log_f, h, c, n, h_after, c_after, n_after in steps(
            *windows, reverse=reverse
        ):
            if lanes is not None:
                # Aside: there they are the states after the step before.
                c, n = clear_(c.clone(), lanes), clear_(n.clone(), lanes)
                clear_(m, lanes, -torch.inf)
            a.add_(clear_(times_w_h(h), lanes))
            torch.add(_log_sigmoid(f_, out=log_f), m, out=f_)
            torch.maximum(i_, f_, out=m)
            i_f.sub_(m_B1H).exp_()
            tanh_(z_)
            o_.sigmoid_()
            torch.mul(f_, c, out=c_after).addcmul_(i_, z_)
            torch.mul(f_, n, out=n_after).add_(i_)
            torch.div(c_after, n_after, out=h_after).mul_(o_)
        if keep:
            ctx.save_for_backward(
                x_TBG, log_f_TBH, c_before_TBH, c_after_TBH, n_before_TBH, n_after_TBH, h_before_TBH, w_h, resets_TB
            )
            ctx.lanes_T, ctx.reverse = lanes_T, reverse
        return h_after_TBH, *(last(after_TBH, reverse) for after_TBH in afters), m

    @staticmethod
    @once_differentiable
    @autocast_backward
    def backward(
        ctx: Any, dh_TBH: Tensor, dh_BH: Tensor, dc_BH: Tensor, dn_BH: Tensor, dm_BH: Tensor
    ) -> tuple[Tensor | None, ...]:
        gates_TBG, log_f_TBH, c_before_TBH, c_TBH, n_before_TBH, n_TBH, h_before_TBH, w_h, resets_TB = ctx.saved_tensors
        c_before_TBH, n_before_TBH = cleared(c_before_TBH, resets_TB), cleared(n_before_TBH, resets_TB)
        first, final = (-1, 0) if ctx.reverse else (0, -1)
        i, f, z, o = gates_TBG.chunk(4, 2)
        da_TBG = torch.empty_like(gates_TBG)
        da_i, da_f, da_z, da_o = da_TBG.chunk(4, 2)
        # First what dc_t, dn_t, e_t and dh_t are to be multiplied with, at all steps.
        y_TBH, o_n_TBH, k_TBH, into_f_TBH = c_TBH / n_TBH, o / n_TBH, (i < 1).to(i.dtype), -log_f_TBH.expm1()
        torch.mul(i, z, out=da_i)
        torch.mul(into_f_TBH * f, c_before_TBH, out=da_f)
        _tanh_backward(i, z, grad_input=da_z)
        _sigmoid_backward(y_TBH, o, grad_input=da_o)
        by_n_TB2H = torch.stack((i, into_f_TBH * f * n_before_TBH), 2)
        by_e_TB2H = torch.stack((k_TBH - 1, -k_TBH * into_f_TBH), 2)
        by_h_TB2H = torch.stack((o_n_TBH, -o_n_TBH * y_TBH), 2)
        da_if = da_TBG[:, :, : 2 * w_h.shape[1]].unflatten(2, (2, -1))
        da_ifz = da_TBG[:, :, : 3 * w_h.shape[1]].unflatten(2, (3, -1))
        e, d_B2H = dc_BH * c_TBH[final] + dn_BH * n_TBH[final] - dm_BH, torch.stack((dc_BH, dn_BH), 1)
        (dc, dn), times_w_h, dh = d_B2H.unbind(1), recurrent(w_h.t(), len(dh_BH)), dh_BH
        dc_B1H, dn_B1H, e_B1H = dc[:, None], dn[:, None], e[:, None]
        by_step = by_h_TB2H, by_n_TB2H, by_e_TB2H, f[:, :, None], k_TBH
        windows = ctx.lanes_T, dh_TBH, *by_step, da_TBG, da_if, da_ifz, da_o
        for lanes, dh_out, by_h, by_n, by_e, f_B1H, k, da, da_if_, da_ifz_, da_o_ in steps(
            *windows, reverse=not ctx.reverse
        ):
            dh = dh + dh_out
            d_B2H.addcmul_(by_h, dh[:, None])
            da_ifz_.mul_(dc_B1H)
            da_if_.addcmul_(by_n, dn_B1H).addcmul_(by_e, e_B1H)
            da_o_.mul_(dh)
            clear_(d_B2H.mul_(f_B1H), lanes)
            clear_(e.mul_(k), lanes)
            dh = clear_(times_w_h(da), lanes)
        dw_h = outer(da_TBG.flatten(0, 1), cleared(h_before_TBH, resets_TB).flatten(0, 1))
        dm = dc * c_before_TBH[first] + dn * n_before_TBH[first] - e
        return da_TBG, dw_h, dh.to(dh_BH.dtype), dc, dn, dm, None, None, None
