"""Layers upon layers, in one direction or in both, and the settings that all kinds of problem share."""

import itertools
from dataclasses import dataclass
from typing import Literal, cast

import torch
from torch import Tensor, nn

from rnn_core import cells
from rnn_core.cells import Cell, State
from rnn_core.config import check_rates, check_whole
from rnn_core.dropout import Draws
from rnn_core.errors import ConfigError
from rnn_core.kernels import both
from rnn_core.layers.connections import Connection, connection
from rnn_core.layers.layer import Layer


@dataclass(frozen=True, kw_only=True)
class StackConfig:
    """The keys of `model` that every kind has; a kind's `Config` adds its own."""

    cell: str
    """A name in `CELLS`."""
    hidden_size: int
    """H, of each direction."""
    num_layers: int
    input_dropout: float
    """On the first layer's input."""
    dropout: float
    """On what each layer says: between layers and on the output."""
    output_dropout: float | None = None
    """On the output, if it is to be another rate than between layers."""
    last_size: int | None = None
    """H of the last layer, if it is to be another than that of those below."""
    weight_dropout: float = 0.0
    """On each layer's recurrent matrix."""
    zoneout: float = 0.0
    """Probability that a unit of the state keeps its old value at a step."""
    connection: Connection = "none"
    """Round each layer whose input and output are of one width: all but the first, and that too where it fits."""
    initialisation: Literal["default", "orthogonal"] = "default"
    """Of the recurrent matrix: as the cell draws it, or each gate's block orthogonal (Saxe et al. 2014)."""
    memory_length: int | None = None
    """Steps that the memory is to span at the start, by the biases of the gates (Tallec and Ollivier 2018); null
    leaves them as the cell sets them."""

    def __post_init__(self) -> None:
        check_whole("model", hidden_size=self.hidden_size, num_layers=self.num_layers)
        check_rates("model", input_dropout=self.input_dropout, dropout=self.dropout)
        check_rates("model", weight_dropout=self.weight_dropout, zoneout=self.zoneout)
        check_rates("model", output_dropout=self.output_dropout or 0.0)
        if self.last_size is not None:
            check_whole("model", last_size=self.last_size)
        if self.memory_length is not None and self.memory_length < 2:
            raise ConfigError("model.memory_length", f"found {self.memory_length}", "null, or steps from 2 on")
        if self.connection != "none" and self.num_layers < 2:
            found = f"found {self.connection} with model.num_layers: {self.num_layers}"
            raise ConfigError("model.connection", found, "none, or two layers and more")

    @property
    def hidden_sizes(self) -> list[int]:
        """H of each layer."""
        last = self.hidden_size if self.last_size is None else self.last_size
        return [self.hidden_size] * (self.num_layers - 1) + [last]

    @property
    def output_rates(self) -> list[float]:
        """Dropout on what each layer says."""
        last = self.dropout if self.output_dropout is None else self.output_dropout
        return [self.dropout] * (self.num_layers - 1) + [last]


class Stack(nn.Module):
    """Layers upon layers, in one direction or in both, with locked dropout between them.

    Bidirectional (Schuster and Paliwal 1997): each layer has a second one that reads the window in reverse, and the
    next layer sees both, 2H features. A window then holds whole sequences, and nothing is carried.

    Dropout is on what a layer says, before its connection: each term of a residual sum is dropped once.
    """

    def __init__(self, config: StackConfig, input_size: int, *, bidirectional: bool = False, first_mask: int = 0):
        """
        Args:
            input_size: D.
            first_mask: number of this stack's first draws. It uses them up to `next_mask`, which is the first one
                free for the next stack of a model: one for each place of dropout, then one for each layer.

        Raises:
            ConfigError: no such cell, or one that lacks what a setting works on.
        """
        super().__init__()
        *between, self.output_size = outputs = [size * (2 if bidirectional else 1) for size in config.hidden_sizes]
        sizes = list(zip([input_size, *between], config.hidden_sizes, strict=True))
        self._rates = [config.input_dropout, *config.output_rates]
        self._first_mask, numbers = first_mask, itertools.count(first_mask + len(self._rates))
        self.forwards = nn.ModuleList(_layer(config, *size, next(numbers)) for size in sizes)
        self.backwards = nn.ModuleList(_layer(config, *size, next(numbers)) for size in sizes if bidirectional)
        self.next_mask = next(numbers)
        self.connections = nn.ModuleList(
            connection(config.connection, size, output) for (size, _), output in zip(sizes, outputs, strict=True)
        )

    def forward(
        self, x_TBD: Tensor, starts_TB: Tensor, carry: tuple[State, ...], draws: Draws | None
    ) -> tuple[Tensor, tuple[State, ...]]:
        """h_TBH of the last layer (2H features where bidirectional, forward ones first) and the carry.

        Args:
            x_TBD: inputs.
            starts_TB: bool, True at the first step of each sequence.
            carry: from `initial_carry` or from the window before.
            draws: of this window; None drops nothing, as in evaluation.
        """
        h_TBH = self._drop(x_TBD, 0, draws)
        states: list[State] = []
        for number, (forward, backward) in enumerate(self._layers()):
            if backward is None:
                f_TBH, state = forward(h_TBH, starts_TB, carry[number], draws=draws)
                states.append(state)
            else:
                f_TBH = _both(forward, backward, h_TBH, starts_TB, draws)
            h_TBH = self.connections[number](h_TBH, self._drop(f_TBH, number + 1, draws))
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


def _layer(config: StackConfig, input_size: int, hidden_size: int, number: int) -> Layer:
    cell = cells.make(config.cell, input_size, hidden_size)
    _check(config, cell)
    if config.initialisation == "orthogonal":
        cell.orthogonal()
    if config.memory_length is not None:
        cell.chrono(config.memory_length)
    return Layer(cell, weight_dropout=config.weight_dropout, zoneout=config.zoneout, number=number)


def _check(config: StackConfig, cell: Cell) -> None:
    """That the cell has what each setting works on."""
    wants = [
        ("weight_dropout", config.weight_dropout, 0.0, cell.recurrent, "a recurrent matrix"),
        ("zoneout", config.zoneout, 0.0, cell.blends, "a state whose units can stay as they were"),
        ("initialisation", config.initialisation, "default", cell.recurrent, "a recurrent matrix"),
        ("memory_length", config.memory_length, None, cell.gated, "gates that keep or take"),
    ]
    for key, value, neutral, has, what in wants:
        if value != neutral and not has:
            allowed = f"{'null' if neutral is None else neutral}, or a cell with {what}"
            raise ConfigError(f"model.{key}", f"found {value} with cell {config.cell}", allowed)


def _both(forward: Layer, backward: Layer, x_TBD: Tensor, starts_TB: Tensor, draws: Draws | None) -> Tensor:
    if not forward.zoneout and both.fits(forward.cell, x_TBD):
        return both.kernel(forward.thinned(draws), backward.thinned(draws), x_TBD, starts_TB)
    state = forward.cell.initial_state(x_TBD.shape[1], x_TBD)
    forward_TBH, _ = forward(x_TBD, starts_TB, state, draws=draws)
    backward_TBH, _ = backward(x_TBD, starts_TB, state, reverse=True, draws=draws)
    return torch.cat((forward_TBH, backward_TBH), 2)
