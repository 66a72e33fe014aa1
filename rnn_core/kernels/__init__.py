"""Kernels: whole-window versions of cells, for speed. A cell without one is run step by step by its layer.

A kernel is a function

    kernel(cell, x_TBD, resets_TB, state, reverse) -> (h_TBH, state)

        cell       the cell whose weights it uses
        x_TBD      the window's inputs
        resets_TB  bool: before this step is processed, the lane's state becomes the cell's `initial_state`
        state      the state before the first step that is processed: the tensors (B, features) of the cell
        reverse    process the steps from the last to the first; h_TBH stays in the order of the window

and gives the state after the last step that was processed. Its duty is to equal `rnn_core.layers.step_by_step` on
the same arguments up to rounding, in outputs and in the gradients of x, of the state and of every weight; to let
nothing pass a reset, neither forward (not even a NaN) nor backward; and to change no argument in place.
"""

from collections.abc import Callable

from torch import Tensor

from rnn_core.cells import Cell, State
from rnn_core.kernels import elman, gru, gru_cho, lru, lstm, lstm_norm, lstm_projected, minimal, slstm

Kernel = Callable[[Cell, Tensor, Tensor, State, bool], tuple[Tensor, State]]

KERNELS: dict[str, Kernel] = {
    "elman": elman.kernel,
    "elman_relu": elman.kernel,
    "gru": gru.kernel,
    "gru_cho": gru_cho.kernel,
    "lru": lru.kernel,
    "lstm": lstm.kernel,
    "lstm_norm": lstm_norm.kernel,
    "lstm_projected": lstm_projected.kernel,
    "mingru": minimal.mingru,
    "minlstm": minimal.minlstm,
    "slstm": slstm.kernel,
}
"""The kernel of each cell, by the cell's name in `CELLS`."""
