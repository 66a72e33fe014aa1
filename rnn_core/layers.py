"""Layers: a window in, a window out. Resets, direction, stacking and dropout are here, the equations in the cells."""

from typing import cast

import torch
from torch import Tensor, nn

from rnn_core import cells
from rnn_core.cells import CELLS, Cell, State
from rnn_core.dropout import Draws
from rnn_core.errors import ConfigError
from rnn_core.kernels import KERNELS, Kernel
from rnn_core.kernels.window import marks


class Layer(nn.Module):
    """A cell over a window of lanes, by its kernel where there is one, else step by step."""

    def __init__(self, cell: Cell):
        super().__init__()
        self.cell = cell

    def forward(self, x_TBD: Tensor, starts_TB: Tensor, state: State, reverse: bool = False) -> tuple[Tensor, State]:
        """h_TBH and the state after the last step that was processed.

        Args:
            x_TBD: inputs.
            starts_TB: bool, True at the first step of each sequence: before it the lane's state becomes the cell's
                `initial_state`, and no gradient passes the mark.
            state: of each lane before the window.
            reverse: go from the last step to the first. The state is reset before the last step of each sequence,
                which stands before a start or at the end of the window, so that `state` counts for nothing.
        """
        if not state:
            # A cell without memory has nothing to reset, and takes all steps at once.
            return self.cell.step(self.cell.inputs(x_TBD), state)
        resets_TB = torch.cat((starts_TB[1:], torch.ones_like(starts_TB[:1]))) if reverse else starts_TB
        return _kernel(self.cell)(self.cell, x_TBD, resets_TB, state, reverse)


class Stack(nn.Module):
    """Layers upon layers, in one direction or in both, with locked dropout between them.

    Bidirectional (Schuster and Paliwal 1997): each layer has a second one that reads the window in reverse, and the
    next layer sees both, 2H features. A window then holds whole sequences, and nothing is carried.
    """

    def __init__(
        self,
        cell: str,
        input_size: int,
        hidden_size: int,
        *,
        num_layers: int,
        bidirectional: bool,
        dropout: float,
        input_dropout: float,
        first_mask: int = 0,
    ):
        """
        Args:
            cell: a name in `CELLS`.
            input_size, hidden_size: D; H of one direction.
            dropout: rate between the layers and on the output.
            input_dropout: rate on the first layer's input.
            first_mask: number of this stack's first mask. It uses `num_layers + 1` of them, up to `next_mask`,
                which is the first one free for the next stack of a model.

        Raises:
            ConfigError: no such cell, no layer, or a rate that is none.
        """
        super().__init__()
        if num_layers < 1:
            raise ConfigError("model.num_layers", f"found {num_layers}", "a whole number from 1 on is wanted")
        for name, rate in (("dropout", dropout), ("input_dropout", input_dropout)):
            if not 0 <= rate < 1:
                raise ConfigError(f"model.{name}", f"found {rate}", "a rate from 0 to below 1 is wanted")
        self.output_size = hidden_size * (2 if bidirectional else 1)
        sizes = [input_size] + [self.output_size] * (num_layers - 1)
        self.forwards = nn.ModuleList(Layer(cells.make(cell, size, hidden_size)) for size in sizes)
        self.backwards = nn.ModuleList(Layer(cells.make(cell, size, hidden_size)) for size in sizes if bidirectional)
        self._rates = [input_dropout] + [dropout] * num_layers
        self._first_mask = first_mask

    @property
    def next_mask(self) -> int:
        return self._first_mask + len(self._rates)

    def forward(
        self, x_TBD: Tensor, starts_TB: Tensor, carry: tuple[State, ...], draws: Draws | None
    ) -> tuple[Tensor, tuple[State, ...]]:
        """h_TBH of the last layer (2H features where bidirectional, forward ones first) and the carry.

        Args:
            x_TBD: inputs.
            starts_TB: bool, True at the first step of each sequence.
            carry: from `initial_carry` or from the window before.
            draws: of this window; None drops nothing.
        """
        h_TBH = self._drop(x_TBD, 0, draws)
        states: list[State] = []
        for number, (forward, backward) in enumerate(self._layers()):
            if backward is None:
                h_TBH, state = forward(h_TBH, starts_TB, carry[number])
                states.append(state)
            else:
                h_TBH = _both(forward, backward, h_TBH, starts_TB)
            h_TBH = self._drop(h_TBH, number + 1, draws)
        return h_TBH, tuple(states)

    def initial_carry(self, batch: int, like: Tensor) -> tuple[State, ...]:
        """The carry before the first window: a state for each layer; () where bidirectional."""
        return tuple(f.cell.initial_state(batch, like) for f, backward in self._layers() if backward is None)

    def _layers(self) -> list[tuple[Layer, Layer | None]]:
        forwards = cast(list[Layer], list(self.forwards))
        backwards = cast(list[Layer | None], list(self.backwards)) or [None] * len(forwards)
        return list(zip(forwards, backwards, strict=True))

    def _drop(self, x_TBD: Tensor, place: int, draws: Draws | None) -> Tensor:
        if draws is None or not self._rates[place]:
            return x_TBD
        return x_TBD * draws.mask(self._first_mask + place, x_TBD.shape[2], self._rates[place], x_TBD)


def step_by_step(cell: Cell, x_TBD: Tensor, resets_TB: Tensor, state: State, reverse: bool) -> tuple[Tensor, State]:
    """What every kernel must equal: the cell's own step, T times. The arguments are those of a kernel."""
    initial = cell.initial_state(x_TBD.shape[1], x_TBD)
    steps = list(zip(cell.inputs(x_TBD), marks(resets_TB), strict=True))
    outputs = []
    for z_BG, resets_B1 in reversed(steps) if reverse else steps:
        if resets_B1 is not None:
            # A choice, not a product with zero: what the old state held, a NaN even, ends here.
            state = tuple(torch.where(resets_B1, new, old) for new, old in zip(initial, state, strict=True))
        h_BH, state = cell.step(z_BG, state)
        outputs.append(h_BH)
    return torch.stack(outputs[::-1] if reverse else outputs), state


def _both(forward: Layer, backward: Layer, x_TBD: Tensor, starts_TB: Tensor) -> Tensor:
    state = forward.cell.initial_state(x_TBD.shape[1], x_TBD)
    forward_TBH, _ = forward(x_TBD, starts_TB, state)
    backward_TBH, _ = backward(x_TBD, starts_TB, state, reverse=True)
    return torch.cat((forward_TBH, backward_TBH), 2)


def _kernel(cell: Cell) -> Kernel:
    return next((kernel for name, kernel in KERNELS.items() if CELLS[name] is type(cell)), step_by_step)
