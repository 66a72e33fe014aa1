"""Sequences into lanes, lanes into windows: nothing is padded to the longest of a batch.

A lane is one of the B parallel streams of a batch, a window T consecutive steps of all lanes. A filling says which
step of the data stands at each place of a window, and is a pure function of (seed, epoch, step of the epoch):
a restart, or another number of workers, finds every step where it was. Worker r of W takes `lane_slice(B, r, W)`.

    Stream  sequences back to back, the carry kept from window to window; any length, constant memory
    Pack    whole sequences packed into the lanes of one window, nothing carried
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rnn_core.dropout import Draws
from rnn_core.errors import ConfigError
from rnn_core.packing import pack, ranges

Positions = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Window:
    """T steps of B lanes, as a model takes them."""

    fields: Mapping[str, Tensor]
    """What the kind of task put there, such as `tokens_TB` and `targets_TB`. A name has `_TB` in it where the field is
    laid out by step and lane (`frames_TBD` too), and only there."""
    starts_TB: Tensor
    """True where a new sequence begins, and where padding begins after the last one of a lane."""
    valid_TB: Tensor
    """False where there is padding."""
    epoch: int
    draws: Draws | None = None
    """The window's random draws; None where nothing is drawn (evaluation)."""

    def steps(self, begin: int, end: int) -> "Window":
        """Steps begin..end-1: what is not laid out by step and lane is left as it is."""
        cut = {name: field[begin:end] if _by_lane(name) else field for name, field in self.fields.items()}
        starts_TB, valid_TB = self.starts_TB[begin:end], self.valid_TB[begin:end]
        draws = replace(self.draws, first_step=self.draws.first_step + begin) if self.draws else None
        return replace(self, fields=cut, starts_TB=starts_TB, valid_TB=valid_TB, draws=draws)

    def lane(self, index: int) -> "Window":
        """One lane alone: what is not laid out by step and lane is left as it is."""
        pick = slice(index, index + 1)
        cut = {name: field[:, pick] if _by_lane(name) else field for name, field in self.fields.items()}
        return replace(self, fields=cut, starts_TB=self.starts_TB[:, pick], valid_TB=self.valid_TB[:, pick], draws=None)

    def to(self, device: torch.device | str) -> "Window":
        return self.map(lambda tensor: tensor.to(device))

    def map(self, function: Callable[[Tensor], Tensor]) -> "Window":
        """`function` on each tensor of the window, those of its draws too."""
        fields = {name: function(field) for name, field in self.fields.items()}
        draws = replace(self.draws, lanes_B=function(self.draws.lanes_B)) if self.draws else None
        starts_TB, valid_TB = function(self.starts_TB), function(self.valid_TB)
        return replace(self, fields=fields, starts_TB=starts_TB, valid_TB=valid_TB, draws=draws)


class Filling(Protocol):
    """Which step of the data stands where."""

    lanes: int
    window: int
    windows_per_epoch: int
    carries: bool

    def place(self, epoch: int, step: int, lanes: slice) -> tuple[Positions, NDArray[np.bool_]]:
        """positions_TB (index of the step in the data, -1 for padding) and starts_TB of these lanes."""
        ...

    @property
    def pad_share(self) -> float:
        """Padded steps of an epoch as a share of all its steps."""
        ...


class Stream:
    """Sequences back to back, cut into `lanes` equal parts; each part is read window by window.

    Args:
        offsets_N: index of each sequence's first step in the data.
        lengths_N: steps of each sequence, at least 1.
        lanes, window: B and T.
        seed: orders the sequences anew in each epoch; None keeps them in their order.
        carries: False marks a start at each window, which cuts the carry there (to measure what it is worth).
    """

    def __init__(
        self,
        offsets_N: Positions,
        lengths_N: Positions,
        *,
        lanes: int,
        window: int,
        seed: int | None = None,
        carries: bool = True,
    ):
        _check(lengths_N, lanes, window)
        self.lanes, self.window, self.carries = lanes, window, carries
        self._offsets_N, self._lengths_N, self._seed = offsets_N, lengths_N, seed
        self._total = int(lengths_N.sum())
        self._lane_steps = math.ceil(self._total / lanes)
        self.windows_per_epoch = math.ceil(self._lane_steps / window)
        self._ordered: tuple[int, NDArray[np.int64], NDArray[np.int64]] | None = None

    def place(self, epoch: int, step: int, lanes: slice) -> tuple[Positions, NDArray[np.bool_]]:
        order_N, begins_N = self._order(epoch)
        in_lane_T1 = (step * self.window + np.arange(self.window))[:, None]
        first_1B = np.arange(self.lanes)[None, lanes] * self._lane_steps
        step_TB = first_1B + in_lane_T1
        valid_TB = (in_lane_T1 < self._lane_steps) & (step_TB < self._total)
        sequence_TB = np.searchsorted(begins_N, np.where(valid_TB, step_TB, 0), side="right") - 1
        within_TB = step_TB - begins_N[sequence_TB]
        positions_TB = np.where(valid_TB, self._offsets_N[order_N[sequence_TB]] + within_TB, -1)
        starts_TB = valid_TB & ((within_TB == 0) | (in_lane_T1 == 0))
        if not self.carries:
            starts_TB[0] = True
        return positions_TB, starts_TB | padding_begins(valid_TB)

    @property
    def pad_share(self) -> float:
        return 1 - self._total / (self.windows_per_epoch * self.window * self.lanes)

    def _order(self, epoch: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The epoch's order of the sequences, and the step at which each begins in it."""
        if self._ordered is None or self._ordered[0] != epoch:
            count = len(self._lengths_N)
            order_N = np.arange(count) if self._seed is None else _random(self._seed, epoch).permutation(count)
            lengths_N = self._lengths_N[order_N]
            self._ordered = epoch, order_N, np.cumsum(lengths_N) - lengths_N
        return self._ordered[1], self._ordered[2]


class Pack:
    """Whole sequences packed into rows of `window` steps, `lanes` rows a window.

    How long the slots of each row are depends on the lengths alone and is worked out once; an epoch draws which
    sequence of that length stands in which slot, and the order of the rows.

    Args: as for `Stream`. Raises ConfigError where a sequence is longer than a window.
    """

    carries = False

    def __init__(self, offsets_N: Positions, lengths_N: Positions, *, lanes: int, window: int, seed: int | None = None):
        _check(lengths_N, lanes, window)
        if int(lengths_N.max()) > window:
            found = f"a sequence of {int(lengths_N.max())} steps fits no lane of a window of {window}"
            raise ConfigError("train.window", found, "give a longer window, or a smaller data.max_length")
        self.lanes, self.window = lanes, window
        self._offsets_N, self._lengths_N, self._seed = offsets_N, lengths_N, seed
        packing = pack(lengths_N, window)
        self._slots_N, self._columns_N = packing.items_N, packing.columns_N
        self._row_sizes_R = np.bincount(packing.rows_N)
        self._row_begins_R = np.cumsum(self._row_sizes_R) - self._row_sizes_R
        self.windows_per_epoch = math.ceil(packing.num_rows / lanes)
        self._drawn: tuple[int, NDArray[np.int64], NDArray[np.int64]] | None = None

    def place(self, epoch: int, step: int, lanes: slice) -> tuple[Positions, NDArray[np.bool_]]:
        sequences_N, rows_R = self._draw(epoch)
        rows_B = rows_R[step * self.lanes : (step + 1) * self.lanes][lanes]
        width = len(range(self.lanes)[lanes])
        slots_N = ranges(self._row_begins_R[rows_B], self._row_sizes_R[rows_B])
        lane_N, column_N = np.repeat(np.arange(len(rows_B)), self._row_sizes_R[rows_B]), self._columns_N[slots_N]
        sequence_N = sequences_N[slots_N]
        lengths_N = self._lengths_N[sequence_N]
        positions_TB = np.full((self.window, width), -1, np.int64)
        starts_TB = np.zeros((self.window, width), bool)
        steps_M, lanes_M = ranges(column_N, lengths_N), np.repeat(lane_N, lengths_N)
        positions_TB[steps_M, lanes_M] = ranges(self._offsets_N[sequence_N], lengths_N)
        starts_TB[column_N, lane_N] = True
        return positions_TB, starts_TB | padding_begins(positions_TB >= 0)

    @property
    def pad_share(self) -> float:
        return 1 - int(self._lengths_N.sum()) / (self.windows_per_epoch * self.window * self.lanes)

    def _draw(self, epoch: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The epoch's sequence in each slot, and its order of the rows."""
        if self._drawn is None or self._drawn[0] != epoch:
            rows = len(self._row_sizes_R)
            if self._seed is None:
                sequences_N, rows_R = self._slots_N, np.arange(rows)
            else:
                random = _random(self._seed, epoch)
                shuffled_N = random.permutation(len(self._slots_N))
                by_length_N = shuffled_N[np.argsort(self._lengths_N[shuffled_N], kind="stable")]
                slots_by_length_N = np.argsort(self._lengths_N[self._slots_N], kind="stable")
                sequences_N = np.empty_like(self._slots_N)
                sequences_N[slots_by_length_N] = by_length_N
                rows_R = random.permutation(rows)
            self._drawn = epoch, sequences_N, rows_R
        return self._drawn[1], self._drawn[2]


Assemble = Callable[[Positions], dict[str, Tensor]]


@dataclass(frozen=True, kw_only=True)
class Windows:
    """The windows of one worker, by their numbers, counted over all epochs.

    `assemble` is the kind's: from positions_TB to the fields of a window. `seed` None draws nothing (evaluation).
    """

    filling: Filling
    assemble: Assemble
    lanes: slice
    seed: int | None = None

    def __call__(self, number: int) -> Window:
        epoch, step = divmod(number, self.filling.windows_per_epoch)
        positions_TB, starts_TB = self.filling.place(epoch, step, self.lanes)
        draws = None
        if self.seed is not None:
            lanes_B = torch.arange(self.filling.lanes)[self.lanes]
            draws = Draws(seed=self.seed, update=number, lanes_B=lanes_B)
        return Window(
            fields=self.assemble(positions_TB),
            starts_TB=torch.from_numpy(starts_TB),
            valid_TB=torch.from_numpy(positions_TB >= 0),
            epoch=epoch,
            draws=draws,
        )

    @property
    def per_epoch(self) -> int:
        return self.filling.windows_per_epoch

    @property
    def width(self) -> int:
        """How many lanes are this worker's."""
        return len(range(self.filling.lanes)[self.lanes])


def lane_slice(lanes: int, rank: int, workers: int) -> slice:
    """The lanes of worker `rank` of `workers`: contiguous, as equal as can be, the first ones larger.

    Raises:
        ConfigError: there are more workers than lanes.
    """
    if workers > lanes:
        raise ConfigError("RNN_WORKERS", f"{workers} workers for {lanes} lanes", f"at most {lanes}, one lane a worker")
    share, rest = divmod(lanes, workers)
    begin = rank * share + min(rank, rest)
    return slice(begin, begin + share + (rank < rest))


def _by_lane(name: str) -> bool:
    return "_TB" in name


def _check(lengths_N: Positions, lanes: int, window: int) -> None:
    for name, value in (("train.lanes", lanes), ("train.window", window)):
        if value < 1:
            raise ConfigError(name, f"found {value}", "a whole number from 1 on is wanted")
    if len(lengths_N) == 0:
        raise ConfigError("data", "no sequences", "at least one is wanted")
    assert lengths_N.min() > 0, "a sequence has at least one step"


def padding_begins(valid_TB: NDArray[np.bool_]) -> NDArray[np.bool_]:
    before_TB = np.vstack([np.ones_like(valid_TB[:1]), valid_TB[:-1]])
    return ~valid_TB & before_TB


def _random(seed: int, epoch: int) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(key=[seed, epoch]))
