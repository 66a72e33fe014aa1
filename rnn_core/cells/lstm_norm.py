"""The layer-normalised LSTM (Ba, Kiros and Hinton 2016: Layer normalization; equations 20-22 of its supplement).

    LN(a) = (a - mean(a)) / sqrt(var(a) + epsilon)              over the features of one lane and step

    (a_i, a_f, a_g, a_o) = s_h * LN(W_h h_{t-1}) + s_x * LN(W_x x_t) + b
    i_t, f_t, o_t = sigmoid(a_i, a_f, a_o)                      input, forget, output gate
    g_t = tanh(a_g)                                             candidate
    c_t = f_t * c_{t-1} + i_t * g_t
    h_t = o_t * tanh(s_c * LN(c_t) + b_c)

Both sums are normalised over all four gates together, as in the paper; its three biases, one of each LN and that of
the gates, are one number in effect, and one here. Gains s begin at 1 and biases at 0, as there, but for the forget
gate's. epsilon, of which the paper says nothing, lets h be zero, as it is before the first step.
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import layer_norm

from rnn_core.cells.cell import Cell, State
from rnn_core.cells.lstm import open_forget_gate
from rnn_core.products import linear

EPSILON = 1e-5
"""That of `torch.nn.LayerNorm`."""


class LSTMNorm(Cell):
    """State: (h_BH, c_BH). G = 4H: i, f, g, o. Gains `s_x`, `s_h` (G), `s_c` (H); biases `b` (G), `b_c` (H)."""

    gates, forget_gate, input_gate = ("i", "f", "g", "o"), "f", "i"
    state_names = ("h", "c")

    def __init__(self, input_size: int, hidden_size: int):
        super().__init__(input_size, hidden_size)
        self.w_x = self.uniform(4 * hidden_size, input_size)
        self.w_h = self.uniform(4 * hidden_size, hidden_size)
        self.s_x = nn.Parameter(torch.ones(4 * hidden_size))
        self.s_h = nn.Parameter(torch.ones(4 * hidden_size))
        self.s_c = nn.Parameter(torch.ones(hidden_size))
        self.b = nn.Parameter(torch.zeros(4 * hidden_size))
        self.b_c = nn.Parameter(torch.zeros(hidden_size))
        open_forget_gate(self.b)

    def inputs(self, x: Tensor) -> Tensor:
        """z_..G = s_x * LN(W_x x) + b, of x_..D with any leading dimensions."""
        return layer_norm(linear(x, self.w_x, None), self.b.shape, self.s_x, self.b, EPSILON)

    def step(self, z_BG: Tensor, state: State) -> tuple[Tensor, State]:
        h_BH, c_BH = state
        i, f, g, o = (z_BG + layer_norm(h_BH @ self.w_h.t(), self.b.shape, self.s_h, None, EPSILON)).chunk(4, 1)
        c_BH = f.sigmoid() * c_BH + i.sigmoid() * g.tanh()
        h_BH = o.sigmoid() * layer_norm(c_BH, self.b_c.shape, self.s_c, self.b_c, EPSILON).tanh()
        return h_BH, (h_BH, c_BH)

    def initial_state(self, batch: int, like: Tensor) -> State:
        """h_BH and c_BH, both zero."""
        return like.new_zeros(batch, self.hidden_size), like.new_zeros(batch, self.hidden_size)
