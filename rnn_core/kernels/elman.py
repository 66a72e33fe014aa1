"""The simple recurrent network over a whole window; the cell and its paper are in `rnn_core/cells/elman.py`.

Forward, with z_t = W_x x_t + b of all steps from one product:

    h_t = tanh(z_t + W_h h_{t-1})         (the rectifier in its place for `elman_relu`)

Backward, from the last step to the first, where dh_t is what has come in from above and from step t + 1:

    dz_t = dh_t * (1 - h_t^2)             dh_{t-1} += W_h^T dz_t
    dW_h = sum over t of dz_t h_{t-1}^T, one product

At a reset h_{t-1} is zero, and no gradient goes on to it.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from rnn_core.cells.cell import Cell, State
from rnn_core.cells.elman import Elman, ElmanReLU
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

_tanh_backward = torch.ops.aten.tanh_backward.grad_input  # (d, y): d * (1 - y^2), y being the tanh
_relu_backward = torch.ops.aten.threshold_backward.grad_input  # (d, y, 0): d where y > 0, y being the relu


def kernel(cell: Cell, x_TBD: Tensor, resets_TB: Tensor, state: State, reverse: bool) -> tuple[Tensor, State]:
    """As every kernel: see `rnn_core.kernels`."""
    assert isinstance(cell, Elman)
    return window((cell,), cell.inputs(x_TBD), resets_TB, state, reverse)


def window(
    cells: Sequence[Cell], z_TBG: Tensor, resets_TB: Tensor, state: State, reverse: bool
) -> tuple[Tensor, State]:
    """The lanes in equal groups, each by the recurrent weights of its cell, from the `inputs` of their cells."""
    weights, relu = [cell.w_h for cell in cells], isinstance(cells[0], ElmanReLU)
    keep = differentiable(z_TBG, *weights, *state)
    h_TBH, h_BH = _Window.apply(z_TBG, *state, resets_TB, reverse, relu, keep, *weights)
    return h_TBH, (h_BH,)


class _Window(torch.autograd.Function):
    @staticmethod
    @autocast_forward
    def forward(
        ctx: Any, z_TBH: Tensor, h_BH: Tensor, resets_TB: Tensor, reverse: bool, relu: bool, keep: bool, *w_h: Tensor
    ) -> tuple[Tensor, Tensor]:
        lanes_T = reset_lanes(resets_TB)
        h_before_TBH, h_after_TBH = states(h_BH, len(z_TBH), reverse)
        times_w_h, activate_ = times(w_h, len(h_BH)), torch.relu_ if relu else tanh_
        windows = lanes_T, z_TBH, h_before_TBH, h_after_TBH
        for lanes, z, h, h_after in steps(*windows, reverse=reverse):
            activate_(torch.add(z, clear_(times_w_h(h), lanes), out=h_after))
        if keep:
            ctx.save_for_backward(h_before_TBH, h_after_TBH, resets_TB, *w_h)
            ctx.lanes_T, ctx.reverse, ctx.relu = lanes_T, reverse, relu
        return h_after_TBH, last(h_after_TBH, reverse)

    @staticmethod
    @once_differentiable
    @autocast_backward
    def backward(ctx: Any, dh_TBH: Tensor, dh_BH: Tensor) -> tuple[Tensor | None, ...]:
        h_before_TBH, h_after_TBH, resets_TB, *w_h = ctx.saved_tensors
        dz_TBH = torch.empty_like(h_after_TBH)
        times_w_h, dh = times([w.t() for w in w_h], len(dh_BH)), dh_BH
        windows = ctx.lanes_T, dh_TBH, h_after_TBH, dz_TBH
        for lanes, dh_out, h_after, dz in steps(*windows, reverse=not ctx.reverse):
            dh = dh + dh_out
            if ctx.relu:
                _relu_backward(dh, h_after, 0, grad_input=dz)
            else:
                _tanh_backward(dh, h_after, grad_input=dz)
            dh = clear_(times_w_h(dz), lanes)
        dw_h = outers(dz_TBH, cleared(h_before_TBH, resets_TB), len(w_h))
        return dz_TBH, dh.to(dh_BH.dtype), None, None, None, None, *dw_h
