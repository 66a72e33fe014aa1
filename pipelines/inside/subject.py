"""What is looked into: a trained network, the test data it is shown, and where the pictures go."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from pipelines import networks, params
from rnn_core.arrow import Columns
from rnn_core.lanes import Windows
from rnn_core.models import KINDS

LANES, FEW_LANES, MANY_LANES = 16, 4, 64
"""Few of a stream where each is to be long; many of short pairs, of which a window is no longer than they are."""
STEPS = 4096
"""Steps, of all lanes together, whose loss is looked at."""


@dataclass(frozen=True)
class Subject:
    model: networks.Model
    columns: Columns
    """The test split; its first steps are looked at, as many as STEPS says."""
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

    def windows(self, window: int | None = None, most: int = LANES) -> Windows:
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
            if lanes == 1 or 2 * windows(0).valid_TB.numel() <= STEPS:
                return windows
            lanes //= 2


def count(windows: Windows) -> int:
    """How many of them are looked at."""
    return min(windows.per_epoch, max(2, STEPS // windows(0).valid_TB.numel()))


@torch.no_grad()
def carry(network: Any, windows: Windows, number: int) -> Any:
    """The carry before a window."""
    before = network.initial_carry(windows.width)
    for earlier in range(number if windows.filling.carries else 0):
        _, before = network(windows(earlier), before)
    return before
