"""The gated recurrent unit as its paper has it (Cho et al. 2014: Learning phrase representations using RNN
encoder-decoder for statistical machine translation).

    r_t = sigmoid(W_xr x_t + W_hr h_{t-1} + b_r)                reset gate
    z_t = sigmoid(W_xz x_t + W_hz h_{t-1} + b_z)                update gate
    n_t = tanh(W_xn x_t + W_hn (r_t * h_{t-1}) + b_n)           candidate
    h_t = (1 - z_t) * n_t + z_t * h_{t-1}

The reset gate multiplies h before the product, so that a step needs two, one after the other; `gru` is cuDNN's form,
where it multiplies the product and one is enough. The gates have their biases, which the paper leaves out.
"""

import torch
from torch import Tensor

from rnn_core.cells.cell import Cell, State


class GRUCho(Cell):
    """State: (h_BH,). G = 3H: r, z, n."""

    gates, forget_gate = ("r", "z", "n"), "z"

    def __init__(self, input_size: int, hidden_size: int):
        super().__init__(input_size, hidden_size)
        self.w_x = self.uniform(3 * hidden_size, input_size)
        self.w_h = self.uniform(3 * hidden_size, hidden_size)
        self.b = self.uniform(3 * hidden_size)

    def step(self, z_BG: Tensor, state: State) -> tuple[Tensor, State]:
        (h_BH,) = state
        sizes = 2 * self.hidden_size, self.hidden_size
        x_rz, x_n = z_BG.split(sizes, 1)
        w_rz, w_n = self.w_h.split(sizes)
        r, z = torch.addmm(x_rz, h_BH, w_rz.t()).sigmoid().chunk(2, 1)
        n = torch.addmm(x_n, r * h_BH, w_n.t()).tanh()
        h_BH = torch.lerp(n, h_BH, z)  # (1 - z) * n + z * h
        return h_BH, (h_BH,)
