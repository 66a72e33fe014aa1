"""The cells: one file each, the equations and one step. To add one: its file, and its line in `CELLS`."""

from rnn_core.cells.cell import Cell, State
from rnn_core.cells.elman import Elman, ElmanReLU
from rnn_core.cells.gru import GRU
from rnn_core.cells.gru_cho import GRUCho
from rnn_core.cells.lru import LRU
from rnn_core.cells.lstm import LSTM
from rnn_core.cells.lstm_norm import LSTMNorm
from rnn_core.cells.lstm_projected import LSTMProjected
from rnn_core.cells.memoryless import Memoryless
from rnn_core.cells.mingru import MinGRU
from rnn_core.cells.minlstm import MinLSTM
from rnn_core.cells.slstm import SLSTM
from rnn_core.errors import ConfigError

__all__ = [
    "CELLS",
    "GRU",
    "LRU",
    "LSTM",
    "SLSTM",
    "Cell",
    "Elman",
    "ElmanReLU",
    "GRUCho",
    "LSTMNorm",
    "LSTMProjected",
    "Memoryless",
    "MinGRU",
    "MinLSTM",
    "State",
    "make",
]

CELLS: dict[str, type[Cell]] = {
    "elman": Elman,
    "elman_relu": ElmanReLU,
    "gru": GRU,
    "gru_cho": GRUCho,
    "lru": LRU,
    "lstm": LSTM,
    "lstm_norm": LSTMNorm,
    "lstm_projected": LSTMProjected,
    "memoryless": Memoryless,
    "mingru": MinGRU,
    "minlstm": MinLSTM,
    "slstm": SLSTM,
}


def make(name: str, input_size: int, hidden_size: int) -> Cell:
    """The cell of that name in `CELLS`, with fresh weights.

    Raises:
        ConfigError: there is none.
    """
    if name not in CELLS:
        raise ConfigError("model.cell", f"found {name}", f"allowed are {', '.join(CELLS)}")
    return CELLS[name](input_size, hidden_size)
