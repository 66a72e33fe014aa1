"""The simple recurrent network (Elman 1990: Finding structure in time), with tanh as in `torch.nn.RNN`.

    h_t = tanh(W_x x_t + W_h h_{t-1} + b)

The output is the state, as in the paper: what is remembered and what is said are one.
"""

import torch
from torch import Tensor

from rnn_core.cells.cell import Cell, State


class Elman(Cell):
    """State: (h_BH,). G = H."""

    def __init__(self, input_size: int, hidden_size: int):
        super().__init__(input_size, hidden_size)
        self.w_x = self.uniform(hidden_size, input_size)
        self.w_h = self.uniform(hidden_size, hidden_size)
        self.b = self.uniform(hidden_size)

    def step(self, z_BG: Tensor, state: State) -> tuple[Tensor, State]:
        (h_BH,) = state
        h_BH = torch.addmm(z_BG, h_BH, self.w_h.t()).tanh()
        return h_BH, (h_BH,)
