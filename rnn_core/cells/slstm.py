"""The sLSTM (Beck et al. 2024: xLSTM, extended long short-term memory; equations 8-17), with one head.

    log i_t = W_xi x_t + W_hi h_{t-1} + b_i                     input gate, exponential
    log f_t = log sigmoid(W_xf x_t + W_hf h_{t-1} + b_f)        forget gate
    z_t = tanh(W_xz x_t + W_hz h_{t-1} + b_z)                   cell input
    o_t = sigmoid(W_xo x_t + W_ho h_{t-1} + b_o)                output gate
    m_t = max(log f_t + m_{t-1}, log i_t)                       stabiliser
    i'_t = exp(log i_t - m_t)    f'_t = exp(log f_t + m_{t-1} - m_t)
    c_t = f'_t * c_{t-1} + i'_t * z_t                           cell
    n_t = f'_t * n_{t-1} + i'_t                                 normaliser
    h_t = o_t * c_t / n_t

c and n are exp(-m) times what they would be without m, which drops out of h: no exponential is ever above 1. The paper
leaves the forget gate's function open, exp or sigmoid: here it is the sigmoid, in log space.

Before the first step c and n are zero, and m, the logarithm of their scale, is minus infinity. So m_1 = log i_1, i'_1
is 1 and f'_1 is 0; and as one of i' and f' is 1 at every step, n_t >= 1 from the first step on, whatever the gates are.
With m = 0 instead a small first input gate would leave 0 / 0.
"""

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from rnn_core.cells.cell import Cell, State
from rnn_core.cells.lstm import open_forget_gate


class SLSTM(Cell):
    """State: (h_BH, c_BH, n_BH, m_BH). G = 4H: i, f, z, o."""

    gates, forget_gate, input_gate = ("i", "f", "z", "o"), "f", "i"
    state_names = ("h", "c", "n", "m")
    blends = False
    """The stabiliser begins at minus infinity, and c and n are to its scale."""

    def __init__(self, input_size: int, hidden_size: int):
        super().__init__(input_size, hidden_size)
        self.w_x = self.uniform(4 * hidden_size, input_size)
        self.w_h = self.uniform(4 * hidden_size, hidden_size)
        self.b = self.uniform(4 * hidden_size)
        open_forget_gate(self.b)

    def step(self, z_BG: Tensor, state: State) -> tuple[Tensor, State]:
        h_BH, c_BH, n_BH, m_BH = state
        log_i, a_f, a_z, a_o = torch.addmm(z_BG, h_BH, self.w_h.t()).chunk(4, 1)
        log_f_m = logsigmoid(a_f) + m_BH
        m_BH = torch.maximum(log_f_m, log_i)
        i, f = (log_i - m_BH).exp(), (log_f_m - m_BH).exp()
        c_BH = f * c_BH + i * a_z.tanh()
        n_BH = f * n_BH + i
        h_BH = a_o.sigmoid() * (c_BH / n_BH)
        return h_BH, (h_BH, c_BH, n_BH, m_BH)

    def initial_state(self, batch: int, like: Tensor) -> State:
        """h_BH, c_BH and n_BH zero, m_BH minus infinity."""
        zeros_BH = like.new_zeros(batch, self.hidden_size)
        return zeros_BH, zeros_BH.clone(), zeros_BH.clone(), torch.full_like(zeros_BH, -torch.inf)
