"""The steps of a window laid out anew, for lanes that a kernel is faster with; there and back again.

A window of whole sequences may have as many lanes as its longest sequence allows: fewer steps of more lanes each.
"""

import heapq
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.autograd.function import once_differentiable

Indices = NDArray[np.int64]


class Layout(NamedTuple):
    """S steps of L lanes, in which the T steps of B lanes of a window stand, and some that are empty."""

    num_steps: int
    num_lanes: int
    places_TB: Indices
    """Of each step of the window among the new ones: step * L + lane."""
    ends_L: Indices
    """Of each lane: the step after its last sequence. What is empty before stands between two of them."""

    def sources_M(self) -> Indices:
        """For each new step, step by step: which one of the window it is; any where it is empty."""
        sources_M = np.zeros(self.num_steps * self.num_lanes, np.int64)
        sources_M[self.places_TB.ravel()] = np.arange(self.places_TB.size)
        return sources_M

    def empty_M(self) -> NDArray[np.bool_]:
        empty_M = np.ones(self.num_steps * self.num_lanes, np.bool_)
        empty_M[self.places_TB.ravel()] = False
        return empty_M

    def starts_SL(self, starts_TB: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """The window's starts, and one where the empty steps at a lane's end begin."""
        starts_SL = np.arange(self.num_steps)[:, None] == self.ends_L
        starts_SL.ravel()[self.places_TB[starts_TB]] = True
        return starts_SL


def stretched(resets_TB: NDArray[np.bool_]) -> Layout:
    """The lanes as they are, an empty step before each reset but one at the first step.

    Args:
        resets_TB: in the order in which the steps are processed.
    """
    steps, lanes = resets_TB.shape
    gaps_TB = resets_TB.cumsum(0) - resets_TB[0]
    ends_L = steps + gaps_TB[-1]
    return Layout(int(ends_L.max()), lanes, (np.arange(steps)[:, None] + gaps_TB) * lanes + np.arange(lanes), ends_L)


def repacked(starts_TB: NDArray[np.bool_], gap: int) -> Layout:
    """Whole sequences, `gap` empty steps between two, in as many lanes as are little longer than the longest one.

    The longest first, each where least stands.
    """
    begins_BT = starts_TB.T.copy()
    begins_BT[:, 0] = True
    begin_P = np.flatnonzero(begins_BT)
    length_P = np.diff(begin_P, append=begins_BT.size) + gap
    lanes = max(1, int(length_P.sum() // length_P.max()))
    filled = [(0, lane) for lane in range(lanes)]
    lane_P, offset_P = np.zeros_like(begin_P), np.zeros_like(begin_P)
    for piece in np.argsort(-length_P, kind="stable").tolist():
        steps, lane = filled[0]
        lane_P[piece], offset_P[piece] = lane, steps
        heapq.heapreplace(filled, (steps + int(length_P[piece]), lane))
    ends_L = np.array([steps - gap for steps, _ in sorted(filled, key=lambda one: one[1])])
    piece_N = np.cumsum(begins_BT) - 1
    places_N = ((offset_P - begin_P)[piece_N] + np.arange(begins_BT.size)) * lanes + lane_P[piece_N]
    return Layout(int(ends_L.max()), lanes, places_N.reshape(begins_BT.shape).T, ends_L)


class Mover:
    """The way into a layout and back, differentiable.

    Empty steps hold copies of some other step. What a kernel makes of them is not brought back, and no gradient goes
    into it.
    """

    def __init__(self, layout: Layout):
        self.layout = layout
        self._places_N = torch.from_numpy(np.ascontiguousarray(layout.places_TB.ravel()))
        self._sources_M = torch.from_numpy(layout.sources_M())
        self._empty = torch.from_numpy(np.flatnonzero(layout.empty_M()))

    def there(self, x_TBD: Tensor) -> Tensor:
        """x_SLD."""
        x_MD = _Moved.apply(x_TBD.flatten(0, 1), self._sources_M, self._places_N, None)
        return x_MD.view(self.layout.num_steps, self.layout.num_lanes, -1)

    def back(self, h_SLH: Tensor) -> Tensor:
        """h_TBH."""
        h_NH = _Moved.apply(h_SLH.flatten(0, 1), self._places_N, self._sources_M, self._empty)
        return h_NH.view(*self.layout.places_TB.shape, -1)


class _Moved(torch.autograd.Function):
    """Rows by their numbers; backward by the numbers of the way back, zero in the rows that nothing came from."""

    @staticmethod
    def forward(ctx: Any, x_ND: Tensor, there: Tensor, back: Tensor, nothing: Tensor | None) -> Tensor:
        ctx.back, ctx.nothing = back, nothing
        return x_ND.index_select(0, there)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy_MD: Tensor) -> tuple[Tensor | None, ...]:
        dx_ND = dy_MD.index_select(0, ctx.back)
        return dx_ND if ctx.nothing is None else dx_ND.index_fill_(0, ctx.nothing, 0), None, None, None
