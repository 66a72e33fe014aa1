"""The weights of nn.LSTM, nn.GRU and nn.RNN into ours and back.

torch adds two biases up, b_ih + b_hh, where one does: here it is the sum, and on the way back b_hh is zero. Only the
GRU's candidate needs both, for its inner one stands inside the reset gate.
"""

from collections.abc import Iterator
from typing import Any, cast

import torch
from torch import Tensor, nn

from rnn_core.cells import GRU as GRUCell
from rnn_core.cells import Cell
from rnn_core.errors import ConfigError
from rnn_core.layers.torch_like import GRU, LSTM, RNN, Recurrent

_NAMES = {"w_x": "weight_ih", "w_h": "weight_hh", "w_p": "weight_hr"}


@torch.no_grad()
def from_torch(module: nn.RNNBase) -> Recurrent:
    """A drop-in with the same arguments and a copy of the weights, on the same device; `bias=False` is a zero bias.

    Raises:
        ConfigError: it is neither nn.LSTM nor nn.GRU nor nn.RNN.
    """
    kind = next((kind for kind in (LSTM, GRU, RNN) if isinstance(module, kind.theirs)), None)
    if kind is None:
        raise ConfigError("from_torch", f"found {type(module).__name__}", "nn.LSTM, nn.GRU and nn.RNN are taken")
    made = cast(Recurrent, _without_draws(kind, module, kind.OPTIONS))
    for ours, theirs in _weights(made, module):
        ours.copy_(theirs)
    for cell, b_ih, b_hh in _biases(made, module):
        inner = _inner(cell)
        cell.b.copy_(b_ih + b_hh.masked_fill(inner, 0))
        if isinstance(cell, GRUCell):
            cell.b_hn.copy_(b_hh[inner])
    return made.train(module.training)


@torch.no_grad()
def to_torch(module: Recurrent) -> nn.RNNBase:
    """The way back: nn.LSTM, nn.GRU or nn.RNN with a copy of the weights.

    Raises:
        ConfigError: it is none of the drop-ins.
    """
    if not isinstance(module, Recurrent):
        allowed = "LSTM, GRU and RNN of rnn_core.layers.torch_like are taken"
        raise ConfigError("to_torch", f"found {type(module).__name__}", allowed)
    made = cast(nn.RNNBase, _without_draws(module.theirs, module, module.OPTIONS))
    for ours, theirs in _weights(module, made):
        theirs.copy_(ours)
    for cell, b_ih, b_hh in _biases(module, made):
        b_ih.copy_(cell.b)
        b_hh.zero_()
        if isinstance(cell, GRUCell):
            b_hh[_inner(cell)] = cell.b_hn
    return made.train(module.training)


def _without_draws(kind: Any, like: nn.Module, options: tuple[str, ...]) -> nn.Module:
    """A new module with the options, type and device of another; biases zero, weights arbitrary, no number drawn."""
    weight = next(like.parameters())
    arguments = {name: getattr(like, name) for name in options}
    made: nn.Module = kind(**arguments, device="meta", dtype=weight.dtype).to_empty(device=weight.device)
    for parameter in made.parameters():
        if parameter.dim() == 1:
            parameter.zero_()
    return made


def _cells(ours: Recurrent) -> Iterator[tuple[Cell, str]]:
    """Each cell with the ending of its weights' names in torch."""
    endings = ("", "_reverse") if ours.bidirectional else ("",)
    names = [f"_l{layer}{ending}" for layer in range(ours.num_layers) for ending in endings]
    return zip(cast(list[Cell], list(ours.cells)), names, strict=True)


def _weights(ours: Recurrent, theirs: nn.RNNBase) -> Iterator[tuple[Tensor, Tensor]]:
    """The matrices of both that hold the same."""
    for cell, ending in _cells(ours):
        for name, weight in cell.named_parameters():
            if name in _NAMES:
                yield weight, getattr(theirs, _NAMES[name] + ending)


def _biases(ours: Recurrent, theirs: nn.RNNBase) -> Iterator[tuple[Cell, Tensor, Tensor]]:
    """Each cell with b_ih and b_hh; nothing where there are no biases."""
    for cell, ending in _cells(ours) if ours.bias else ():
        yield cell, getattr(theirs, f"bias_ih{ending}"), getattr(theirs, f"bias_hh{ending}")


def _inner(cell: Cell) -> Tensor:
    """True where torch's b_hh stands for itself: at the GRU's candidate."""
    inner_G = torch.zeros_like(cell.b, dtype=torch.bool)
    if isinstance(cell, GRUCell):
        inner_G[2 * cell.hidden_size :] = True
    return inner_G
