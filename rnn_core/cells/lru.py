"""The linear recurrent unit (Orvieto et al. 2023: Resurrecting recurrent neural networks for long sequences).

    s_t = lambda * s_{t-1} + gamma * (B x_t)        H complex numbers, each with a lambda of its own
    h_t = Re(C s_t) + D x_t                         H real ones

    lambda = exp(-exp(nu_log) + i exp(theta_log))   inside the unit circle, whatever is learnt: it cannot explode
    gamma = exp(gamma_log)                          at first sqrt(1 - |lambda|^2), which keeps the scale of the input

Complex numbers are kept as two real ones: weights, state and carry are real tensors. Beside the paper's weights there
is a bias, zero at first. The paper's D is a diagonal, for it has as many inputs as outputs; here it is a matrix.

The unit is linear from end to end. What bends the line stands between the units: in the paper a gated layer
with a residual connection around each.
"""

import math

import torch
from torch import Tensor, nn

from rnn_core.cells.cell import Cell, State
from rnn_core.products import linear

RING = 0.5, 0.99
"""|lambda| at first, uniform in the area of a ring (the paper's lemma 3.2): a memory of one step to a hundred."""


class LRU(Cell):
    """State: (re_BH, im_BH). G = 3H: real and imaginary part of gamma (B x + b), D x + b. There is no `w_h`."""

    gates = ("re", "im", "d")
    state_names = ("re", "im")

    def __init__(self, input_size: int, hidden_size: int):
        super().__init__(input_size, hidden_size)
        b_re_and_im, d = normal(2 * hidden_size, input_size) / 2**0.5, normal(hidden_size, input_size)
        self.w_x = nn.Parameter(torch.cat((b_re_and_im, d)))
        self.b = nn.Parameter(torch.zeros(3 * hidden_size))
        self.c_re, self.c_im = (nn.Parameter(normal(hidden_size, hidden_size)) for _ in range(2))
        least, largest = RING
        squared = torch.empty(hidden_size).uniform_(least**2, largest**2)
        self.nu_log = nn.Parameter((-0.5 * squared.log()).log())
        # 1 - u, for u may be 0 and is never 1.
        self.theta_log = nn.Parameter((2 * math.pi * (1 - torch.empty(hidden_size).uniform_())).log())
        self.gamma_log = nn.Parameter(0.5 * (1 - squared).log())

    def eigenvalues(self) -> tuple[Tensor, Tensor]:
        """lambda: its real part (H) and its imaginary part (H)."""
        size, angle = (-self.nu_log.exp()).exp(), self.theta_log.exp()
        return size * angle.cos(), size * angle.sin()

    def inputs(self, x: Tensor) -> Tensor:
        """As every cell's. gamma multiplies the weights, which are fewer than the products of a window."""
        gamma = self.gamma_log.exp()
        scale_G = torch.cat((gamma, gamma, torch.ones_like(gamma)))
        return linear(x, scale_G[:, None] * self.w_x, scale_G * self.b)

    def read(self, s: Tensor) -> Tensor:
        """Re(C s) of s_..H2, the pairs of real and imaginary part, with any leading dimensions."""
        c = torch.stack((self.c_re, -self.c_im), 2).flatten(1)
        return linear(s.flatten(-2), c, None)

    def step(self, z_BG: Tensor, state: State) -> tuple[Tensor, State]:
        re_BH, im_BH = state
        (l_re, l_im), (z_re, z_im, d) = self.eigenvalues(), z_BG.chunk(3, 1)
        re_BH, im_BH = l_re * re_BH - l_im * im_BH + z_re, l_re * im_BH + l_im * re_BH + z_im
        return self.read(torch.stack((re_BH, im_BH), 2)) + d, (re_BH, im_BH)

    def initial_state(self, batch: int, like: Tensor) -> State:
        """re_BH and im_BH, both zero."""
        return like.new_zeros(batch, self.hidden_size), like.new_zeros(batch, self.hidden_size)


def normal(rows: int, columns: int) -> Tensor:
    """Weights drawn as in the paper: N(0, 1 / columns), which keeps the scale of what they are multiplied with."""
    return torch.empty(rows, columns).normal_(std=columns**-0.5)
