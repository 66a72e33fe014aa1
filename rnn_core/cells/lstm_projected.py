"""The LSTM with recurrent projection (Sak et al. 2014: Long short-term memory recurrent neural network architectures
for large scale acoustic modeling), as `torch.nn.LSTM(proj_size=...)`.

    i_t = sigmoid(W_xi x_t + W_ri r_{t-1} + b_i)        input gate
    f_t = sigmoid(W_xf x_t + W_rf r_{t-1} + b_f)        forget gate
    g_t = tanh(W_xg x_t + W_rg r_{t-1} + b_g)           candidate
    o_t = sigmoid(W_xo x_t + W_ro r_{t-1} + b_o)        output gate
    c_t = f_t * c_{t-1} + i_t * g_t
    r_t = W_p (o_t * tanh(c_t))

The memory c has M features, the output and recurrent state r the fewer H: a large memory at the price of a small
recurrent matrix. As in torch there are neither peepholes nor a second projection that does not recur.
"""

import torch
from torch import Tensor

from rnn_core.cells.cell import Cell, State
from rnn_core.cells.lstm import open_forget_gate
from rnn_core.errors import ConfigError


class LSTMProjected(Cell):
    """State: (r_BH, c_BM). G = 4M: i, f, g, o. `w_h` (G, H) is the paper's W_r, `w_p` (H, M) its projection."""

    gates, forget_gate, input_gate = ("i", "f", "g", "o"), "f", "i"
    state_names = ("r", "c")

    def __init__(self, input_size: int, hidden_size: int, memory_size: int | None = None):
        """
        Args:
            input_size, hidden_size: D, H.
            memory_size: M; twice H where None.

        Raises:
            ConfigError: a memory of no size.
        """
        super().__init__(input_size, hidden_size)
        self.memory_size = 2 * hidden_size if memory_size is None else memory_size
        if self.memory_size < 1:
            raise ConfigError("model.memory_size", f"found {memory_size}", "a whole number from 1 on is wanted")
        self.w_x = self.uniform(4 * self.memory_size, input_size)
        self.w_h = self.uniform(4 * self.memory_size, hidden_size)
        self.w_p = self.uniform(hidden_size, self.memory_size)
        self.b = self.uniform(4 * self.memory_size)
        open_forget_gate(self.b)

    def step(self, z_BG: Tensor, state: State) -> tuple[Tensor, State]:
        r_BH, c_BM = state
        i, f, g, o = torch.addmm(z_BG, r_BH, self.w_h.t()).chunk(4, 1)
        c_BM = f.sigmoid() * c_BM + i.sigmoid() * g.tanh()
        r_BH = (o.sigmoid() * c_BM.tanh()) @ self.w_p.t()
        return r_BH, (r_BH, c_BM)

    def initial_state(self, batch: int, like: Tensor) -> State:
        """r_BH and c_BM, both zero."""
        return like.new_zeros(batch, self.hidden_size), like.new_zeros(batch, self.memory_size)

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, memory_size={self.memory_size}"

    def uniform(self, *shape: int) -> torch.nn.Parameter:
        """A weight drawn as torch.nn draws it: the memory's size counts, U(-1/sqrt(M), 1/sqrt(M))."""
        bound = self.memory_size**-0.5
        return torch.nn.Parameter(torch.empty(shape).uniform_(-bound, bound))
