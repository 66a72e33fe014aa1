"""The cells: one file each, the equations and one step. To add one: its file, and its line in `CELLS`."""

import torch

from rnn_core.cells.cell import Cell, State
from rnn_core.cells.elman import Elman
from rnn_core.cells.gru import GRU
from rnn_core.cells.lru import LRU
from rnn_core.cells.lstm import LSTM
from rnn_core.cells.memoryless import Memoryless
from rnn_core.cells.mingru import MinGRU
from rnn_core.cells.minlstm import MinLSTM
from rnn_core.errors import ConfigError

__all__ = [
    "CELLS",
    "GRU",
    "LRU",
    "LSTM",
    "Cell",
    "Elman",
    "Memoryless",
    "MinGRU",
    "MinLSTM",
    "State",
    "make",
    "parameters",
]

CELLS: dict[str, type[Cell]] = {
    "elman": Elman,
    "gru": GRU,
    "lstm": LSTM,
    "memoryless": Memoryless,
    "mingru": MinGRU,
    "minlstm": MinLSTM,
    "lru": LRU,
}


def make(name: str, input_size: int, hidden_size: int) -> Cell:
    """The cell of that name in `CELLS`, with fresh weights.

    Raises:
        ConfigError: there is none.
    """
    if name not in CELLS:
        raise ConfigError("model.cell", f"found {name}", f"allowed are {', '.join(CELLS)}")
    return CELLS[name](input_size, hidden_size)


def parameters(name: str, input_size: int, hidden_size: int) -> int:
    """How many numbers a cell learns: what a baseline of equal size is measured by. No memory is taken.

    Raises:
        ConfigError: there is no such cell.
    """
    with torch.device("meta"):
        return sum(p.numel() for p in make(name, input_size, hidden_size).parameters())
