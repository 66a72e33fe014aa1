"""How the gradient flows back: the norm of d loss_t / d state_(t-k) against k, the steps between.

Pascanu et al. 2013 (On the difficulty of training recurrent neural networks): it is bounded by a product of k
Jacobians, and vanishes or explodes with k. What it is at k is what a network can learn from k steps ago.

The state is all that passes from a step to the next: h of an Elman network or a GRU, h and c of an LSTM. The gradient
is the exact one through all paths that lead through the state after step t - k, of all layers together. The network is
run once, step by step; each t then takes one backward pass, which gives all k and lanes.

"The loss of step t" is the loss by way of what is said at step t: where the loss is a sum over steps, it is that step's
own; of a loss of the whole sequence (a class, a string of labels) it is the part that goes through that step's output.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rnn_core.inspect.parts import Part, parts
from rnn_core.inspect.watching import WatchedLayer, WatchedPart, watching
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
    """How many pairs of a step and a lane the mean is of: those that the loss reads, whose sequence reaches so far."""
    part: str = ""
    """`Part.name`."""


def gradient_flow(
    network: Any, window: Window, carry: Any, steps: Sequence[int], part: Part | None = None
) -> list[Flow]:
    """The flow through the forward layers; then, where there are two directions, that through the backward ones.

    Args:
        carry: of all lanes, before the window.
        steps: the t whose losses are followed back, those of the part.
        part: one of `parts(network)`; None is the first.
    """
    part = part or parts(network)[0]
    with _followed(network, window, carry, part) as (watched, said_TBH, gradient_TBH, reads_TB):
        starts_TB, _ = part.marks(window)
        directions = [
            _Direction(starts_TB, watched.layers, reverse) for reverse in sorted({x.reverse for x in watched.layers})
        ]
        for t in steps:
            for direction in directions:
                direction.add(said_TBH[t], gradient_TBH[t], reads_TB[t], t)
    return [direction.flow(part.name) for direction in directions]


def steps_read(network: Any, window: Window, carry: Any, part: Part | None = None) -> list[int]:
    """The steps of a part at which the loss reads what is said, in any lane: all, or the last of each sequence."""
    with _followed(network, window, carry, part or parts(network)[0]) as (_, _, _, reads_TB):
        return reads_TB.any(1).nonzero().flatten().tolist()


def source_flow(network: Any, window: Window, lane: int, steps: slice) -> NDArray[np.float64]:
    """norms_TS: of d loss_t by what the encoder says at each step s of the source, by way of what is said at t."""
    (encoder,) = (part for part in parts(network) if part.of_source)
    with watching(network, encoder) as watched, torch.enable_grad():
        hidden_TBH, _ = network(window, network.initial_carry(window.starts_TB.shape[1]))
        gradient_TBH = _by_what_is_said(network, window, hidden_TBH, hidden_TBH)
        rows = []
        for t in range(*steps.indices(len(hidden_TBH))):
            (of_SBM,) = torch.autograd.grad(
                hidden_TBH[t, lane], watched.h_TBH, gradient_TBH[t, lane], retain_graph=True, materialize_grads=True
            )
            rows.append(of_SBM[:, lane].double().norm(dim=1))
    length = int(window.fields["source_valid_SB"][:, lane].sum())
    return torch.stack(rows)[:, :length].cpu().numpy()


@contextmanager
def _followed(
    network: Any, window: Window, carry: Any, part: Part
) -> Iterator[tuple[WatchedPart, Tensor, Tensor, Tensor]]:
    """The part while it is watched, what it says, the gradient of the loss by that, and where the loss reads it."""
    with watching(network, part) as watched, torch.enable_grad():
        hidden_TBH, _ = network(window, carry)
        said_TBH = watched.h_TBH if part.of_source else hidden_TBH
        gradient_TBH = _by_what_is_said(network, window, hidden_TBH, said_TBH)
        _, valid_TB = part.marks(window)
        yield watched, said_TBH, gradient_TBH, valid_TB & (gradient_TBH != 0).any(2)


def _by_what_is_said(network: Any, window: Window, hidden_TBH: Tensor, said_TBH: Tensor) -> Tensor:
    """The gradient of the window's loss; `said_TBH` is `hidden_TBH`, or what it is made from."""
    if said_TBH is hidden_TBH:
        # Apart from the network, which without memory has nothing to be derived by.
        leaf_TBH = hidden_TBH.detach().requires_grad_()
        loss, _ = network.loss(window, leaf_TBH)
        return torch.autograd.grad(loss, leaf_TBH)[0]
    loss, _ = network.loss(window, hidden_TBH)
    return torch.autograd.grad(loss, said_TBH, retain_graph=True)[0]


class _Direction:
    """The sums over steps and lanes of one direction, whose steps are counted as they are processed."""

    def __init__(self, starts_TB: Tensor, layers: list[WatchedLayer], reverse: bool):
        self.reverse, self._num_steps = reverse, len(starts_TB)
        self._layers = [layer.cell.steps for layer in layers if layer.reverse == reverse]
        if reverse:
            starts_TB = torch.cat((starts_TB[1:], torch.ones_like(starts_TB[:1]))).flip(0)
        # How many resets there were before each step, and in all.
        self._resets_TB = torch.cat((torch.zeros_like(starts_TB[:1], dtype=torch.long), starts_TB.long().cumsum(0)))
        self._sums_2K = torch.zeros(2, self._num_steps, dtype=torch.float64)
        self._pairs_K = torch.zeros(self._num_steps, dtype=torch.long)

    def add(self, said_BH: Tensor, gradient_BH: Tensor, reads_B: Tensor, t: int) -> None:
        """What the loss takes from step t in the lanes where it takes anything."""
        place = self._num_steps - 1 - t if self.reverse else t
        # k = 1 is the state that enters step t itself.
        back = range(place, -1, -1)
        same_KB = self._resets_TB[: place + 1].flip(0) == self._resets_TB[place + 1]
        same_KB &= reads_B
        self._pairs_K[: place + 1] += same_KB.sum(1).cpu()
        if not self._layers[0][0].entering or not same_KB.any():
            return
        states = [s for steps in self._layers for i in back for s in steps[i].entering]
        gradients = torch.autograd.grad(said_BH, states, gradient_BH, retain_graph=True, materialize_grads=True)
        for_h_KB, for_all_KB = torch.zeros(2, *same_KB.shape, dtype=torch.float64, device=same_KB.device)
        for steps in self._layers:
            size, count = len(steps[0].entering), len(back) * len(steps[0].entering)
            own, gradients = gradients[:count], gradients[count:]
            squares = [torch.stack(own[j::size]).double().square().sum(2) for j in range(size)]
            for_h_KB += squares[0]
            for_all_KB += torch.stack(squares).sum(0)
        for sums_K, squares_KB in zip(self._sums_2K, (for_all_KB, for_h_KB), strict=True):
            sums_K[: place + 1] += torch.where(same_KB, squares_KB.sqrt(), 0).sum(1).cpu()

    def flow(self, part: str) -> Flow:
        longest = int((self._pairs_K > 0).sum())
        pairs_K = self._pairs_K[:longest]
        state_K, h_K = (self._sums_2K[:, :longest] / pairs_K).numpy()
        return Flow(self.reverse, state_K, h_K, pairs_K.numpy(), part)
