"""Seeing inside a network: what its state and its gradients do over time. Nothing here changes the network.

`unrolled` shows the states of an example step by step; `flow` how the gradient of a loss fades on its way back; `reach`
what the past is worth, and what truncation costs; `surprise` the loss of each step, `told` by what a head makes of it;
`attended` where attention was, `ahead` what was foretold. All take a network of any kind, of any cell, in one direction
or in both; `parts` names its recurrent stacks.
"""

from rnn_core.inspect.ahead import ahead
from rnn_core.inspect.attended import attended
from rnn_core.inspect.flow import Flow, gradient_flow, source_flow, steps_read
from rnn_core.inspect.parts import Part, parts
from rnn_core.inspect.reach import Truncation, enough, loss_when_cut, truncation
from rnn_core.inspect.surprise import Example, examples, while_read
from rnn_core.inspect.unrolled import LayerStates, Unrolled, unroll

__all__ = [
    "Example",
    "Flow",
    "LayerStates",
    "Part",
    "Truncation",
    "Unrolled",
    "ahead",
    "attended",
    "enough",
    "examples",
    "gradient_flow",
    "loss_when_cut",
    "parts",
    "source_flow",
    "steps_read",
    "truncation",
    "unroll",
    "while_read",
]
