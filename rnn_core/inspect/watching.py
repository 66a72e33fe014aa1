"""A network whose recurrent layers go step by step and keep every state they pass through.

The layers stay as they are, with their resets, directions and connections; only their cells are exchanged, for as long
as one looks, for cells of another type around them, which no kernel knows.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from rnn_core.cells import Cell, State
from rnn_core.inspect.parts import Part


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


class WatchedPart(NamedTuple):
    """A part of a network while it is watched."""

    layers: list[WatchedLayer]
    """The forward ones first."""
    calls: list[tuple[Tensor, Tensor]]
    """x_TBD and h_TBH of each call of the stack; a decoder that is fed its own output calls it at each step."""

    @property
    def x_TBD(self) -> Tensor:
        return torch.cat([x_TBD for x_TBD, _ in self.calls])

    @property
    def h_TBH(self) -> Tensor:
        """What the stack said; of a stack that is called once it is that very tensor, to be derived by."""
        h = [h_TBH for _, h_TBH in self.calls]
        return h[0] if len(h) == 1 else torch.cat(h)


@contextmanager
def watching(network: Any, part: Part) -> Iterator[WatchedPart]:
    """The layers of a part, watched until the context ends; nothing drops.

    Let one window through: what is kept is that of all calls.
    """
    training, stack = network.training, part.stack
    layers = [(layer, False) for layer in stack.forwards] + [(layer, True) for layer in stack.backwards]
    watched = WatchedPart([WatchedLayer(Watched(layer.cell), reverse) for layer, reverse in layers], [])

    def keep(module: nn.Module, given: tuple[Any, ...], output: tuple[Tensor, Any]) -> None:
        if torch.is_grad_enabled() and not output[0].requires_grad:
            # Without memory and with frozen weights nothing else would ask for its gradient.
            output[0].requires_grad_()
        watched.calls.append((given[0], output[0]))

    hook = stack.register_forward_hook(keep)
    network.eval()
    try:
        for (layer, _), (cell, _) in zip(layers, watched.layers, strict=True):
            layer.cell = cell
        yield watched
    finally:
        hook.remove()
        for (layer, _), (cell, _) in zip(layers, watched.layers, strict=True):
            layer.cell = cell.cell
        network.train(training)


def _apart(s: Tensor) -> Tensor:
    return s.view_as(s) if s.requires_grad else s.detach().requires_grad_()
