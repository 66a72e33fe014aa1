"""The minimal LSTM (Feng et al. 2024: Were RNNs all we needed?, section 3.2 and appendix B).

    f_t = sigmoid(W_f x_t + b_f)            forget gate
    i_t = sigmoid(W_i x_t + b_i)            input gate
    n_t = g(W_n x_t + b_n)                  candidate; g as in `mingru`
    h_t = f'_t * h_{t-1} + i'_t * n_t       with f' = f / (f + i), i' = i / (f + i)

The gates are normalised, so that the state keeps its scale however long the sequence; there is no output gate.
"""

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from rnn_core.cells.cell import Cell, State
from rnn_core.cells.mingru import g


def balance(f: Tensor, i: Tensor) -> Tensor:
    """log(i / f) of gates given before their sigmoids. Its sigmoid is i', and 1 - i' is f'.

    The quotients themselves would be 0 / 0 where both gates are closed.
    """
    return logsigmoid(i) - logsigmoid(f)


class MinLSTM(Cell):
    """State: (h_BH,). G = 3H: f, i, n. There is no `w_h`."""

    gates, forget_gate, input_gate = ("f", "i", "n"), "f", "i"

    def __init__(self, input_size: int, hidden_size: int):
        super().__init__(input_size, hidden_size)
        self.w_x = self.uniform(3 * hidden_size, input_size)
        self.b = self.uniform(3 * hidden_size)
        with torch.no_grad():
            self.b[:hidden_size] = 1  # as in `lstm`, so that it begins by remembering

    def step(self, z_BG: Tensor, state: State) -> tuple[Tensor, State]:
        (h_BH,) = state
        f, i, n = z_BG.chunk(3, 1)
        h_BH = torch.lerp(h_BH, g(n), balance(f, i).sigmoid())  # f' * h + i' * n
        return h_BH, (h_BH,)
