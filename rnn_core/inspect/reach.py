"""What the past is worth: the loss without the far past, and the gradient without it.

Cut at every n steps, a network reads its sequences in pieces of n, each as if nothing had been remembered before it:
where a longer n helps no more, its memory ends. Truncated after k2 steps, the gradient errs in angle and in length; how
much, by the training loop itself (`rnn_core.bptt`) with that k2 and with one that covers all steps there are.
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
from rnn_core.inspect.parts import Part, parts
from rnn_core.lanes import Window


@torch.no_grad()
def loss_when_cut(
    network: Any, windows: Callable[[int], Window], count: int, every: int | None, part: Part | None = None
) -> float:
    """Mean loss of the first `count` windows, in the head's unit, where the state of a part is reset every so many
    steps, in both directions of a bidirectional network; None resets nothing.

    Steps are counted from a sequence's beginning; where its outcome is read out, from its end: the last piece is whole.
    What the loss is of stays whole, and so does what the network sees beside its state.
    """
    training, _ = network.training, network.eval()
    part = part or parts(network)[0]
    lanes = windows(0).starts_TB.shape[1]
    carry, before_B = network.initial_carry(lanes), torch.zeros(lanes, dtype=torch.long)
    total, steps = 0.0, 0
    for number in range(count):
        window = windows(number)
        place_TB, before_B = _places(part, window, before_B, hasattr(network.head, "read_out"))
        if every is not None and part.name == "decoder":
            hidden_TBH = _afresh(network, window, every)
        else:
            cut = window if every is None else _cut(part, window, place_TB % every == 0)
            hidden_TBH, carry = network(cut, carry)
        loss, counted = network.loss(window, hidden_TBH)
        total, steps = total + float(loss), steps + counted
    network.train(training)
    return total / max(1, steps)


def _cut(part: Part, window: Window, resets_TB: Tensor) -> Window:
    """The window with resets of a part's state."""
    if part.of_source:
        starts_SB = window.fields["source_starts_SB"] | resets_TB
        return replace(window, fields={**window.fields, "source_starts_SB": starts_SB})
    return replace(window, starts_TB=window.starts_TB | resets_TB)


def _afresh(network: Any, window: Window, every: int) -> Tensor:
    """hidden_TBH of a decoder that begins every piece with the state that the source gives."""
    steps = len(window.starts_TB)
    pieces = [window.steps(begin, min(begin + every, steps)) for begin in range(0, steps, every)]
    return torch.cat([network(piece, ())[0] for piece in pieces])


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


def _places(part: Part, window: Window, before_B: Tensor, from_end: bool) -> tuple[Tensor, Tensor]:
    """Each step's number within its sequence, from 0, and that of the step after the window.

    Args:
        before_B: number of the window's first step, were it no start.
        from_end: count so that the last step of each sequence, which ends in its window, precedes a 0.
    """
    starts_TB = part.marks(window)[0].cpu()
    t_T1 = torch.arange(len(starts_TB))[:, None]
    if from_end:
        # The next step that begins a sequence, or the window's end.
        after_TB = torch.cat((starts_TB[1:], torch.ones_like(starts_TB[:1])))
        next_TB = torch.where(after_TB, t_T1 + 1, len(starts_TB)).flip(0).cummin(0).values.flip(0)
        place_TB = t_T1 - next_TB
    else:
        # The step at which the sequence began: where none has begun in this window, before it.
        place_TB = t_T1 - torch.where(starts_TB, t_T1, -before_B).cummax(0).values
    return place_TB.to(window.starts_TB.device), place_TB[-1] + 1
