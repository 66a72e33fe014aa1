"""The test data through a network unit by unit: what a bootstrap draws from, and the score of any draw.

A unit is a sequence. A stream, which is a single one, and the forecasts along a series are cut into blocks of 1,000
steps; a stream is read from end to end all the same, its state carried on. The task's own `measure` gives each unit's
sums and its `metrics` makes a score of those drawn, so the scores are the evaluation's, but for the metrics in
`WEIGHED_BY_ALL`.
"""

import dataclasses
import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch

from pipelines.networks import Model
from pipelines.promotion.bootstrap import Counts
from pipelines.tasks import Sums
from rnn_core import arrow
from rnn_core.arrow import Columns
from rnn_core.lanes import Pack, Window, Windows
from rnn_core.models import KINDS
from rnn_core.networks import Network
from rnn_core.packing import ranges

BLOCK_STEPS = 1000
WEIGHED_BY_ALL = ("cider",)
"""CIDEr-D weighs words by how rare they are among all images of a set: no sum over images gives that of a draw."""
WHOLE = ("loss",)
"""What is a sum where the other numbers of a forecasting task are those of each origin, one after the other."""


class Measured:
    """What a network came to on each unit of the test data."""

    def __init__(self, model: Model, parts: list[Sums]):
        """
        Args:
            parts: of each unit, as `measured` gives them.
        """
        self.model, self._joined = model, model.task.KIND == "forecasting"
        self._sizes_U = np.array([len(part["targets"]) if self._joined else 1 for part in parts])
        self._begins_U = np.cumsum(self._sizes_U) - self._sizes_U
        self._sums = {
            name: (torch.cat if self._listed(name) else torch.stack)([part[name] for part in parts])
            for name in parts[0]
        }

    @property
    def units(self) -> int:
        return len(self._sizes_U)

    def score(self, metric: str) -> Callable[[Counts], float]:
        """From how often each unit is drawn to the score; NaN where such a draw has none."""
        task, sidecar = self.model.task, self.model.sidecar
        return lambda counts_U: task.metrics(self._drawn(counts_U), sidecar).get(metric, math.nan)

    def _drawn(self, counts_U: Counts) -> Sums:
        weights_U = torch.from_numpy(counts_U).double()
        units_M = np.repeat(np.arange(self.units), counts_U)
        places = torch.from_numpy(ranges(self._begins_U[units_M], self._sizes_U[units_M])) if self._joined else None
        return {
            name: values[places] if self._listed(name) else torch.tensordot(weights_U, values, 1)
            for name, values in self._sums.items()
        }

    def _listed(self, name: str) -> bool:
        return self._joined and name not in WHOLE


def measure(model: Model, columns: Columns) -> Measured:
    """A network on each unit of the test data, weights frozen."""
    if model.task.KIND == "language_model":
        return Measured(model, list(_blocks(model, columns)))
    parts: list[Sums] = []
    for row in range(columns.num_rows):
        alone = arrow.from_rows([{name: columns[name][row] for name in columns}], model.task.KIND)
        if "origins" not in columns:
            parts.append(_measure(model, _windows(model, alone)))
        elif len(alone["origins"].values):
            parts += _runs(_measure(model, _windows(model, alone)), alone["origins"].values)
    return Measured(model, parts)


def _measure(model: Model, windows: Any, network: Any = None) -> Sums:
    return model.task.measure(network or model.network, windows, model.sidecar)


def _windows(model: Model, columns: Columns) -> Windows:
    """One lane, as long as in the network's training; a sequence that stands in a window as a whole fills it."""
    kind, about = KINDS[model.task.KIND], model.about
    filling = kind.filling(columns, lanes=1, window=about["window"], seed=None, carries=about["carry"])
    if isinstance(filling, Pack):
        steps = int(columns.steps().max())
        filling = kind.filling(columns, lanes=1, window=steps, seed=None, carries=about["carry"])
    return Windows(filling=filling, assemble=kind.assemble(columns), lanes=slice(0, 1))


def _blocks(model: Model, columns: Columns) -> Iterator[Sums]:
    """The sums of about `BLOCK_STEPS` steps each of a stream in one lane."""
    whole = _windows(model, columns)
    size = math.ceil(BLOCK_STEPS / whole.filling.window)
    goes_on = _GoesOn(model.network)
    for first in range(0, whole.per_epoch, size):
        yield _measure(model, _Span(whole, first, min(size, whole.per_epoch - first)), goes_on)


def _runs(sums: Sums, origins_O: Any) -> Iterator[Sums]:
    """The numbers of a series' forecasts, apart where `BLOCK_STEPS` have passed since a block's first origin. What is a
    sum of all of them, the loss, stays whole with the first block."""
    blocks_O = (origins_O - origins_O[0]) // BLOCK_STEPS
    for number in np.unique(blocks_O):
        here = torch.from_numpy(np.flatnonzero(blocks_O == number))
        yield {
            name: values[here] if name not in WHOLE else values * float(number == 0) for name, values in sums.items()
        }


@dataclasses.dataclass(frozen=True)
class _Span:
    """Some of the windows of an epoch, as a task's `measure` takes them."""

    whole: Windows
    first: int
    per_epoch: int

    def __call__(self, number: int) -> Window:
        return self.whole(self.first + number)

    @property
    def width(self) -> int:
        return self.whole.width


class _GoesOn:
    """A network that takes up its state where its last window left it."""

    def __init__(self, network: Network):
        self._network, self._carry = network, None

    def __call__(self, window: Window, carry: Any) -> Any:
        hidden, self._carry = self._network(window, carry)
        return hidden, self._carry

    def initial_carry(self, lanes: int) -> Any:
        return self._network.initial_carry(lanes) if self._carry is None else self._carry

    def __getattr__(self, name: str) -> Any:
        return getattr(self._network, name)
