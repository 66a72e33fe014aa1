"""What every cell is: one step of a recurrent network, state in and state out."""

import copy
from abc import ABC, abstractmethod
from typing import ClassVar, Self

import torch
from torch import Tensor, nn

from rnn_core.products import linear

State = tuple[Tensor, ...]
"""What a cell remembers: tensors (B, features), h_BH the first, as many as the cell wants. () without memory."""


class Cell(nn.Module, ABC):
    """h_t and the next state from x_t and the state.

    A cell sets its weights `w_x` (G, D) and `b` (G), and `w_h` (G, H) where the state is multiplied by a matrix in each
    step, and writes its equations in `step`. The part of the pre-activations that needs no state stands apart, in
    `inputs`: it is one product for a whole window, where `step` comes once for each step.
    """

    w_x: nn.Parameter
    w_h: nn.Parameter
    b: nn.Parameter

    gates: ClassVar[tuple[str, ...]] = ("h",)
    """The equal blocks of G in their order: whose pre-activations they are."""
    forget_gate: ClassVar[str | None] = None
    """The gate, if one has a bias of its own, that weighs the old state."""
    input_gate: ClassVar[str | None] = None
    """The gate, if one has a bias of its own, that weighs what is new."""
    state_names: ClassVar[tuple[str, ...]] = ("h",)
    """What the tensors of the state are called, in their order."""
    blends: ClassVar[bool] = True
    """Whether a mixture of two states is a state."""

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

    @property
    def recurrent(self) -> bool:
        """Whether there is a recurrent matrix `w_h`."""
        return "w_h" in self._parameters

    @property
    def gated(self) -> bool:
        return self.forget_gate is not None or self.input_gate is not None

    def replaced(self, **weights: Tensor) -> Self:
        """This cell with other tensors in the place of these weights, differentiable; all else is shared with it."""
        twin = copy.copy(self)
        twin._parameters = self._parameters.copy()
        for name, weight in weights.items():
            del twin._parameters[name]
            setattr(twin, name, weight)
        return twin

    @torch.no_grad()
    def orthogonal(self) -> None:
        """Draws each gate's block of `w_h` anew, its rows or columns orthogonal and of length 1: what is fed back
        neither grows nor fades (Saxe et al. 2014: Exact solutions to the nonlinear dynamics of learning in deep linear
        neural networks)."""
        for block in self.w_h.chunk(len(self.gates)):
            nn.init.orthogonal_(block)

    @torch.no_grad()
    def chrono(self, memory_length: int) -> None:
        """Draws the biases of the gates so that the units remember over 1 to T_max - 1 steps, whatever comes in:
        b_f = log U(1, T_max - 1), b_i = -b_f (Tallec and Ollivier 2018: Can recurrent neural networks warp time?).

        Args:
            memory_length: T_max, from 2 on.
        """
        biases = dict(zip(self.gates, self.b.chunk(len(self.gates)), strict=True))
        span = torch.empty_like(biases[self.gates[0]]).uniform_(1, memory_length - 1).log_()
        if self.forget_gate is not None:
            biases[self.forget_gate].copy_(span)
        if self.input_gate is not None:
            biases[self.input_gate].copy_(-span)

    def extra_repr(self) -> str:
        return f"{self.input_size}, {self.hidden_size}"

    def uniform(self, *shape: int) -> nn.Parameter:
        """A weight drawn as torch.nn draws its recurrent layers' weights: U(-1/sqrt(H), 1/sqrt(H))."""
        bound = self.hidden_size**-0.5
        return nn.Parameter(torch.empty(shape).uniform_(-bound, bound))
