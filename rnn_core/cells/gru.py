"""The gated recurrent unit (Cho et al. 2014: Learning phrase representations using RNN encoder-decoder).

    r_t = sigmoid(W_xr x_t + W_hr h_{t-1} + b_r)                    reset gate
    z_t = sigmoid(W_xz x_t + W_hz h_{t-1} + b_z)                    update gate
    n_t = tanh(W_xn x_t + b_n + r_t * (W_hn h_{t-1} + b_hn))        candidate
    h_t = (1 - z_t) * n_t + z_t * h_{t-1}

This is the form of cuDNN and `torch.nn.GRU`: r multiplies the product W_hn h, so that one product serves all three;
the paper multiplies h before it. In the paper's text z weighs the old state, as here.
"""

import torch
from torch import Tensor

from rnn_core.cells.cell import Cell, State


class GRU(Cell):
    """State: (h_BH,). G = 3H: r, z, n. `b_hn` (H) is the candidate's bias inside the reset gate."""

    gates, forget_gate = ("r", "z", "n"), "z"

    def __init__(self, input_size: int, hidden_size: int):
        super().__init__(input_size, hidden_size)
        self.w_x = self.uniform(3 * hidden_size, input_size)
        self.w_h = self.uniform(3 * hidden_size, hidden_size)
        self.b = self.uniform(3 * hidden_size)
        self.b_hn = self.uniform(hidden_size)

    def step(self, z_BG: Tensor, state: State) -> tuple[Tensor, State]:
        (h_BH,) = state
        sizes = 2 * self.hidden_size, self.hidden_size
        x_rz, x_n = z_BG.split(sizes, 1)
        h_rz, h_n = (h_BH @ self.w_h.t()).split(sizes, 1)
        r, z = (x_rz + h_rz).sigmoid().chunk(2, 1)
        n = (x_n + r * (h_n + self.b_hn)).tanh()
        h_BH = torch.lerp(n, h_BH, z)  # (1 - z) * n + z * h
        return h_BH, (h_BH,)
