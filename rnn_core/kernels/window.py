"""What the kernels share: the buffer of a window's states, where to reset, and the order of the steps.

A kernel walks over a window three times: all products of the inputs at once, then step by step only what needs the
state before it, then (backward) everything that does not need the gradient of the step after it at once again. Its
steps write into buffers of the whole window, so that autograd keeps one record of the window instead of dozens of a
step, and the gradient of `w_h` is one product over all steps and lanes.
"""

from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import Tensor

from rnn_core.kernels.looking import may_look


def differentiable(*tensors: Tensor) -> bool:
    """Whether anything has to be kept for a backward pass."""
    return torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors)


def states(initial_BH: Tensor, num_steps: int, reverse: bool) -> tuple[Tensor, Tensor]:
    """(before_TBH, after_TBH): two views, one step apart, of T + 1 states, of which the first processed is set."""
    states_SBH = initial_BH.new_empty(num_steps + 1, *initial_BH.shape)
    states_SBH[-1 if reverse else 0] = initial_BH
    early_TBH, late_TBH = states_SBH[:-1], states_SBH[1:]
    return (late_TBH, early_TBH) if reverse else (early_TBH, late_TBH)


def last(after_TBH: Tensor, reverse: bool) -> Tensor:
    """The state after the last step that was processed; not a view, for the caller may write to what he gets."""
    return after_TBH[0 if reverse else -1].clone()


def gradients(dh_TBH: Tensor, dh_BH: Tensor, reverse: bool) -> tuple[Tensor, Tensor]:
    """(before_TBH, after_TBH): as `states`, of the states' gradients before anything has come back through a step.

    Args:
        dh_TBH: of the outputs.
        dh_BH: of the state after the last step that was processed.
    """
    before_TBH, after_TBH = states(torch.zeros_like(dh_BH), len(dh_TBH), reverse)
    after_TBH.copy_(dh_TBH)
    after_TBH[0 if reverse else -1] += dh_BH
    return before_TBH, after_TBH


def marks(resets_TB: Tensor) -> list[Tensor | None]:
    """For each step: the lanes to reset (B, 1), or None, which is most of them and costs nothing."""
    if not may_look():
        return list(resets_TB[:, :, None])
    resets = zip(resets_TB[:, :, None], resets_TB.any(1).tolist(), strict=True)
    return [resets_B1 if any_reset else None for resets_B1, any_reset in resets]


def cleared(before_TBH: Tensor, resets_TB: Tensor) -> Tensor:
    """The states that the steps have really seen: zero at the resets, even where the old state was NaN."""
    return before_TBH if may_look() and not resets_TB.any() else before_TBH.masked_fill(resets_TB[:, :, None], 0)


def steps(*windows: Tensor | list[Tensor | None], reverse: bool) -> Iterator[tuple[Any, ...]]:
    """One step's part of each of the windows, step by step."""
    parts: list[Iterable[Any]] = [w.unbind() if isinstance(w, Tensor) else w for w in windows]
    in_order = list(zip(*parts, strict=True))
    return reversed(in_order) if reverse else iter(in_order)
