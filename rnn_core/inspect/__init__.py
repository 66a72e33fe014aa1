"""Seeing inside a network: what its state and its gradients do over time. Nothing here changes the network.

`unrolled` shows the states of an example step by step; `flow` how the gradient of a loss fades on its way back; `reach`
what the past is worth, and what truncation costs; `surprise` the loss of each step. All take a network of any kind with
a stack of recurrent layers, `network.model.stack`, of any cell, in one direction or in both.
"""

from rnn_core.inspect.flow import Flow, gradient_flow
from rnn_core.inspect.reach import Truncation, enough, loss_when_cut, truncation
from rnn_core.inspect.surprise import Example, examples
from rnn_core.inspect.unrolled import LayerStates, Unrolled, unroll

__all__ = [
    "Example",
    "Flow",
    "LayerStates",
    "Truncation",
    "Unrolled",
    "enough",
    "examples",
    "gradient_flow",
    "loss_when_cut",
    "truncation",
    "unroll",
]
