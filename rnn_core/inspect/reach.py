"""What the past is worth: the loss without the far past, and the gradient without it.

Cut at every n steps, a network reads its sequences in pieces of n, each as if nothing stood before it: where a longer n
helps no more, its memory ends. Truncated after k2 steps, the gradient errs in angle and in length; how much, by the
training loop itself (`rnn_core.bptt`) with that k2 and with one that covers all steps there are.
"""

import copy
import itertools
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from rnn_core import bptt, optim
from rnn_core.lanes import Window


@torch.no_grad()
def loss_when_cut(network: Any, windows: Callable[[int], Window], count: int, every: int | None) -> float:
    """Mean loss of the first `count` windows, in nats a step, where each sequence is cut every so many steps from its
    beginning, in both directions of a bidirectional network; None cuts nothing."""
    training, _ = network.training, network.eval()
    lanes = windows(0).starts_TB.shape[1]
    carry, before_B = network.initial_carry(lanes), torch.zeros(lanes, dtype=torch.long)
    total, steps = 0.0, 0
    for number in range(count):
        window = windows(number)
        place_TB, before_B = _places(window.starts_TB, before_B)
        if every is not None:
            window = replace(window, starts_TB=window.starts_TB | (place_TB % every == 0))
        hidden_TBH, carry = network(window, carry)
        loss, counted = network.loss(window, hidden_TBH)
        total, steps = total + float(loss), steps + counted
    network.train(training)
    return total / max(1, steps)


@dataclass(frozen=True)
class Truncation:
    """What a k2 costs: means over updates, of the gradient by all weights below the head."""

    k2: int
    angle: float
    """Between truncated and full gradient, in degrees."""
    length: float
    """|truncated| / |full| - 1."""


def truncation(
    network: Any, windows: Callable[[int], Window], newest: Sequence[int], k2s: Iterable[int]
) -> list[Truncation]:
    """For each k2, beside the gradient through all steps from window 0 on.

    Args:
        network: one that carries its state.
        windows: of k1 steps, drawing nothing; the first of them begins with the initial carry.
        newest: numbers of the windows whose loss is followed back; each is an update.
        k2s: from k1 on.
    """
    # The loop gathers gradients in the weights and makes a step, here of length 0: in a copy.
    network = copy.deepcopy(network).requires_grad_().eval()
    k1 = len(windows(0).starts_TB)
    k2s = sorted(set(k2s))
    begins = {max(0, (n + 1) * k1 - k2) for n in newest for k2 in k2s}
    carries = _carries(network, windows, begins | {0}, max(newest) + 1)
    angles, lengths = torch.zeros(2, len(k2s), dtype=torch.float64)
    for n in newest:
        full = _gradient(network, windows, n, (n + 1) * k1, carries[0])
        for i, k2 in enumerate(k2s):
            cut = _gradient(network, windows, n, k2, carries[max(0, (n + 1) * k1 - k2)])
            angles[i] += _angle(cut, full) / len(newest)
            lengths[i] += float(cut.norm() / full.norm() - 1) / len(newest)
    return [Truncation(*row) for row in zip(k2s, angles.tolist(), lengths.tolist(), strict=True)]


def enough(costs: Sequence[Truncation], degrees: float) -> int | None:
    """The smallest k2 from which on the angle stays within so many degrees; None: not even the largest does."""
    within = list(itertools.takewhile(lambda cost: cost.angle <= degrees, reversed(costs)))
    return within[-1].k2 if within else None


def _gradient(network: Any, windows: Callable[[int], Window], newest: int, k2: int, carry: bptt.Carry) -> Tensor:
    """By all weights of the model, one after the other; to a scale that is the same for every k2."""
    optimizer = optim.optimizer(optim.OptimizerConfig(name="sgd", rate=1.0), network.parameters())
    state = bptt.TrainState(network=network, optimizer=optimizer, carry=carry, update=newest)
    next(bptt.fit(state, windows, rate=lambda update: 0.0, clip=math.inf, k2=k2))
    return torch.cat([p.grad.flatten().double() for p in network.model.parameters()])


def _angle(a: Tensor, b: Tensor) -> float:
    """In degrees. By the half angle (Kahan 2006), which is exact near zero, where a cosine has no digits left."""
    a, b = a / a.norm(), b / b.norm()
    return math.degrees(2 * math.atan2(float((a - b).norm()), float((a + b).norm())))


@torch.no_grad()
def _carries(network: Any, windows: Callable[[int], Window], steps: set[int], count: int) -> dict[int, bptt.Carry]:
    """The carry before each of these steps, counted from the beginning of window 0."""
    carry, kept = network.initial_carry(windows(0).starts_TB.shape[1]), {}
    for number in range(count):
        window = windows(number)
        k1 = len(window.starts_TB)
        borders = {0, k1, *(step - number * k1 for step in steps if 0 < step - number * k1 < k1)}
        for a, b in itertools.pairwise(sorted(borders)):
            kept[number * k1 + a] = carry
            _, carry = network(window.steps(a, b), carry)
    return kept


def _places(starts_TB: Tensor, before_B: Tensor) -> tuple[Tensor, Tensor]:
    """Each step's number within its sequence, from 0, and that of the step after the window.

    Args:
        before_B: number of the window's first step, were it no start.
    """
    t_T1 = torch.arange(len(starts_TB))[:, None]
    # The step at which the sequence began: where none has begun in this window, before it.
    begin_TB = torch.where(starts_TB.cpu(), t_T1, -before_B).cummax(0).values
    place_TB = (t_T1 - begin_TB).to(starts_TB.device)
    return place_TB, place_TB[-1].cpu() + 1
