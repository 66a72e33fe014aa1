"""Truncated backpropagation through time: THE training loop, a generator, and the reading of a trained network.

At update n the loss is that of the newest k1 steps, so each step's loss counts once. Gradient flows through the last
k2 >= k1 steps, recomputed with the present weights from the stored carry at their beginning, which is a constant, and
with the random draws those steps had first. The carry that goes on is the recomputed one. k2 = k1 is ordinary
TBPTT (Williams and Peng 1990: An efficient gradient-based algorithm for on-line training of recurrent network
trajectories; the two lengths apart are their h' and h).

The loop knows no cluster, logging, evaluation or saving: whoever drives it does that between two steps, and
stopping is `break`.
"""

import itertools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from rnn_core import optim
from rnn_core.errors import UserError
from rnn_core.lanes import Window, Windows
from rnn_core.prefetch import Prefetched

Carry = Any
"""A plain tree (tuples and lists) of tensors whose first dimension is the lane."""


class Network(Protocol):
    """A model with its head: hidden states from a window, a loss from hidden states."""

    def __call__(self, window: Window, carry: Carry) -> tuple[Tensor, Carry]: ...

    def loss(self, window: Window, hidden_TBH: Tensor) -> tuple[Tensor, int]: ...


class NonFiniteLoss(UserError):
    """A loss that is no number any more."""


@dataclass
class TrainState:
    """All that a training is at one moment, this worker's part of it."""

    network: Any
    optimizer: torch.optim.Optimizer
    carry: Carry
    """At the beginning of the steps that the next update recomputes; only this worker's lanes."""
    update: int = 0
    """Updates done."""


@dataclass(frozen=True, kw_only=True)
class Step:
    """What one update did; over all workers."""

    update: int
    """Updates done, this one included."""
    loss: float
    """Mean over the counted steps, in the unit of the head (nats)."""
    count: int
    """Steps whose loss counted."""
    gradient_norm: float
    """Before clipping."""
    rate: float


def fit(
    state: TrainState,
    windows: Callable[[int], Window],
    *,
    rate: Callable[[int], float],
    clip: float,
    k2: int | None = None,
    reduce: Callable[[list[Tensor]], None] = lambda tensors: None,
) -> Iterator[Step]:
    """Train for ever; yields after each update, with `state` ready to be saved.

    Args:
        state: changed in place.
        windows: the window of an update; a pure function, so that earlier windows can be had again.
        rate: learning rate at an update, counted from 0.
        clip: bound on the norm of the mean gradient.
        k2: steps that gradient flows through; None is k2 = k1, the length of a window.
        reduce: sums each tensor over the workers, in place; the identity for one worker.

    Raises:
        NonFiniteLoss: names the update and the lanes.
    """
    parameters = [p for p in state.network.parameters() if p.requires_grad]
    while True:
        newest = windows(state.update)
        loss, count, carry = _newest_loss(state, newest, windows, k2)
        state.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        gradients = [p.grad if p.grad is not None else torch.zeros_like(p) for p in parameters]
        totals = torch.tensor([loss.item(), count], dtype=torch.float64)
        reduce([*gradients, totals])
        loss_sum, total = float(totals[0]), int(totals[1])
        if not math.isfinite(loss_sum):
            raise _non_finite(state, newest)
        # Sums, not means, came from the workers: one multiplication makes the mean and clips it.
        norm = float(torch.linalg.vector_norm(torch.stack(torch._foreach_norm(gradients)))) / max(1, total)
        torch._foreach_mul_(gradients, min(1.0, clip / (norm + 1e-12)) / max(1, total))
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter.grad = gradient
        now = rate(state.update)
        optim.set_rate(state.optimizer, now)
        state.optimizer.step()
        state.carry = carry
        state.update += 1
        yield Step(update=state.update, loss=loss_sum / max(1, total), count=total, gradient_norm=norm, rate=now)


@torch.no_grad()
def read(network: Any, windows: Windows, carry: Carry, epoch: int = 0) -> Iterator[tuple[Window, Tensor]]:
    """One epoch of windows through a network with frozen weights, the carry kept: (window, hidden_TBH) of each."""
    device = next(network.parameters()).device
    training, _ = network.training, network.eval()
    try:
        with Prefetched(windows, device) as ready:
            for step in range(windows.per_epoch):
                window = ready(epoch * windows.per_epoch + step)
                hidden_TBH, carry = network(window, carry)
                yield window, hidden_TBH
    finally:
        network.train(training)


def map_carry(function: Callable[..., Tensor], carry: Carry, *others: Carry) -> Carry:
    """`function` on each tensor of a carry (and the tensors at the same places of others)."""
    if isinstance(carry, Tensor):
        return function(carry, *others)
    return tuple(map_carry(function, *parts) for parts in zip(carry, *others, strict=True))


def _newest_loss(
    state: TrainState, newest: Window, windows: Callable[[int], Window], k2: int | None
) -> tuple[Tensor, int, Carry]:
    """Loss of the newest window, steps counted, and the carry at the beginning of what the next update recomputes."""
    k1 = newest.starts_TB.shape[0]
    end = (state.update + 1) * k1
    begin = max(0, end - (k2 or k1))
    next_begin = max(0, end + k1 - (k2 or k1))
    borders = {begin, end, next_begin, *range(begin - begin % k1 + k1, end, k1)}
    borders = {b for b in borders if begin <= b <= end}
    losses, count = [], 0
    carry = next_carry = state.carry
    for a, b in itertools.pairwise(sorted(borders)):
        update = a // k1
        window = newest if update == state.update else windows(update)
        part = window if b - a == k1 else window.steps(a - update * k1, b - update * k1)
        hidden_TBH, carry = state.network(part, carry)
        if update == state.update:
            loss, steps = state.network.loss(part, hidden_TBH)
            losses.append(loss)
            count += steps
        if b == next_begin:
            next_carry = map_carry(Tensor.detach, carry)
    return torch.stack(losses).sum() if len(losses) > 1 else losses[0], count, next_carry


@torch.no_grad()
def _non_finite(state: TrainState, window: Window) -> NonFiniteLoss:
    """The error for a window whose loss is no number, with the lanes of this worker that are to blame."""
    hidden_TBH, _ = state.network(window, state.carry)
    numbers = window.draws.lanes_B.tolist() if window.draws else list(range(hidden_TBH.shape[1]))
    lanes = []
    for index, number in enumerate(numbers):
        loss, _ = state.network.loss(window.lane(index), hidden_TBH[:, index : index + 1])
        if not torch.isfinite(loss):
            lanes.append(number)
    where = f"update {state.update}, epoch {window.epoch}, " + (f"lanes {_short(lanes)}" if lanes else "another worker")
    found = "the loss is not finite"
    return NonFiniteLoss(where, found, "lower train.optimizer.rate or train.clip, or look at the data of these lanes")


def _short(lanes: list[int]) -> str:
    return ", ".join(map(str, lanes[:8])) + (f" and {len(lanes) - 8} more" if len(lanes) > 8 else "")


def parameter_count(network: nn.Module) -> int:
    """Trained numbers; a tied weight counts once."""
    return sum(p.numel() for p in network.parameters())
