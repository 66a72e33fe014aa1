"""Both directions of a bidirectional layer side by side: two groups of lanes of one window.

Each direction has weights of its own, so a step still takes two products; but all else that it does, in small windows
the most part of its time, is done for both at once. oneDNN's LSTM, where it can be had, is faster still.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from rnn_core.cells.cell import Cell, State
from rnn_core.cells.elman import Elman, ElmanReLU
from rnn_core.cells.gru import GRU
from rnn_core.cells.lstm import LSTM
from rnn_core.kernels import elman, gru, lstm, separators
from rnn_core.kernels.layouts import Mover, repacked
from rnn_core.looking import may_look

WINDOWS: dict[type[Cell], Callable[[Sequence[Cell], Tensor, Tensor, State, bool], tuple[Tensor, State]]] = {
    Elman: elman.window,
    ElmanReLU: elman.window,
    GRU: gru.window,
    LSTM: lstm.window,
}
"""The kernels that take several cells, each for its group of lanes."""
LARGEST_STEP = 2**14
"""Numbers of a step's gates in one direction. Below a layer gains 3 to 16 %; beyond it nothing is left of that, for the
inputs are copied side by side."""
FEWER_STEPS = 2
"""By this factor the steps must become fewer, for a new layout to pay: of words in lanes of characters, by 6, it takes
55 % of the time; of sentences, by 1.2, more than it saves."""


def fits(cell: Cell, x_TBD: Tensor) -> bool:
    """Whether `kernel` can take this window, and is worth it."""
    small = x_TBD.shape[1] * len(cell.b) <= LARGEST_STEP
    return separators.fits_both(cell, x_TBD) or (type(cell) in WINDOWS and x_TBD.device.type == "cpu" and small)


def kernel(forward: Cell, backward: Cell, x_TBD: Tensor, starts_TB: Tensor) -> Tensor:
    """h_TBH of a window of whole sequences, 2H features: those of the forward cell first.

    Args:
        forward, backward: of one class.
        x_TBD, starts_TB: as a layer takes them; every lane begins with a start.
    """
    if separators.fits_both(forward, x_TBD) and separators.finite(x_TBD):
        return separators.both(forward, backward, x_TBD, starts_TB)
    if may_look():
        layout = repacked(starts_TB.numpy(), gap=0)
        if FEWER_STEPS * layout.num_steps <= len(x_TBD):
            mover, starts_SL = Mover(layout), torch.from_numpy(layout.starts_SL(starts_TB.numpy()))
            return mover.back(_side_by_side(forward, backward, mover.there(x_TBD), starts_SL))
    return _side_by_side(forward, backward, x_TBD, starts_TB)


def _side_by_side(forward: Cell, backward: Cell, x_TBD: Tensor, starts_TB: Tensor) -> Tensor:
    ends_TB = torch.cat((starts_TB[1:], torch.ones_like(starts_TB[:1])))
    z_TBG = torch.cat((forward.inputs(x_TBD), backward.inputs(x_TBD.flip(0))), 1)
    resets_TB = torch.cat((starts_TB, ends_TB.flip(0)), 1)
    state = forward.initial_state(z_TBG.shape[1], x_TBD)
    h_TBH, _ = WINDOWS[type(forward)]((forward, backward), z_TBG, resets_TB, state, False)
    forward_TBH, backward_TBH = h_TBH.chunk(2, 1)
    return torch.cat((forward_TBH, backward_TBH.flip(0)), 2)
