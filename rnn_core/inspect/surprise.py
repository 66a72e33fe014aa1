"""How surprised a network is at each step: its loss there; and the examples it knows best and worst."""

import itertools
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from rnn_core.inspect.told import Sequence, told
from rnn_core.lanes import Window


@dataclass(frozen=True)
class Example:
    """Consecutive steps of one sequence: all of them that stand in one window."""

    window: int
    """Its number."""
    lane: int
    steps: slice
    """Of the window."""
    loss: float
    losses_T: NDArray[np.float64]
    right_T: NDArray[np.int64]
    answered_T: NDArray[np.int64]
    """These four as in `Told`."""

    @property
    def num_steps(self) -> int:
        return int(self.steps.stop - self.steps.start)

    def head(self, most: int) -> "Example":
        """Its first steps; the loss stays that of the whole."""
        cut = {name: getattr(self, name)[:most] for name in ("losses_T", "right_T", "answered_T")}
        begin = self.steps.start
        return replace(self, steps=slice(begin, min(self.steps.stop, begin + most)), **cut)


@torch.no_grad()
def examples(network: Any, windows: Callable[[int], Window], count: int) -> list[Example]:
    """All examples of the first `count` windows of which anything is known to be right, by rising loss."""
    training, _ = network.training, network.eval()
    found: list[Example] = []
    carry = network.initial_carry(windows(0).starts_TB.shape[1])
    for number in range(count):
        window = windows(number)
        hidden_TBH, carry = network(window, carry)
        sequences = _sequences(window)
        if sequences:
            of_each = zip(sequences, told(network, window, hidden_TBH, sequences), strict=True)
            found += [Example(number, lane, slice(begin, end), *of) for (lane, begin, end), of in of_each]
    network.train(training)
    return sorted((example for example in found if not np.isnan(example.loss)), key=lambda example: example.loss)


@torch.no_grad()
def while_read(network: Any, window: Window, example: Example, most: int) -> Example:
    """An example with one class for the whole, as it is judged after each of its first `most` steps.

    Each beginning of the sequence is read for itself, in a lane of its own: what comes after is not known, in both
    directions.
    """
    steps = slice(example.steps.start, min(example.steps.stop, example.steps.start + most))
    count = steps.stop - steps.start
    t_T1, last_1B = torch.arange(count)[:, None], torch.arange(count)[None]
    fields = {
        name: field[steps, example.lane : example.lane + 1].expand(-1, count, *field.shape[2:])
        for name, field in window.fields.items()
        if "_TB" in name
    }
    beginnings = Window(
        fields=fields,
        starts_TB=(t_T1 == 0) | (t_T1 == last_1B + 1),
        valid_TB=t_T1 <= last_1B,
        epoch=window.epoch,
    )
    training, _ = network.training, network.eval()
    hidden_TBH, _ = network(beginnings, network.initial_carry(count))
    every = told(network, beginnings, hidden_TBH, [(lane, 0, lane + 1) for lane in range(count)])
    network.train(training)
    losses_T, right_T, answered_T = (np.concatenate(some) for some in zip(*(one[1:] for one in every), strict=True))
    return replace(example, steps=steps, losses_T=losses_T, right_T=right_T, answered_T=answered_T)


def _sequences(window: Window) -> list[Sequence]:
    """Each piece between two starts that is no padding."""
    starts_TB, valid_TB = window.starts_TB.cpu().numpy(), window.valid_TB.cpu().numpy()
    found = []
    for lane in range(starts_TB.shape[1]):
        borders = sorted({0, *np.flatnonzero(starts_TB[:, lane]).tolist(), len(starts_TB)})
        found += [(lane, begin, end) for begin, end in itertools.pairwise(borders) if valid_TB[begin, lane]]
    return found
