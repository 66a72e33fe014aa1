"""A network whose recurrent layers go step by step and keep every state they pass through.

The layers stay as they are, with their resets, directions and connections; only their cells are exchanged, for as long
as one looks, for cells of another type around them, which no kernel knows.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor

from rnn_core.cells import Cell, State


class CellStep(NamedTuple):
    """One step of a cell, all lanes."""

    entering: State
    """The state before it. Where gradients flow it is a tensor of its own: its gradient is that of what comes after
    it, through the state alone, and not of what was said when the state was made."""
    h_BH: Tensor
    state: State


class Watched(Cell):
    """A cell that keeps its steps, in the order in which they are taken."""

    def __init__(self, cell: Cell):
        super().__init__(cell.input_size, cell.hidden_size)
        self.cell, self.b = cell, cell.b
        self.steps: list[CellStep] = []

    def inputs(self, x: Tensor) -> Tensor:
        return self.cell.inputs(x)

    def step(self, z_BG: Tensor, state: State) -> tuple[Tensor, State]:
        entering = tuple(map(_apart, state)) if torch.is_grad_enabled() else state
        h_BH, after = self.cell.step(z_BG, entering)
        self.steps.append(CellStep(entering, h_BH, after))
        return h_BH, after

    def initial_state(self, batch: int, like: Tensor) -> State:
        return self.cell.initial_state(batch, like)


class WatchedLayer(NamedTuple):
    cell: Watched
    reverse: bool
    """It goes from the last step of a window to the first."""


@contextmanager
def watching(network: Any) -> Iterator[list[WatchedLayer]]:
    """The layers of `network.model.stack`, the forward ones first, watched until the context ends; nothing drops.

    Let one window through: what is kept is that of all calls.
    """
    stack, training = network.model.stack, network.training
    layers = [(layer, False) for layer in stack.forwards] + [(layer, True) for layer in stack.backwards]
    watched = [WatchedLayer(Watched(layer.cell), reverse) for layer, reverse in layers]
    network.eval()
    try:
        for (layer, _), (cell, _) in zip(layers, watched, strict=True):
            layer.cell = cell
        yield watched
    finally:
        for (layer, _), (cell, _) in zip(layers, watched, strict=True):
            layer.cell = cell.cell
        network.train(training)


def _apart(s: Tensor) -> Tensor:
    return s.view_as(s) if s.requires_grad else s.detach().requires_grad_()
