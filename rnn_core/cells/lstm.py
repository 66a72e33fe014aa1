"""Long short-term memory (Hochreiter and Schmidhuber 1997) with forget gates (Gers et al. 2000: Learning to forget).

    i_t = sigmoid(W_xi x_t + W_hi h_{t-1} + b_i)        input gate
    f_t = sigmoid(W_xf x_t + W_hf h_{t-1} + b_f)        forget gate
    g_t = tanh(W_xg x_t + W_hg h_{t-1} + b_g)           candidate
    o_t = sigmoid(W_xo x_t + W_ho h_{t-1} + b_o)        output gate
    c_t = f_t * c_{t-1} + i_t * g_t
    h_t = o_t * tanh(c_t)

The order of the gates is that of `torch.nn.LSTM`.
"""

import torch
from torch import Tensor

from rnn_core.cells.cell import Cell, State


class LSTM(Cell):
    """State: (h_BH, c_BH). G = 4H: i, f, g, o."""

    gates, forget_gate, input_gate = ("i", "f", "g", "o"), "f", "i"
    state_names = ("h", "c")

    def __init__(self, input_size: int, hidden_size: int):
        super().__init__(input_size, hidden_size)
        self.w_x = self.uniform(4 * hidden_size, input_size)
        self.w_h = self.uniform(4 * hidden_size, hidden_size)
        self.b = self.uniform(4 * hidden_size)
        open_forget_gate(self.b)

    def step(self, z_BG: Tensor, state: State) -> tuple[Tensor, State]:
        h_BH, c_BH = state
        i, f, g, o = torch.addmm(z_BG, h_BH, self.w_h.t()).chunk(4, 1)
        c_BH = f.sigmoid() * c_BH + i.sigmoid() * g.tanh()
        h_BH = o.sigmoid() * c_BH.tanh()
        return h_BH, (h_BH, c_BH)

    def initial_state(self, batch: int, like: Tensor) -> State:
        """h_BH and c_BH, both zero."""
        return like.new_zeros(batch, self.hidden_size), like.new_zeros(batch, self.hidden_size)


def open_forget_gate(b_G: Tensor) -> None:
    """Sets the forget gate's bias, that of the second of four gates, to 1."""
    # A forget gate of 1/2 halves the memory, and its gradient, at each step: nothing far off would ever be learnt.
    # With 1 it begins at 0.73 (Jozefowicz et al. 2015: An empirical exploration of recurrent network architectures,
    # found that this alone brings the LSTM level with the best of 10,000 others).
    with torch.no_grad():
        b_G.chunk(4)[1].fill_(1)
