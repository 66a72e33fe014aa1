"""Output weights and cross-entropy in one, a few rows at a time: the logits of all steps are never there together.

A chunk's logits become, in place, the gradient of its loss by them (softmax minus one at the right class), from which
the gradients of hidden states and weights are added up at once; backward only hands them out. So memory does not
depend on N times V, and each logit is computed once, where chunks of the vocabulary would need theirs twice.
"""

import math
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from rnn_core.products import lower, outer, product

CHUNK_BYTES = 2**24
"""Of a chunk's logits, at most. Each further chunk adds to the gradient of all weights, which costs more than logits
that leave the cache: a training step of 700 words of 10,000 takes 160 ms with half, 154 so, 152 with twice.
"""
LEAST_ROWS = 256
"""Of a chunk, whatever the bytes (50,000 words of 512 numbers: 0.29 s, with half the rows 0.34 s)."""


def cross_entropy(x_NH: Tensor, w_VH: Tensor, b_V: Tensor | None, targets_N: Tensor, smoothing: float = 0.0) -> Tensor:
    """Sum over n of -log softmax(W x_n + b) at the right class, in nats; differentiable once.

    Args:
        x_NH: hidden states.
        w_VH, b_V: output weights.
        targets_N: int64, the right class of each.
        smoothing: this share of what is right goes to all classes alike (label smoothing, Szegedy et al. 2016:
            Rethinking the inception architecture for computer vision).
    """
    weights = [x_NH, w_VH] + ([] if b_V is None else [b_V])
    if torch.is_grad_enabled() and any(tensor.requires_grad for tensor in weights):
        return _CrossEntropy.apply(x_NH, w_VH, b_V, targets_N, smoothing)
    return torch.cat([_loss(*chunk, w_VH, b_V, smoothing)[0] for chunk in _chunks(x_NH, targets_N, w_VH)]).sum()


class _CrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x_NH: Tensor, w_VH: Tensor, b_V: Tensor | None, targets_N: Tensor, smoothing: float
    ) -> Tensor:
        need_x, need_w, need_b, *_ = ctx.needs_input_grad
        losses, dx = [], []
        dtype, w_VH = w_VH.dtype, lower(w_VH)
        dw_VH: Tensor | None = None
        db_V = torch.zeros_like(b_V) if b_V is not None and need_b else None
        for x_RH, targets_R in _chunks(lower(x_NH), targets_N, w_VH):
            loss_R, dz_RV = _loss(x_RH, targets_R, w_VH, b_V, smoothing)
            losses.append(loss_R)
            dz_RV[torch.arange(len(dz_RV), device=dz_RV.device), targets_R] -= 1 - smoothing
            if smoothing:
                dz_RV -= smoothing / dz_RV.shape[1]
            if db_V is not None:
                db_V += dz_RV.sum(0)
            dz_RV = lower(dz_RV)
            if need_x:
                dx.append(product(dz_RV, w_VH.t()))
            if need_w:
                part_VH = outer(dz_RV, x_RH).to(dtype)
                dw_VH = part_VH if dw_VH is None else dw_VH.add_(part_VH)
        dx_NH = torch.cat(dx).to(x_NH.dtype) if need_x else None
        ctx.save_for_backward(dx_NH, dw_VH, db_V)
        return torch.cat(losses).sum()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dloss: Tensor) -> tuple[Tensor | None, ...]:
        gradients = ctx.saved_tensors
        # Nearly always one: then the weights' gradient is given out as it is, not copied.
        if not (dloss.device.type == "cpu" and dloss == 1):
            gradients = [None if g is None else g * dloss.to(g.dtype) for g in gradients]
        return *gradients, None, None


def _loss(x_RH: Tensor, targets_R: Tensor, w_VH: Tensor, b_V: Tensor | None, smoothing: float) -> tuple[Tensor, Tensor]:
    """The loss of each row, and softmax_RV, which stands where the logits stood."""
    logits_RV = product(x_RH, w_VH, b_V)
    if logits_RV.dtype in (torch.bfloat16, torch.float16):
        logits_RV = logits_RV.float()
    right_R = logits_RV.gather(1, targets_R[:, None]).squeeze(1)
    if smoothing:
        right_R = (1 - smoothing) * right_R + smoothing * logits_RV.mean(1)
    largest_R = logits_RV.amax(1)
    softmax_RV = torch.softmax(logits_RV, 1, out=logits_RV)
    # The largest share is at least 1 / V: from it the logarithm of the sum comes without under- or overflow.
    return largest_R - softmax_RV.amax(1).log() - right_R, softmax_RV


def _chunks(x_NH: Tensor, targets_N: Tensor, w_VH: Tensor) -> list[tuple[Tensor, Tensor]]:
    """Rows with their targets, in chunks as equal as can be."""
    rows = max(LEAST_ROWS, CHUNK_BYTES // (4 * len(w_VH)))
    count = max(1, math.ceil(len(x_NH) / rows))
    return list(zip(x_NH.tensor_split(count), targets_N.tensor_split(count), strict=True))
