"""The simple recurrent network (Elman 1990: Finding structure in time), as in `torch.nn.RNN`.

    h_t = tanh(W_x x_t + W_h h_{t-1} + b)               elman
    h_t = max(0, W_x x_t + W_h h_{t-1} + b)             elman_relu

The output is the state, as in the paper: what is remembered and what is said are one. The form with the rectifier is
that of Le et al. 2015 (A simple way to initialize recurrent networks of rectified linear units): its gradient does not
shrink through the unit, and nothing bounds its state.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from rnn_core.cells.cell import Cell, State


class Elman(Cell):
    """State: (h_BH,). G = H."""

    activation: Callable[[Tensor], Tensor] = staticmethod(torch.tanh)

    def __init__(self, input_size: int, hidden_size: int):
        super().__init__(input_size, hidden_size)
        self.w_x = self.uniform(hidden_size, input_size)
        self.w_h = self.uniform(hidden_size, hidden_size)
        self.b = self.uniform(hidden_size)

    def step(self, z_BG: Tensor, state: State) -> tuple[Tensor, State]:
        (h_BH,) = state
        h_BH = self.activation(torch.addmm(z_BG, h_BH, self.w_h.t()))
        return h_BH, (h_BH,)


class ElmanReLU(Elman):
    """State: (h_BH,). G = H."""

    activation = staticmethod(torch.relu)
