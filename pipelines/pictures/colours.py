"""Which colour means what, in every picture: safe for colour-blind eyes (Okabe and Ito 2008), relatives by dashes."""

from typing import NamedTuple


class Look(NamedTuple):
    colour: str
    dash: str
    """As matplotlib's `linestyle`."""


CELL_LOOKS = {
    "elman": Look("#d55e00", "-"),
    "elman_relu": Look("#d55e00", "--"),
    "gru": Look("#009e73", "-"),
    "gru_cho": Look("#009e73", "--"),
    "lstm": Look("#0072b2", "-"),
    "lstm_norm": Look("#0072b2", "--"),
    "lstm_projected": Look("#0072b2", ":"),
    "slstm": Look("#000000", "-"),
    "lru": Look("#cc79a7", "-"),
    "mingru": Look("#56b4e9", "-"),
    "minlstm": Look("#e69f00", "-"),
    "memoryless": Look("#888888", "-"),
}
"""By the cell's name in `rnn_core.cells.CELLS`."""

MARK = "#444444"
"""Bounds, limits, settings: what is no measurement."""
RIGHT, WRONG = "#bbbbbb", "#332288"
"""Of answers; no cell's."""
SEEN, FORESEEN = "#000000", "#0072b2"
"""Values as they were, and as they were foretold."""
SIGNED = "PuOr"
"""Colour map of what is below zero, zero or above."""
SHARES = "cividis"
"""Colour map of what goes from 0 to 1."""
ON_DARK = {"#000000": "#ffffff"}
"""What takes the place of a colour that a dark page would swallow."""
