"""minGRU and minLSTM over a whole window; the cells and their paper are in `rnn_core/cells/{mingru,minlstm}.py`.

Forward, with z the update gate (minLSTM's i', for f' = 1 - i') and n = g(v) the candidate of all steps:

    h_t = (1 - z_t) * h_{t-1} + z_t * n_t           a scan

Backward, where dh_t has come in from above and, by the adjoint of the scan, from all steps after:

    dh_{t-1} += (1 - z_t) * dh_t
    dz_t = dh_t * (n_t - h_{t-1})                   times z (1 - z) for what z is the sigmoid of
    dn_t = dh_t * z_t                               times n (1 - n) for v where v <= 0

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

_sigmoid_backward = torch.ops.aten.sigmoid_backward.grad_input  # (d, y): d * y * (1 - y), y being the sigmoid
_threshold_backward = torch.ops.aten.threshold_backward.grad_input  # (d, v, 0): d where v > 0, else 0


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
        # g is the upper one of its two curves, everywhere. A window that is to be written serves as scratch paper: one
        # that is asked for costs more than what is done with it.
        torch.maximum(n_TBH, torch.add(v_TBH, 0.5, out=h_after_TBH), out=n_TBH)
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
        kept_TBH = 1 - z_TBH
        scan(kept_TBH, dh_after_TBH, dh_before_TBH, resets_TB, not ctx.reverse)
        dk_TBH = torch.sub(n_TBH, cleared(h_before_TBH, resets_TB), out=kept_TBH)
        _sigmoid_backward(dk_TBH, z_TBH, grad_input=dk_TBH).mul_(dh_after_TBH)
        dn_TBH, dv_TBH = z_TBH * dh_after_TBH, n_TBH.clamp_max(0.5)
        # Where v > 0 the gradient of the sigmoid at 1/2, a quarter, and three more: a choice of each number by `where`
        # would take twenty times as long.
        _sigmoid_backward(dn_TBH, dv_TBH, grad_input=dv_TBH)
        dv_TBH.add_(_threshold_backward(dn_TBH, v_TBH, 0, grad_input=dn_TBH), alpha=0.75)
        return dk_TBH, dv_TBH, dh_before_TBH[-1 if ctx.reverse else 0], None, None, None
