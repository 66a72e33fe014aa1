"""The network unrolled in time on a real example: what went in, what was remembered, what came out at each step."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from rnn_core.inspect.watching import WatchedLayer, watching
from rnn_core.lanes import Window

Array = NDArray[np.float64]


@dataclass(frozen=True)
class LayerStates:
    """One layer in one direction; step by step in the order of the example, whatever the direction."""

    reverse: bool
    h_TH: Array
    """What it says."""
    state: dict[str, Array]
    """What it remembers after each step (T, features), by the names of its cell; {} without memory. The state of a
    reverse layer at a step is made of that step and those after it."""


@dataclass(frozen=True)
class Unrolled:
    x_TD: Array
    """Inputs of the first layer."""
    layers: tuple[LayerStates, ...]
    """From the first to the last; where there are two directions, all forward ones, then all backward ones."""
    p_TV: Array
    """Probability of each class at each step."""


@torch.no_grad()
def unroll(network: Any, window: Window, carry: Any, lane: int, steps: slice) -> Unrolled:
    """A part of one lane of a window, step by step.

    Args:
        network: its head must give logits, a class each.
        carry: of all lanes, before the window.
        lane: number of the lane in the window.
        steps: of the window; what stands before them is read too.
    """
    inputs: list[Tensor] = []

    def look(module: nn.Module, arguments: tuple[Tensor, ...]) -> None:
        inputs.append(arguments[0])

    hook = network.model.stack.register_forward_pre_hook(look)
    try:
        with watching(network) as layers:
            hidden_TBH, _ = network(window, carry)
    finally:
        hook.remove()
    p_TV = network.head.predict(hidden_TBH[steps, lane]).softmax(-1)
    shown = tuple(_states(layer, lane, steps) for layer in layers)
    return Unrolled(_array(inputs[0][steps, lane]), shown, _array(p_TV))


def _states(layer: WatchedLayer, lane: int, steps: slice) -> LayerStates:
    taken = layer.cell.steps[::-1] if layer.reverse else layer.cell.steps
    names = layer.cell.cell.state_names
    if not names:
        # Without memory all steps were taken at once.
        return LayerStates(layer.reverse, _array(taken[0].h_BH[steps, lane]), {})
    h_TH = torch.stack([step.h_BH[lane] for step in taken[steps]])
    state = {name: torch.stack([step.state[i][lane] for step in taken[steps]]) for i, name in enumerate(names)}
    return LayerStates(layer.reverse, _array(h_TH), {name: _array(s) for name, s in state.items()})


def _array(tensor: Tensor) -> Array:
    return tensor.detach().double().cpu().numpy()
