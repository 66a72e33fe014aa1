"""Drop-ins for nn.LSTM, nn.GRU and nn.RNN, run by our kernels: a training loop of one's own changes one import.

    from rnn_core.layers.torch_like import LSTM         # where `from torch.nn import LSTM` stood

Arguments, shapes, `hx` and results are those of torch.nn, and so are the numbers, with three differences. Where torch
adds up two biases, one does: a step of plain SGD moves the sum half as far. A new LSTM begins with open forget gates,
as our cells do. And there are no PackedSequences: `starts` marks where sequences begin inside a dense batch, and
nothing crosses a mark, in either direction.
"""

from typing import Any, ClassVar, cast

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from rnn_core import cells
from rnn_core.cells import CELLS, Cell, State
from rnn_core.config import check_rates, check_whole
from rnn_core.errors import ConfigError
from rnn_core.layers.layer import over_window


class Recurrent(nn.Module):
    """What the three share; not made itself.

    `cells` holds a cell for each layer and direction, in torch's order: layer by layer, the forward one first.
    """

    theirs: ClassVar[type[nn.RNNBase]]
    OPTIONS: ClassVar[tuple[str, ...]] = (
        "input_size",
        "hidden_size",
        "num_layers",
        "bias",
        "batch_first",
        "dropout",
        "bidirectional",
    )
    """Arguments that are kept as attributes of the same name, here and in torch."""

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ):
        """
        Args: as torch.nn's.

        Raises:
            ConfigError: an impossible size, or a rate that is none.
        """
        super().__init__()
        name = type(self).__name__
        check_whole(name, input_size=input_size, hidden_size=hidden_size, num_layers=num_layers)
        check_rates(name, dropout=dropout)
        if not 0 <= proj_size < (hidden_size if "proj_size" in self.OPTIONS else 1):
            raise ConfigError(f"{name}.proj_size", f"found {proj_size}", "0, or in an LSTM less than hidden_size")
        self.input_size, self.hidden_size, self.num_layers = input_size, hidden_size, num_layers
        self.bias, self.batch_first, self.dropout, self.bidirectional = bias, batch_first, dropout, bidirectional
        self.proj_size = proj_size
        directions = 2 if bidirectional else 1
        sizes = [input_size] + [(proj_size or hidden_size) * directions] * (num_layers - 1)
        with torch.device(device if device is not None else torch.get_default_device()):
            self.cells = nn.ModuleList(self._cell(size) for size in sizes for _ in range(directions))
        for parameter in self.parameters() if not bias else ():
            if parameter.dim() == 1:
                nn.init.zeros_(parameter.requires_grad_(False))
        self.to(dtype=dtype)

    def _cell(self, input_size: int) -> Cell:
        """A new cell of one layer and direction."""
        raise NotImplementedError

    def forward(self, input: Tensor, hx: Any = None, starts: Tensor | None = None) -> tuple[Tensor, Any]:
        """(output, hx) as from torch.nn.

        Args:
            input: (T, B, D), (B, T, D) with `batch_first`, or (T, D) of one sequence. It need not be contiguous.
            hx: the state before the first step; zeros where None.
            starts: bool, of `input`'s steps and lanes, True at the first step of each sequence: before it the state
                is zero, and in reverse it is before the last one. A batch that is padded behind marks the first
                padded step.

        Raises:
            ConfigError: a PackedSequence, or a tensor of another type, shape or device than the weights want.
        """
        if isinstance(input, PackedSequence):
            allowed = "a dense tensor; `starts` marks where sequences, or the padding behind them, begin"
            raise self._error("input", "a PackedSequence", allowed)
        like, lone = next(self.parameters()), isinstance(input, Tensor) and input.dim() == 2
        if torch.is_autocast_enabled(like.device.type) and isinstance(input, Tensor):
            input = input.to(like.dtype)
        lanes_first = self.batch_first and not lone
        wanted = ("T", self.input_size) if lone else (*("BT" if lanes_first else "TB"), self.input_size)
        self._check("input", input, like, like.dtype, wanted)
        x_TBD = _time_first(input, lone, lanes_first)
        starts_TB = torch.zeros(x_TBD.shape[:2], dtype=torch.bool, device=like.device)
        if starts is not None:
            self._check("starts", starts, like, torch.bool, tuple(input.shape[:-1]))
            starts_TB = _time_first(starts, lone, lanes_first)
        y_TBH, states = self._run(x_TBD, starts_TB, self._states(hx, x_TBD, lone))
        after = tuple(torch.stack(parts) for parts in zip(*states, strict=True))
        if lone:
            return y_TBH.squeeze(1), self._hx(tuple(s.squeeze(1) for s in after))
        return (y_TBH.transpose(0, 1) if lanes_first else y_TBH), self._hx(after)

    def _run(self, x_TBD: Tensor, starts_TB: Tensor, states: list[State]) -> tuple[Tensor, list[State]]:
        """All layers; the states are those before and after, one for each of `cells`."""
        # In reverse the state is reset behind a sequence's last step, and behind the window's last one it is `hx`.
        behind_TB = torch.cat((starts_TB[1:], torch.zeros_like(starts_TB[:1])))
        after: list[State] = []
        for layer in range(self.num_layers):
            if layer and self.dropout:
                x_TBD = nn.functional.dropout(x_TBD, self.dropout, self.training)
            outputs = []
            for reverse in (False, True) if self.bidirectional else (False,):
                cell, state = cast(Cell, self.cells[len(after)]), states[len(after)]
                h_TBH, state = over_window(cell, x_TBD, behind_TB if reverse else starts_TB, state, reverse)
                outputs.append(h_TBH)
                after.append(state)
            x_TBD = torch.cat(outputs, 2) if self.bidirectional else outputs[0]
        return x_TBD, after

    def _states(self, hx: Any, x_TBD: Tensor, lone: bool) -> list[State]:
        """The state of each of `cells` before the window, from torch's tensors (layers and directions, B, features)."""
        cells, lanes = [cast(Cell, cell) for cell in self.cells], x_TBD.shape[1]
        if hx is None:
            return [cell.initial_state(lanes, x_TBD) for cell in cells]
        tensors, sizes = self._tensors(hx), [s.shape[1] for s in cells[0].initial_state(1, x_TBD)]
        if len(tensors) != len(sizes):
            raise self._error("hx", f"{len(tensors)} tensors", f"{len(sizes)} are wanted")
        for tensor, size in zip(tensors, sizes, strict=True):
            shape = (len(cells), size) if lone else (len(cells), lanes, size)
            self._check("hx", tensor, x_TBD, x_TBD.dtype, shape)
        return list(zip(*((t[:, None] if lone else t).unbind() for t in tensors), strict=True))

    def _tensors(self, hx: Any) -> tuple[Tensor, ...]:
        """torch's state as a tuple; `_hx` is the way back."""
        return (hx,)

    def _hx(self, tensors: tuple[Tensor, ...]) -> Any:
        return tensors[0]

    def _check(self, name: str, tensor: Any, like: Tensor, dtype: torch.dtype, shape: tuple[int | str, ...]) -> None:
        """That a tensor is as wanted; a letter in `shape` stands for any number from 1 on."""
        allowed = f"{dtype} of shape ({', '.join(map(str, shape))}) on {like.device} is wanted"
        if not isinstance(tensor, Tensor):
            raise self._error(name, type(tensor).__name__, allowed)
        fits = tensor.dim() == len(shape) and all(
            n >= 1 if isinstance(m, str) else n == m for n, m in zip(tensor.shape, shape, strict=True)
        )
        if not fits or tensor.dtype != dtype or tensor.device != like.device:
            found = f"{tensor.dtype} of shape ({', '.join(map(str, tensor.shape))}) on {tensor.device}"
            raise self._error(name, found, allowed)

    def _error(self, name: str, found: str, allowed: str) -> ConfigError:
        return ConfigError(f"{type(self).__name__}.forward, {name}", f"found {found}", allowed)


class LSTM(Recurrent):
    """nn.LSTM; with `proj_size` the cell is `lstm_projected`."""

    theirs = nn.LSTM
    OPTIONS = (*Recurrent.OPTIONS, "proj_size")

    def _cell(self, input_size: int) -> Cell:
        if self.proj_size:
            projected = cast(Any, CELLS["lstm_projected"])
            return cast(Cell, projected(input_size, self.proj_size, memory_size=self.hidden_size))
        return cells.make("lstm", input_size, self.hidden_size)

    def _tensors(self, hx: Any) -> tuple[Tensor, ...]:
        return tuple(hx) if isinstance(hx, (tuple, list)) else (hx,)

    def _hx(self, tensors: tuple[Tensor, ...]) -> Any:
        return tensors


class GRU(Recurrent):
    """nn.GRU."""

    theirs = nn.GRU

    def _cell(self, input_size: int) -> Cell:
        return cells.make("gru", input_size, self.hidden_size)


class RNN(Recurrent):
    """nn.RNN: the cell is `elman` or `elman_relu`."""

    theirs = nn.RNN
    OPTIONS = (*Recurrent.OPTIONS, "nonlinearity")

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        nonlinearity: str = "tanh",
        *args: Any,
        **kwargs: Any,
    ):
        if nonlinearity not in ("tanh", "relu"):
            raise ConfigError("RNN.nonlinearity", f"found {nonlinearity}", "tanh and relu are allowed")
        self.nonlinearity = nonlinearity
        super().__init__(input_size, hidden_size, num_layers, *args, **kwargs)

    def _cell(self, input_size: int) -> Cell:
        return cells.make("elman" if self.nonlinearity == "tanh" else "elman_relu", input_size, self.hidden_size)


def _time_first(tensor: Tensor, lone: bool, lanes_first: bool) -> Tensor:
    """(T, B, ...) of what a caller of torch.nn gives."""
    return tensor[:, None] if lone else tensor.transpose(0, 1) if lanes_first else tensor
