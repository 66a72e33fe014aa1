"""How the gradient flows back: the norm of d loss_t / d state_(t-k) against k, the steps between.

Pascanu et al. 2013 (On the difficulty of training recurrent neural networks): it is bounded by a product of k
Jacobians, and vanishes or explodes with k. What it is at k is what a network can learn from k steps ago.

The state is all that passes from a step to the next: h of an Elman network or a GRU, h and c of an LSTM. The gradient
is the exact one through all paths that lead through the state after step t - k, of all layers together. The network is
run once, step by step; each t then takes one backward pass, which gives all k and lanes.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rnn_core.inspect.watching import WatchedLayer, watching
from rnn_core.lanes import Window


@dataclass(frozen=True)
class Flow:
    """Of the layers of one direction. Index 0 is k = 1; the last k is the longest way inside a sequence."""

    reverse: bool
    """The state flows from later steps to earlier ones: k steps back are steps t + k."""
    state_K: NDArray[np.float64]
    """Mean, over steps t and lanes, of the norm by the whole state, in nats per unit of the state."""
    h_K: NDArray[np.float64]
    """The same by the first tensor of each layer's state alone: h, in all cells but the LRU."""
    pairs_K: NDArray[np.int64]
    """How many pairs of a step and a lane the mean is of: those whose sequence reaches so far back."""


def gradient_flow(network: Any, window: Window, carry: Any, steps: Sequence[int]) -> list[Flow]:
    """The flow through the forward layers; then, where there are two directions, that through the backward ones.

    Args:
        network: its loss must be a sum over steps.
        carry: of all lanes, before the window.
        steps: the t whose losses are followed back.
    """
    with watching(network) as layers, torch.enable_grad():
        hidden_TBH, _ = network(window, carry)
        directions = [_Direction(window, layers, reverse) for reverse in sorted({layer.reverse for layer in layers})]
        for t in steps:
            only_TB = torch.zeros_like(window.valid_TB)
            only_TB[t] = window.valid_TB[t]
            if only_TB.any():
                loss, _ = network.loss(replace(window, valid_TB=only_TB), hidden_TBH)
                for direction in directions:
                    direction.add(loss, t)
    return [direction.flow() for direction in directions]


class _Direction:
    """The sums over steps and lanes of one direction, whose steps are counted as they are processed."""

    def __init__(self, window: Window, layers: list[WatchedLayer], reverse: bool):
        self.reverse, self._num_steps = reverse, len(window.starts_TB)
        self._layers = [layer.cell.steps for layer in layers if layer.reverse == reverse]
        starts_TB = window.starts_TB
        if reverse:
            starts_TB = torch.cat((starts_TB[1:], torch.ones_like(starts_TB[:1]))).flip(0)
        # How many resets there were before each step, and in all.
        self._resets_TB = torch.cat((torch.zeros_like(starts_TB[:1], dtype=torch.long), starts_TB.long().cumsum(0)))
        self._valid_TB = window.valid_TB
        self._sums_2K = torch.zeros(2, self._num_steps, dtype=torch.float64)
        self._pairs_K = torch.zeros(self._num_steps, dtype=torch.long)

    def add(self, loss: Tensor, t: int) -> None:
        """The gradients of the loss of step t."""
        place = self._num_steps - 1 - t if self.reverse else t
        # k = 1 is the state that enters step t itself.
        back = range(place, -1, -1)
        same_KB = self._resets_TB[: place + 1].flip(0) == self._resets_TB[place + 1]
        same_KB &= self._valid_TB[t]
        self._pairs_K[: place + 1] += same_KB.sum(1).cpu()
        if not self._layers[0][0].entering:
            return
        states = [s for steps in self._layers for i in back for s in steps[i].entering]
        gradients = torch.autograd.grad(loss, states, retain_graph=True, materialize_grads=True)
        for_h_KB, for_all_KB = torch.zeros(2, *same_KB.shape, dtype=torch.float64, device=same_KB.device)
        for steps in self._layers:
            size, count = len(steps[0].entering), len(back) * len(steps[0].entering)
            own, gradients = gradients[:count], gradients[count:]
            squares = [torch.stack(own[j::size]).double().square().sum(2) for j in range(size)]
            for_h_KB += squares[0]
            for_all_KB += torch.stack(squares).sum(0)
        for sums_K, squares_KB in zip(self._sums_2K, (for_all_KB, for_h_KB), strict=True):
            sums_K[: place + 1] += torch.where(same_KB, squares_KB.sqrt(), 0).sum(1).cpu()

    def flow(self) -> Flow:
        longest = int((self._pairs_K > 0).sum())
        pairs_K = self._pairs_K[:longest]
        state_K, h_K = (self._sums_2K[:, :longest] / pairs_K).numpy()
        return Flow(self.reverse, state_K, h_K, pairs_K.numpy())
