"""The network unrolled in time on a real example: what went in and what was remembered at each step."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rnn_core.inspect.parts import Part, parts
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


@torch.no_grad()
def unroll(network: Any, window: Window, carry: Any, lane: int, steps: slice, part: Part | None = None) -> Unrolled:
    """A part of one lane of a window, step by step.

    Args:
        carry: of all lanes, before the window.
        lane: number of the lane in the window.
        steps: of the network's part; what stands before them is read too.
        part: one of `parts(network)`; None is the first.
    """
    with watching(network, part or parts(network)[0]) as watched:
        network(window, carry)
    shown = tuple(_states(layer, lane, steps) for layer in watched.layers)
    return Unrolled(_array(watched.x_TBD[steps, lane]), shown)


def _states(layer: WatchedLayer, lane: int, steps: slice) -> LayerStates:
    taken = layer.cell.steps[::-1] if layer.reverse else layer.cell.steps
    names = layer.cell.cell.state_names
    if not names:
        # Without memory all steps of a call were taken at once.
        h_TBH = torch.cat([step.h_BH for step in layer.cell.steps])
        return LayerStates(layer.reverse, _array(h_TBH[steps, lane]), {})
    h_TH = torch.stack([step.h_BH[lane] for step in taken[steps]])
    state = {name: torch.stack([step.state[i][lane] for step in taken[steps]]) for i, name in enumerate(names)}
    return LayerStates(layer.reverse, _array(h_TH), {name: _array(s) for name, s in state.items()})


def _array(tensor: Tensor) -> Array:
    return tensor.detach().double().cpu().numpy()
