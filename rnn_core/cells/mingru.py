"""The minimal GRU (Feng et al. 2024: Were RNNs all we needed?, section 3.1 and appendix B).

    z_t = sigmoid(W_z x_t + b_z)            update gate
    n_t = g(W_n x_t + b_n)                  candidate; g(v) = v + 0.5 where v > 0, else sigmoid(v)
    h_t = (1 - z_t) * h_{t-1} + z_t * n_t

The gates do not see h_{t-1}, and h_t is linear in it: a window is a scan (`rnn_core.kernels.scan`).
g is that of the paper's form in log space, where candidates have to be positive. The state is kept as it is and not
as its logarithm, so that it may start from zero, which has none.
"""

import torch
from torch import Tensor

from rnn_core.cells.cell import Cell, State


def g(v: Tensor) -> Tensor:
    """The identity, half a unit up, where v is above zero and the sigmoid below: positive, and without a jump."""
    return v.relu() + v.clamp_max(0).sigmoid()


class MinGRU(Cell):
    """State: (h_BH,). G = 2H: z, n. There is no `w_h`."""

    gates, input_gate = ("z", "n"), "z"

    def __init__(self, input_size: int, hidden_size: int):
        super().__init__(input_size, hidden_size)
        self.w_x = self.uniform(2 * hidden_size, input_size)
        self.b = self.uniform(2 * hidden_size)

    def step(self, z_BG: Tensor, state: State) -> tuple[Tensor, State]:
        (h_BH,) = state
        z, n = z_BG.chunk(2, 1)
        h_BH = torch.lerp(h_BH, g(n), z.sigmoid())  # (1 - z) * h + z * n
        return h_BH, (h_BH,)
