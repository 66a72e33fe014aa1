"""What goes round a layer f, so that many layers still learn: x is what comes in, f what the layer made of it.

    none        y = f
    residual    y = x + f
    highway     y = t * f + (1 - t) * x,  t = sigmoid(W_t x + b_t)

Residual: He et al. 2016 (Deep residual learning for image recognition). Highway: Srivastava et al. 2015 (Training very
deep networks), t being the transform gate.

x and f must be of one width: a layer that widens or narrows has none.
"""

from typing import Literal

import torch
from torch import Tensor, nn

from rnn_core.products import linear

Connection = Literal["none", "residual", "highway"]

GATE_BIAS = -2.0
"""b_t at the start: t is 0.12, so that at first each layer mostly lets through (the paper takes -1 to -3)."""


def connection(name: Connection, input_size: int, output_size: int) -> nn.Module:
    """The module (x_TBD, f_TBH) -> y_TBH round a layer of these widths."""
    if name == "none" or input_size != output_size:
        return Plain()
    return Residual() if name == "residual" else Highway(output_size)


class Plain(nn.Module):
    def forward(self, x_TBD: Tensor, f_TBH: Tensor) -> Tensor:
        return f_TBH


class Residual(nn.Module):
    def forward(self, x_TBH: Tensor, f_TBH: Tensor) -> Tensor:
        return x_TBH + f_TBH


class Highway(nn.Module):
    """`w_t` (H, H) and `b_t` (H) of the transform gate."""

    def __init__(self, size: int):
        super().__init__()
        self.w_t = nn.Parameter(torch.empty(size, size).uniform_(-(size**-0.5), size**-0.5))
        self.b_t = nn.Parameter(torch.full((size,), GATE_BIAS))

    def forward(self, x_TBH: Tensor, f_TBH: Tensor) -> Tensor:
        return torch.lerp(x_TBH, f_TBH, linear(x_TBH, self.w_t, self.b_t).sigmoid())
