"""The LSTM over a whole window; the cell and its paper are in `rnn_core/cells/lstm.py`.

Forward, with z_t = W_x x_t + b of all steps from one product, and a_t the rows of z_t + W_h h_{t-1}:

    i, f, o = sigmoid(a_i, a_f, a_o)      g = tanh(a_g)
    c_t = f * c_{t-1} + i * g             h_t = o * tanh(c_t)

Backward, from the last step to the first, where dh_t and dc_t are what has come in from above and from step t + 1:

    dc_t += dh_t * o * (1 - tanh(c_t)^2)
    da_i = dc_t * g * i (1 - i)           da_f = dc_t * c_{t-1} * f (1 - f)
    da_g = dc_t * i * (1 - g^2)           da_o = dh_t * tanh(c_t) * o (1 - o)
    dc_{t-1} = dc_t * f                   dh_{t-1} += W_h^T da_t

    dz_t = da_t                           dW_h = sum over t of da_t h_{t-1}^T, one product

All that dc_t and dh_t are multiplied with is known before the first step back, and is found for the window at once.
At a reset h_{t-1} and c_{t-1} are zero, and no gradient goes on to them.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from rnn_core.cells.cell import Cell, State
from rnn_core.cells.lstm import LSTM
from rnn_core.kernels.lstm_gates import factors, gates_
from rnn_core.kernels.window import (
    clear_,
    cleared,
    differentiable,
    last,
    outers,
    reset_lanes,
    states,
    steps,
    tanh_,
    times,
)
from rnn_core.products import autocast_backward, autocast_forward


def kernel(cell: Cell, x_TBD: Tensor, resets_TB: Tensor, state: State, reverse: bool) -> tuple[Tensor, State]:
    """As every kernel: see `rnn_core.kernels`."""
    assert isinstance(cell, LSTM)
    return window((cell,), cell.inputs(x_TBD), resets_TB, state, reverse)


def window(
    cells: Sequence[Cell], z_TBG: Tensor, resets_TB: Tensor, state: State, reverse: bool
) -> tuple[Tensor, State]:
    """The lanes in equal groups, each by the recurrent weights of its cell, from the `inputs` of their cells."""
    weights = [cell.w_h for cell in cells]
    keep = differentiable(z_TBG, *weights, *state)
    h_TBH, h_BH, c_BH = _Window.apply(z_TBG, *state, resets_TB, reverse, keep, *weights)
    return h_TBH, (h_BH, c_BH)


class _Window(torch.autograd.Function):
    @staticmethod
    @autocast_forward
    def forward(
        ctx: Any, z_TBG: Tensor, h_BH: Tensor, c_BH: Tensor, resets_TB: Tensor, reverse: bool, keep: bool, *w_h: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        lanes_T = reset_lanes(resets_TB)
        h_before_TBH, h_after_TBH = states(h_BH, len(z_TBG), reverse)
        c_before_TBH, c_after_TBH = states(c_BH, len(z_TBG), reverse)
        # The gates take the place of z, which is the kernel's own and needed no more.
        i, f, g, o = z_TBG.chunk(4, 2)
        tanh_c_TBH = torch.empty_like(o, memory_format=torch.contiguous_format)
        times_w_h = times(w_h, len(h_BH))
        windows = z_TBG, i, f, g, o, tanh_c_TBH, h_before_TBH, c_before_TBH, h_after_TBH, c_after_TBH
        for lanes, z, i_, f_, g_, o_, tanh_c, h, c, h_after, c_after in steps(lanes_T, *windows, reverse=reverse):
            z.add_(clear_(times_w_h(h), lanes))
            gates_(z, g_)
            torch.mul(f_, clear_(c, lanes), out=c_after).addcmul_(i_, g_)
            tanh_(tanh_c.copy_(c_after))
            torch.mul(o_, tanh_c, out=h_after)
        if keep:
            ctx.save_for_backward(z_TBG, tanh_c_TBH, c_before_TBH, h_before_TBH, resets_TB, *w_h)
            ctx.lanes_T, ctx.reverse = lanes_T, reverse
        return h_after_TBH, last(h_after_TBH, reverse), last(c_after_TBH, reverse)

    @staticmethod
    @once_differentiable
    @autocast_backward
    def backward(ctx: Any, dh_TBH: Tensor, dh_BH: Tensor, dc_BH: Tensor) -> tuple[Tensor | None, ...]:
        gates_TBG, tanh_c_TBH, c_before_TBH, h_before_TBH, resets_TB, *w_h = ctx.saved_tensors
        _, f, _, _ = gates_TBG.chunk(4, 2)
        da_TBG, into_c_TBH = factors(gates_TBG, c_before_TBH, tanh_c_TBH)
        *_, da_o = da_TBG.chunk(4, 2)
        da_ifg = da_TBG[:, :, : 3 * f.shape[2]].unflatten(2, (3, -1))
        times_w_h = times([w.t() for w in w_h], len(dh_BH))
        dh, dc = dh_BH, dc_BH.clone()
        dc_B1H = dc[:, None]
        windows = ctx.lanes_T, dh_TBH, da_TBG, da_ifg, da_o, into_c_TBH, f
        for lanes, dh_out, da, da_ifg_, da_o_, into_c, f_ in steps(*windows, reverse=not ctx.reverse):
            dh = dh + dh_out
            dc.addcmul_(dh, into_c)
            da_ifg_.mul_(dc_B1H)
            da_o_.mul_(dh)
            dh = clear_(times_w_h(da), lanes)
            clear_(dc.mul_(f_), lanes)
        dw_h = outers(da_TBG, cleared(h_before_TBH, resets_TB), len(w_h))
        return da_TBG, dh.to(dh_BH.dtype), dc, None, None, None, *dw_h
