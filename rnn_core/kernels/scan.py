"""A linear recurrence over a whole window, and its adjoint: what cells that train by parallel scan are made of.

    h_t = a_t * h_{t-1} + b_t        all a_t and b_t known beforehand

Such steps may be grouped in any way (Blelloch 1990: Prefix sums and their applications; Martin and Cundy 2018:
Parallelizing linear recurrent neural nets over sequence length), for two of them are one of the same form:

    (a_2, b_2) after (a_1, b_1) = (a_2 a_1, a_2 b_1 + b_2)

Backward it is the same recurrence from the last step to the first: dh_{t-1} += a_t * dh_t.

Not in log space, which Feng et al. (2024) need because they divide by the product of all a so far, and that soon is
too small for a float. Here nothing is divided: products of |a| <= 1 may fade to zero, which is what they mean, and
the state may be zero or below.

In which groups is a question of time alone. A step is one small operation, far less than what the cell's products
take for it. Where even that is mostly the cost of a call, the window is cut into chunks that step side by side.
"""

from math import isqrt

import torch
from torch import Tensor

from rnn_core.kernels.window import marks, steps

LEAST_STEPS = 128
LARGEST_STEP = 8192
"""In bytes. On a CPU chunks are twice as fast from this many steps on, eight times at 1024 of them, where a step is
small. At this size they gain the same, but nothing in windows full of resets; beyond it they lose, for they read and
write everything once more. A GPU, where a call costs as much as a pass over a million numbers, is taken to gain at any
size: that is not measured."""


def scan(a_TBH: Tensor, before_TBH: Tensor, after_TBH: Tensor, resets_TB: Tensor, reverse: bool) -> None:
    """after_t += a_t * before_t at all steps in turn, but for those with a reset, where nothing is added.

    The adjoint of a scan is one with `before` and `after` exchanged and the direction turned.

    Args:
        a_TBH: factors, real or complex, |a| <= 1.
        before_TBH, after_TBH: two views, one step apart, of T + 1 states (`rnn_core.kernels.window.states`); the
            state before the first step that is processed is set, and those after hold what is to be added.
        resets_TB: bool.
        reverse: from the last step to the first.
    """
    num_steps, windows = len(a_TBH), (a_TBH, before_TBH, after_TBH, resets_TB)
    small = a_TBH[0].numel() * a_TBH.element_size() <= LARGEST_STEP or a_TBH.device.type != "cpu"
    whole = 0
    if num_steps >= LEAST_STEPS and small:
        chunks = isqrt(num_steps)
        whole = num_steps // chunks * chunks  # what makes chunks of one length; the rest comes after it
        part = slice(num_steps - whole, None) if reverse else slice(whole)
        _in_chunks(*(w[part].unflatten(0, (chunks, -1)).transpose(0, 1) for w in windows), reverse=reverse)
    rest = slice(num_steps - whole) if reverse else slice(whole, None)
    a_TBH, before_TBH, after_TBH, resets_TB = (w[rest] for w in windows)
    for step in steps(a_TBH, before_TBH, after_TBH, marks(resets_TB), reverse=reverse):
        _add(*step)


def _in_chunks(a_SCBH: Tensor, before_SCBH: Tensor, after_SCBH: Tensor, resets_SCB: Tensor, *, reverse: bool) -> None:
    """The same, of the steps S of chunks C of a window.

    First all chunks at once, each as if the state before it were zero; then, chunk by chunk, what that state adds:
    itself times the product of all a since, where no reset has been since.
    """
    product_SCBH, seen_SCB = torch.empty_like(after_SCBH), torch.empty_like(resets_SCB)
    windows = a_SCBH, product_SCBH, before_SCBH, after_SCBH, resets_SCB, seen_SCB, marks(resets_SCB)
    first, *others = steps(*windows, reverse=reverse)
    a, product, _, _, resets, seen, _ = first
    product.copy_(a)
    seen.copy_(resets)
    for a, product_after, before, after, resets, seen_after, mark in others:
        _add(a, before, after, mark)
        torch.mul(a, product, out=product_after)
        torch.logical_or(resets, seen, out=seen_after)
        product, seen = product_after, seen_after
    state_CBH = before_SCBH[-1 if reverse else 0]
    chunks = product_SCBH.transpose(0, 1), state_CBH, after_SCBH.transpose(0, 1), marks(seen_SCB.transpose(0, 1))
    for chunk in steps(*chunks, reverse=reverse):
        _add(*chunk)


def _add(a: Tensor, before: Tensor, after: Tensor, mark: Tensor | None) -> None:
    """after += a * before where there is no mark; what is not added may be NaN."""
    if mark is None:
        after.addcmul_(a, before)
    else:
        # The same operation, so that lanes without a mark get the same bits.
        torch.where(mark[..., None], after, torch.addcmul(after, a, before), out=after)
