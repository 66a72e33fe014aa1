"""What the kernels share: the buffer of a window's states, where to reset, and the order of the steps.

A kernel walks over a window three times: all products of the inputs at once, then step by step only what needs the
state before it, then (backward) everything that does not need the gradient of the step after it at once again. Its
steps write into buffers of the whole window, so that autograd keeps one record of the window instead of dozens of a
step, and the gradient of `w_h` is one product over all steps and lanes.

What a step pays for beside its product decides how far the kernel is from the machine's limit: each operation costs
a microsecond to call and one for each few thousand numbers, and tanh costs eight sigmoids (see `tanh_`). A reset
clears rows of what comes out of the product, which is the step's own, instead of copies of what goes in.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from rnn_core.looking import may_look
from rnn_core.products import outer, recurrent


def differentiable(*tensors: Tensor) -> bool:
    """Whether anything has to be kept for a backward pass."""
    return torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors)


def tanh_(x: Tensor) -> Tensor:
    """tanh in place, as 2 sigmoid(2x) - 1: on a CPU torch's tanh takes eight times as long as its sigmoid.

    Equal to within one unit in the last place of 1, not of x: 6e-8 in float32.
    """
    return x.mul_(2).sigmoid_().mul_(2).sub_(1)


def times(weights: Sequence[Tensor], lanes: int) -> Callable[[Tensor], Tensor]:
    """A function x_BD -> x w^T, of as many equal groups of lanes as there are weights; see `products.recurrent`."""
    products = [recurrent(w, lanes // len(weights)) for w in weights]
    if len(products) == 1:
        return products[0]
    return lambda x_BD: torch.cat([p(x) for p, x in zip(products, x_BD.chunk(len(products)), strict=True)])


def outers(dz_TBG: Tensor, x_TBD: Tensor, groups: int) -> list[Tensor]:
    """dw_GD of each group of lanes: the sum of dz x^T over its steps and lanes."""
    pairs = zip(dz_TBG.chunk(groups, 1), x_TBD.chunk(groups, 1), strict=True)
    return [outer(dz.flatten(0, 1), x.flatten(0, 1)) for dz, x in pairs]


def states(initial_BH: Tensor, num_steps: int, reverse: bool) -> tuple[Tensor, Tensor]:
    """(before_TBH, after_TBH): two views, one step apart, of T + 1 states, of which the first processed is set."""
    states_SBH = initial_BH.new_empty(num_steps + 1, *initial_BH.shape)
    states_SBH[-1 if reverse else 0] = initial_BH
    early_TBH, late_TBH = states_SBH[:-1], states_SBH[1:]
    return (late_TBH, early_TBH) if reverse else (early_TBH, late_TBH)


def last(after_TBH: Tensor, reverse: bool) -> Tensor:
    """The state after the last step that was processed; not a view, for the caller may write to what he gets."""
    return after_TBH[0 if reverse else -1].clone()


def marks(resets_TB: Tensor) -> list[Tensor | None]:
    """For each step of a window: the lanes to reset, bool, or None, which is most of them and costs nothing.

    The lanes may have several dimensions.
    """
    if not may_look():
        return list(resets_TB)
    steps = zip(resets_TB, resets_TB.flatten(1).any(1).tolist(), strict=True)
    return [resets_B if any_reset else None for resets_B, any_reset in steps]


def reset_lanes(resets_TB: Tensor) -> list[Tensor | None]:
    """As `marks`, by the numbers of the lanes, int64, where they may be looked up: for `clear_`."""
    if not may_look():
        return list(resets_TB)
    if not resets_TB.any():
        return [None] * len(resets_TB)
    lanes = resets_TB.nonzero()[:, 1].split(resets_TB.sum(1).tolist())
    return [lanes_M if len(lanes_M) else None for lanes_M in lanes]


def clear_(rows_B: Tensor, lanes: Tensor | None, value: float = 0) -> Tensor:
    """Fill the rows of these lanes (of `reset_lanes`), in place, even where a NaN stood."""
    if lanes is None:
        return rows_B
    if lanes.dtype == torch.bool:
        return rows_B.masked_fill_(lanes.view(-1, *[1] * (rows_B.dim() - 1)), value)
    return rows_B.index_fill_(0, lanes, value)


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


def cleared(before_TBH: Tensor, resets_TB: Tensor) -> Tensor:
    """The states that the steps have really seen: zero at the resets, even where the old state was NaN."""
    return before_TBH if may_look() and not resets_TB.any() else before_TBH.masked_fill(resets_TB[:, :, None], 0)


def steps(*windows: Tensor | list[Tensor | None], reverse: bool) -> Iterator[tuple[Any, ...]]:
    """One step's part of each of the windows, step by step."""
    parts: list[Iterable[Any]] = [w.unbind() if isinstance(w, Tensor) else w for w in windows]
    in_order = list(zip(*parts, strict=True))
    return reversed(in_order) if reverse else iter(in_order)
