"""Layers: a window in, a window out. Resets, direction, stacking and regularization are here, equations in the cells.

`layer` is one cell over a window, by its kernel or step by step; `stack` layers upon layers, with the settings that
all kinds of problem share; `connections` what goes round a layer; `torch_like` drop-ins for nn.LSTM, nn.GRU and
nn.RNN, and `torch_weights` their weights, both ways.
"""

from rnn_core.layers.layer import Layer, step_by_step
from rnn_core.layers.stack import Stack, StackConfig
from rnn_core.layers.torch_weights import from_torch, to_torch

__all__ = ["Layer", "Stack", "StackConfig", "from_torch", "step_by_step", "to_torch"]
