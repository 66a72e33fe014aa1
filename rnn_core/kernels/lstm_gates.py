"""What the LSTM's kernels share: its gates at a step, and what the gradients of its states are multiplied with.

i, f, o = sigmoid(a_i, a_f, a_o), g = tanh(a_g), c_t = f * c_{t-1} + i * g; the output is o * y, where y is the tanh of
c_t, or of its normalisation.
"""

import torch
from torch import Tensor

_sigmoid_backward = torch.ops.aten.sigmoid_backward.grad_input  # (d, y): d * y * (1 - y), y being the sigmoid
_tanh_backward = torch.ops.aten.tanh_backward.grad_input  # (d, y): d * (1 - y^2), y being the tanh


def gates_(a_BG: Tensor, a_g: Tensor) -> None:
    """Pre-activations into gates, in place; `a_g` is the candidate's part of them.

    The candidate is doubled before the sigmoid, so that one call serves all four: see `window.tanh_`.
    """
    a_g.mul_(2)
    a_BG.sigmoid_()
    a_g.mul_(2).sub_(1)


def factors(gates_TBG: Tensor, c_before_TBH: Tensor, y_TBH: Tensor) -> tuple[Tensor, Tensor]:
    """da_TBG, of which i, f and g are to be multiplied with dc_t and o with dh_t; and what dh_t is to get to y's input.

    Known before the first step back, and found for the window at once.
    """
    i, f, g, o = gates_TBG.chunk(4, 2)
    da_TBG, dy_TBH = torch.empty_like(gates_TBG), torch.empty_like(y_TBH)
    da_i, da_f, da_g, da_o = da_TBG.chunk(4, 2)
    _sigmoid_backward(g, i, grad_input=da_i)
    _sigmoid_backward(c_before_TBH, f, grad_input=da_f)
    _tanh_backward(i, g, grad_input=da_g)
    _sigmoid_backward(y_TBH, o, grad_input=da_o)
    _tanh_backward(o, y_TBH, grad_input=dy_TBH)
    return da_TBG, dy_TBH
