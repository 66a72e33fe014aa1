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

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from rnn_core.cells.cell import Cell, State
from rnn_core.cells.gru import GRU
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

_sigmoid_backward = torch.ops.aten.sigmoid_backward.grad_input  # (d, y): d * y * (1 - y), y being the sigmoid
_tanh_backward = torch.ops.aten.tanh_backward  # (d, y): d * (1 - y^2), y being the tanh


def kernel(cell: Cell, x_TBD: Tensor, resets_TB: Tensor, state: State, reverse: bool) -> tuple[Tensor, State]:
    """As every kernel: see `rnn_core.kernels`."""
    return window((cell,), cell.inputs(x_TBD), resets_TB, state, reverse)


def window(
    cells: Sequence[Cell], x_TBG: Tensor, resets_TB: Tensor, state: State, reverse: bool
) -> tuple[Tensor, State]:
    """The lanes in equal groups, each by the recurrent weights of its cell, from the `inputs` of their cells."""
    weights = [cell.w_h for cell in cells]
    b_hn = torch.stack([cell.b_hn for cell in cells if isinstance(cell, GRU)])
    # A row for each lane: differentiable, so that each cell gets the sum over its own.
    b_BH = b_hn.repeat_interleave(x_TBG.shape[1] // len(cells), 0)
    keep = differentiable(x_TBG, b_BH, *weights, *state)
    h_TBH, h_BH = _Window.apply(x_TBG, b_BH, *state, resets_TB, reverse, keep, *weights)
    return h_TBH, (h_BH,)


class _Window(torch.autograd.Function):
    @staticmethod
    @autocast_forward
    def forward(
        ctx: Any, x_TBG: Tensor, b_BH: Tensor, h_BH: Tensor, resets_TB: Tensor, reverse: bool, keep: bool, *w_h: Tensor
    ) -> tuple[Tensor, Tensor]:
        lanes_T = reset_lanes(resets_TB)
        h_before_TBH, h_after_TBH = states(h_BH, len(x_TBG), reverse)
        # The window of x is the kernel's own: x_r and x_z become r and z, x_n makes room for m and becomes n apart.
        # So all of W_h h is added by one sum.
        r, z, m = x_TBG.chunk(3, 2)
        r_and_z, n_TBH = x_TBG[:, :, : 2 * m.shape[2]], m.clone(memory_format=torch.contiguous_format)
        m.copy_(b_BH)
        times_w_h = times(w_h, len(h_BH))
        windows = lanes_T, x_TBG, r_and_z, r, z, m, n_TBH, h_before_TBH, h_after_TBH
        for lanes, a, r_z, r_, z_, m_, n, h, h_after in steps(*windows, reverse=reverse):
            a.add_(clear_(times_w_h(h), lanes))
            r_z.sigmoid_()
            tanh_(n.addcmul_(r_, m_))
            # Aside at a reset: there h is the output of the step before.
            torch.lerp(n, h if lanes is None else clear_(h.clone(), lanes), z_, out=h_after)
        if keep:
            ctx.save_for_backward(x_TBG, n_TBH, h_before_TBH, resets_TB, *w_h)
            ctx.lanes_T, ctx.reverse = lanes_T, reverse
        return h_after_TBH, last(h_after_TBH, reverse)

    @staticmethod
    @once_differentiable
    @autocast_backward
    def backward(ctx: Any, dh_TBH: Tensor, dh_BH: Tensor) -> tuple[Tensor | None, ...]:
        gates_TBG, n_TBH, h_before_TBH, resets_TB, *w_h = ctx.saved_tensors
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
        times_w_h, dh_next = times([w.t() for w in w_h], len(dh_BH)), dh_BH
        windows = ctx.lanes_T, dh_TBH, da_TBG, da_TB3H, dh_TB1H, z
        for lanes, dh_out, da, da_B3H, dh_B1H, z_ in steps(*windows, reverse=not ctx.reverse):
            dh = torch.add(dh_next, dh_out, out=dh_B1H[:, 0])
            da_B3H.mul_(dh_B1H)
            dh_next = clear_((dh * z_).add_(times_w_h(da)), lanes)
        dw_h = outers(da_TBG, h_before_TBH, len(w_h))
        db_BH = dm.sum(0)
        # Where dm stood, x_n's own gradient.
        torch.mul(into_n_TBH, dh_TB1H[:, :, 0], out=dm)
        return da_TBG, db_BH, dh_next, None, None, None, *dw_h
