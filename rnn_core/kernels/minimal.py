"""minGRU and minLSTM over a whole window; the cells and their paper are in `rnn_core/cells/{mingru,minlstm}.py`.

Forward, with z the update gate (minLSTM's i', for f' = 1 - i') and n = g(v) the candidate of all steps:

    h_t = (1 - z_t) * h_{t-1} + z_t * n_t           a scan

Backward, where dh_t has come in from above and, by the adjoint of the scan, from all steps after:

    dh_{t-1} += (1 - z_t) * dh_t
    dz_t = dh_t * (n_t - h_{t-1})                   times z (1 - z) for what z is the sigmoid of
    dn_t = dh_t * z_t                               times n (1 - n) for v where v < 0

At a reset h_{t-1} is zero, and no gradient goes on to it.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from rnn_core.cells.cell import Cell, State
from rnn_core.cells.mingru import MinGRU
from rnn_core.cells.minlstm import MinLSTM, balance
from rnn_core.kernels.scan import scan
from rnn_core.kernels.window import cleared, differentiable, gradients, last, states

_sigmoid_backward = torch.ops.aten.sigmoid_backward  # (d, y): d * y * (1 - y), y being the sigmoid


def mingru(cell: Cell, x_TBD: Tensor, resets_TB: Tensor, state: State, reverse: bool) -> tuple[Tensor, State]:
    """As every kernel: see `rnn_core.kernels`."""
    assert isinstance(cell, MinGRU)
    z, n = cell.inputs(x_TBD).chunk(2, 2)
    return _window(z, n, resets_TB, state, reverse)


def minlstm(cell: Cell, x_TBD: Tensor, resets_TB: Tensor, state: State, reverse: bool) -> tuple[Tensor, State]:
    """As every kernel: see `rnn_core.kernels`."""
    assert isinstance(cell, MinLSTM)
    f, i, n = cell.inputs(x_TBD).chunk(3, 2)
    return _window(balance(f, i), n, resets_TB, state, reverse)


def _window(k_TBH: Tensor, v_TBH: Tensor, resets_TB: Tensor, state: State, reverse: bool) -> tuple[Tensor, State]:
    """From the update gate before its sigmoid and the candidate before g."""
    keep = differentiable(k_TBH, v_TBH, *state)
    h_TBH, h_BH = _Window.apply(k_TBH, v_TBH, *state, resets_TB, reverse, keep)
    return h_TBH, (h_BH,)


class _Window(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, k_TBH: Tensor, v_TBH: Tensor, h_BH: Tensor, resets_TB: Tensor, reverse: bool, keep: bool
    ) -> tuple[Tensor, Tensor]:
        h_before_TBH, h_after_TBH = states(h_BH, len(k_TBH), reverse)
        z_TBH, n_TBH = k_TBH.sigmoid(), v_TBH.sigmoid()
        torch.maximum(n_TBH, v_TBH + 0.5, out=n_TBH)  # g: of the two curves it is always the upper one
        torch.mul(z_TBH, n_TBH, out=h_after_TBH)
        scan(1 - z_TBH, h_before_TBH, h_after_TBH, resets_TB, reverse)
        if keep:
            ctx.save_for_backward(z_TBH, n_TBH, v_TBH, h_before_TBH, resets_TB)
            ctx.reverse = reverse
        return h_after_TBH, last(h_after_TBH, reverse)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dh_TBH: Tensor, dh_BH: Tensor) -> tuple[Tensor | None, ...]:
        z_TBH, n_TBH, v_TBH, h_before_TBH, resets_TB = ctx.saved_tensors
        dh_before_TBH, dh_after_TBH = gradients(dh_TBH, dh_BH, ctx.reverse)
        scan(1 - z_TBH, dh_after_TBH, dh_before_TBH, resets_TB, not ctx.reverse)
        dk_TBH = _sigmoid_backward(n_TBH - cleared(h_before_TBH, resets_TB), z_TBH).mul_(dh_after_TBH)
        dn_TBH = z_TBH * dh_after_TBH
        dv_TBH = torch.where(v_TBH < 0, _sigmoid_backward(dn_TBH, n_TBH), dn_TBH)
        return dk_TBH, dv_TBH, dh_before_TBH[-1 if ctx.reverse else 0], None, None, None
