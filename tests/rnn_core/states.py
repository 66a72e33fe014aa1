"""A state for a test to begin with: any numbers, but such as the cell can come to."""

import torch
from torch import Tensor

from rnn_core.cells import SLSTM, Cell, State


def some_state(cell: Cell, batch: int, like: Tensor) -> State:
    """A state that is not the initial one, of N(0, 1); the normaliser of the sLSTM is never below 1."""
    state = [torch.randn_like(s) for s in cell.initial_state(batch, like)]
    if isinstance(cell, SLSTM):
        state[2] = state[2].abs() + 1
    return tuple(state)
