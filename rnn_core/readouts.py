"""One vector a sequence from the hidden states of a window of whole sequences: the last step's, their mean or maximum.

Where a sequence begins and ends is read from the window's marks, so nothing crosses one, forward or backward.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

ReadOut = Literal["last", "mean", "max"]


@dataclass(frozen=True, kw_only=True)
class Sequences:
    """Where the N sequences of a window stand, lane by lane and in each lane in their order.

    Steps are counted in lane order: step t of lane b is b * T + t.
    """

    first_N: Tensor
    """int64: the first step of each."""
    lengths_N: Tensor
    """int64."""
    steps_S: Tensor
    """int64: all steps of all sequences, one sequence after another."""

    @property
    def last_N(self) -> Tensor:
        return self.first_N + self.lengths_N - 1

    def at_first(self, x_TB: Tensor) -> Tensor:
        """x_N: what stands at each sequence's first step, such as its label."""
        return by_lane(x_TB).index_select(0, self.first_N)


def sequences(starts_TB: Tensor, valid_TB: Tensor) -> Sequences:
    """Those of a window into which none reaches from the window before.

    Args:
        starts_TB, valid_TB: marks of a window (`rnn_core.lanes`).
    """
    steps_S = by_lane(valid_TB).nonzero().squeeze(1)
    first_N = (by_lane(starts_TB) & by_lane(valid_TB)).nonzero().squeeze(1)
    begins_N = torch.searchsorted(steps_S, first_N)
    ends_N = torch.cat([begins_N[1:], begins_N.new_tensor([len(steps_S)])])
    return Sequences(first_N=first_N, lengths_N=ends_N - begins_N, steps_S=steps_S)


def by_lane(x_TB: Tensor) -> Tensor:
    """Steps in lane order: (T, B, ...) to (B * T, ...)."""
    return x_TB.transpose(0, 1).flatten(0, 1)


def last(h_TBH: Tensor, where: Sequences, bidirectional: bool) -> Tensor:
    """r_NH: the state after the whole sequence: at its last step; the backward half's, at its first one."""
    h_SH = by_lane(h_TBH)
    if not bidirectional:
        return h_SH.index_select(0, where.last_N)
    forward, backward = h_SH.chunk(2, 1)
    return torch.cat([forward.index_select(0, where.last_N), backward.index_select(0, where.first_N)], 1)


def mean(h_TBH: Tensor, where: Sequences, bidirectional: bool = False) -> Tensor:
    """r_NH: over the steps of each sequence."""
    return _reduced(h_TBH, where, "mean")


def maximum(h_TBH: Tensor, where: Sequences, bidirectional: bool = False) -> Tensor:
    """r_NH: of each feature over the steps of each sequence."""
    return _reduced(h_TBH, where, "max")


READ_OUTS: dict[str, Callable[[Tensor, Sequences, bool], Tensor]] = {"last": last, "mean": mean, "max": maximum}
"""h_TBH, the sequences, and whether its second half was read in reverse -> r_NH."""


def _reduced(h_TBH: Tensor, where: Sequences, how: str) -> Tensor:
    h_SH = by_lane(h_TBH).index_select(0, where.steps_S)
    # unsafe: its check of the lengths fails where there are none.
    reduced_NH: Tensor = torch.segment_reduce(h_SH, how, lengths=where.lengths_N, unsafe=True)
    return reduced_NH
