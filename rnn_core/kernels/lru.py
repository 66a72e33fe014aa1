"""The linear recurrent unit over a whole window; the cell and its paper are in `rnn_core/cells/lru.py`.

Forward, with z_t = gamma (B x_t) of all steps from one product:

    s_t = lambda * s_{t-1} + z_t                    a scan
    h_t = Re(C s_t) + D x_t                         one product for all steps

Backward, where ds_t has come in from h_t and, by the adjoint of the scan, from all steps after; * is the conjugate:

    ds_{t-1} += lambda* ds_t
    dlambda = sum over t of s_{t-1}* ds_t

At a reset s_{t-1} is zero, and no gradient goes on to it. Only in here are complex numbers complex tensors: a step is
then one operation instead of four.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from rnn_core.cells.cell import Cell, State
from rnn_core.cells.lru import LRU
from rnn_core.kernels.scan import scan
from rnn_core.kernels.window import cleared, differentiable, gradients, states


def kernel(cell: Cell, x_TBD: Tensor, resets_TB: Tensor, state: State, reverse: bool) -> tuple[Tensor, State]:
    """As every kernel: see `rnn_core.kernels`."""
    assert isinstance(cell, LRU)
    z_re, z_im, d = cell.inputs(x_TBD).chunk(3, 2)
    eigenvalues = cell.eigenvalues()
    keep = differentiable(z_re, *eigenvalues, *state)
    s_TBH2, re_BH, im_BH = _Window.apply(z_re, z_im, *eigenvalues, *state, resets_TB, reverse, keep)
    return cell.read(s_TBH2) + d, (re_BH, im_BH)


class _Window(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        z_re: Tensor,
        z_im: Tensor,
        l_re: Tensor,
        l_im: Tensor,
        re_BH: Tensor,
        im_BH: Tensor,
        resets_TB: Tensor,
        reverse: bool,
        keep: bool,
    ) -> tuple[Tensor, Tensor, Tensor]:
        s_before_TBH, s_after_TBH = states(torch.complex(re_BH, im_BH), len(z_re), reverse)
        l_H = torch.complex(l_re, l_im)
        torch.complex(z_re, z_im, out=s_after_TBH)
        scan(l_H.expand_as(s_after_TBH), s_before_TBH, s_after_TBH, resets_TB, reverse)
        if keep:
            ctx.save_for_backward(s_before_TBH, l_H, resets_TB)
            ctx.reverse = reverse
        s_BH = s_after_TBH[0 if reverse else -1]
        return torch.view_as_real(s_after_TBH), s_BH.real.clone(), s_BH.imag.clone()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, ds_TBH2: Tensor, dre_BH: Tensor, dim_BH: Tensor) -> tuple[Tensor | None, ...]:
        s_before_TBH, l_H, resets_TB = ctx.saved_tensors
        ds_TBH = torch.view_as_complex(ds_TBH2.contiguous())
        ds_before_TBH, ds_after_TBH = gradients(ds_TBH, torch.complex(dre_BH, dim_BH), ctx.reverse)
        conjugate_TBH = l_H.conj().resolve_conj().expand_as(ds_TBH)
        scan(conjugate_TBH, ds_after_TBH, ds_before_TBH, resets_TB, not ctx.reverse)
        dl_H = (cleared(s_before_TBH, resets_TB).conj() * ds_after_TBH).sum((0, 1))
        ds_BH = ds_before_TBH[-1 if ctx.reverse else 0]
        pairs = (ds_after_TBH, dl_H, ds_BH)
        return (*(part for d in pairs for part in (d.real, d.imag)), None, None, None)
