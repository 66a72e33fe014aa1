"""What is looked into: a trained network, the test data it is shown, and where the pictures go."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from pipelines import networks, params
from rnn_core.arrow import Columns
from rnn_core.lanes import Window, Windows
from rnn_core.models import KINDS

LANES, FEW_LANES, MANY_LANES = 16, 4, 64
"""Few of a stream where each is to be long; many of short pairs, of which a window is no longer than they are."""
STEPS = 4096
"""Steps, of all lanes together, whose loss is looked at."""


@dataclass(frozen=True)
class Looked:
    """The windows that are looked at, STEPS of them: of a stream the first ones, else evenly spread over the data."""

    every: Windows

    def __call__(self, number: int) -> Window:
        return self.every(number if self.carries else number * self.every.per_epoch // self.count)

    @cached_property
    def count(self) -> int:
        few = self.every(self.every.per_epoch // 2).valid_TB.numel()
        return min(self.every.per_epoch, max(2, STEPS // few))

    @property
    def carries(self) -> bool:
        return bool(self.every.filling.carries)

    @property
    def steps(self) -> int:
        """Of a window of a stream; of others at most."""
        return int(self.every.filling.window)


@dataclass(frozen=True)
class Subject:
    model: networks.Model
    columns: Columns
    """The test split."""
    train: params.Train
    folder: Path
    title: str

    @property
    def network(self) -> Any:
        return self.model.network

    @property
    def kind(self) -> str:
        return self.model.task.KIND

    @property
    def cell(self) -> str:
        return str(self.model.about["model"]["cell"])

    @property
    def unit(self) -> str:
        """Of the mean loss."""
        of = {"classification": "a sequence", "recognition": "a character"}.get(self.kind, "a step")
        return f"quantile loss {of}" if self.model.about["model"].get("head") == "quantile" else f"nats {of}"

    def windows(self, window: int | None = None, most: int = LANES) -> Looked:
        """In so many lanes at most, fewer where a lane of a stream would not fill four windows, or where two windows
        would have more than STEPS steps.

        Args:
            window: steps; None is that of the training, and of data that are not carried it always is.
        """
        kind, carry = KINDS[self.kind], self.train.carry
        steps = window if window and carry else self.train.window

        def filling(lanes: int) -> Any:
            return kind.filling(self.columns, lanes=lanes, window=steps, seed=None, carries=carry)

        lanes = min(most, max(1, filling(1).windows_per_epoch // (4 if carry else 1)))
        assemble = kind.assemble(self.columns)
        while True:
            windows = Windows(filling=filling(lanes), assemble=assemble, lanes=slice(0, lanes))
            if lanes == 1 or 2 * windows(windows.per_epoch // 2).valid_TB.numel() <= STEPS:
                return Looked(windows)
            lanes //= 2


@torch.no_grad()
def carry(network: Any, windows: Looked, number: int) -> Any:
    """The carry before a window."""
    before = network.initial_carry(windows.every.width)
    for earlier in range(number if windows.carries else 0):
        _, before = network(windows(earlier), before)
    return before
