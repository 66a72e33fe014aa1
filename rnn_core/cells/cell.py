"""What every cell is: one step of a recurrent network, state in and state out."""

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from rnn_core.products import linear

State = tuple[Tensor, ...]
"""What a cell remembers: tensors (B, H), the lane first. Empty for a cell without memory."""


class Cell(nn.Module, ABC):
    """h_t and the next state from x_t and the state.

    A cell sets its weights `w_x` (G, D) and `b` (G), and `w_h` (G, H) where the state is multiplied by a matrix in each
    step, and writes its equations in `step`. The part of the pre-activations that needs no state stands apart, in
    `inputs`: it is one product for a whole window, where `step` comes once for each step.
    """

    w_x: nn.Parameter
    b: nn.Parameter

    def __init__(self, input_size: int, hidden_size: int):
        super().__init__()
        self.input_size, self.hidden_size = input_size, hidden_size

    def inputs(self, x: Tensor) -> Tensor:
        """z_..G = W_x x + b, of x_..D with any leading dimensions."""
        return linear(x, self.w_x, self.b)

    @abstractmethod
    def step(self, z_BG: Tensor, state: State) -> tuple[Tensor, State]:
        """h_BH and the next state, from the `inputs` of this step and the state before it."""

    def forward(self, x_BD: Tensor, state: State) -> tuple[Tensor, State]:
        return self.step(self.inputs(x_BD), state)

    def initial_state(self, batch: int, like: Tensor) -> State:
        """The state before a sequence's first step, on `like`'s device and of its type: one h_BH of zeros."""
        return (like.new_zeros(batch, self.hidden_size),)

    def extra_repr(self) -> str:
        return f"{self.input_size}, {self.hidden_size}"

    def uniform(self, *shape: int) -> nn.Parameter:
        """A weight drawn as torch.nn draws its recurrent layers' weights: U(-1/sqrt(H), 1/sqrt(H))."""
        bound = self.hidden_size**-0.5
        return nn.Parameter(torch.empty(shape).uniform_(-bound, bound))
