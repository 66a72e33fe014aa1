"""Truncated backpropagation through time: THE training loop, a generator, and the reading of a trained network.

At window n the loss is that of the newest k1 steps, so each step's loss counts once. Gradient flows through the last
k2 >= k1 steps, recomputed with the present weights from the stored carry at their beginning, which is a constant, and
with the random draws those steps had first. The carry that goes on is the recomputed one. k2 = k1 is ordinary
TBPTT (Williams and Peng 1990: An efficient gradient-based algorithm for on-line training of recurrent network
trajectories; the two lengths apart are their h' and h).

An update takes the sums over `accumulate` windows, one after the other, with the same weights: its gradient is exactly
the mean over all their steps, each with the k2 steps before it. The carry passes from window to window as ever.

The loop knows no cluster, logging, evaluation or saving: whoever drives it does that between two steps, and
stopping is `break`.
"""

import contextlib
import itertools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
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
    average: dict[str, Tensor] = field(default_factory=dict)
    """The mean of the weights by name (`rnn_core/averaging.py`), where there is one."""


@dataclass(frozen=True, kw_only=True)
class Step:
    """What one update did; over all workers."""

    update: int
    """Updates done, this one included."""
    loss: float
    """Mean over all that was counted, in the unit of the head (nats)."""
    count: int
    """What the head counted: steps, or sequences."""
    steps: int
    """Steps that were no padding, whatever the head counts."""
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
    accumulate: int = 1,
    bfloat16: bool = False,
    reduce: Callable[[list[Tensor]], None] = lambda tensors: None,
    capture: Callable[[Callable[..., Any]], Callable[..., Any]] | None = None,
) -> Iterator[Step]:
    """Train for ever; yields after each update, with `state` ready to be saved.

    Args:
        state: changed in place.
        windows: the window of a number; a pure function, so that earlier windows can be had again. Update n takes the
            windows from n * accumulate on.
        rate: learning rate at an update, counted from 0.
        clip: bound on the norm of the mean gradient.
        k2: steps that gradient flows through; None is k2 = k1, the length of a window, whichever that is.
        accumulate: windows of an update.
        bfloat16: round the factors of float32 products to bfloat16 (by torch.autocast); weights, states, sums do not
            change their type.
        reduce: sums each tensor over the workers, in place, once an update; the identity for one worker.
        capture: makes one launch of a function of a window and a carry (`rnn_core.graph.Captured`): forward and
            backward pass become a CUDA graph. For a head whose `loss` waits for nothing, k2 = k1 and one window an
            update.

    Raises:
        NonFiniteLoss: names the update and the lanes.
    """
    parameters = [p for p in state.network.parameters() if p.requires_grad]
    assert capture is None or accumulate == 1
    at_once = None if capture is None else capture(_recordable(state.network, parameters, bfloat16))
    while True:
        state.optimizer.zero_grad(set_to_none=True)
        if at_once is None:
            totals, carry, broken = _sums(state, windows, k2, accumulate, bfloat16)
        else:
            totals, carry, broken = _sums_at_once(at_once, state, windows, parameters)
        for parameter in parameters:
            parameter.grad = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
        gradients = [p.grad for p in parameters if p.grad is not None]
        reduce([*gradients, totals])
        loss_sum, total, steps = float(totals[0]), int(totals[1]), int(totals[2])
        if not math.isfinite(loss_sum):
            raise _non_finite(state, broken, windows(state.update * accumulate).epoch)
        # Sums, not means, came from the workers: one division makes the mean and clips it.
        norm = float(torch.linalg.vector_norm(torch.stack(torch._foreach_norm(gradients)))) / max(1, total)
        now = rate(state.update)
        optim.set_rate(state.optimizer, now)
        optim.step(state.optimizer, max(1, total) * max(1.0, norm / clip))
        state.carry = carry
        state.update += 1
        loss = loss_sum / max(1, total)
        yield Step(update=state.update, loss=loss, count=total, steps=steps, gradient_norm=norm, rate=now)


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


def _sums(
    state: TrainState, windows: Callable[[int], Window], k2: int | None, accumulate: int, bfloat16: bool
) -> tuple[Tensor, Carry, tuple[Window, Carry] | None]:
    """Of the next update's windows: (sum of the loss, its count, steps); the sum's gradients stand in the parameters.

    Returns: these; the carry for the next update; the first window whose loss is no number, with the carry before it.
    """
    totals, carry, broken = torch.zeros(3, dtype=torch.float64), state.carry, None
    for number in range(state.update * accumulate, (state.update + 1) * accumulate):
        with _precision(state.network, bfloat16):
            loss, count, steps, next_carry = _newest_loss(state.network, carry, number, windows, k2)
        loss.backward()
        part = loss.item()
        totals += torch.tensor([part, count, steps], dtype=torch.float64)
        if broken is None and not math.isfinite(part):
            broken = windows(number), carry
        carry = next_carry
    return totals, carry, broken


def _recordable(network: Any, parameters: list[nn.Parameter], bfloat16: bool) -> Callable[..., Any]:
    """A function that waits for nothing: window and carry -> (loss, count, steps), the carry after it, gradients."""

    def gradients(window: Window, carry: Carry) -> tuple[Tensor, Carry, list[Tensor]]:
        for parameter in parameters:
            parameter.grad = None
        with _precision(network, bfloat16):
            hidden_TBH, carry = network(window, carry)
            loss, count = network.loss(window, hidden_TBH)
        loss.backward()
        counted = torch.as_tensor(count, device=loss.device), window.valid_TB.sum()
        totals = torch.stack([loss.detach().double(), *(number.double() for number in counted)])
        found = [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]
        return totals, map_carry(Tensor.detach, carry), found

    return gradients


def _sums_at_once(
    gradients: Callable[..., Any], state: TrainState, windows: Callable[[int], Window], parameters: list[nn.Parameter]
) -> tuple[Tensor, Carry, tuple[Window, Carry] | None]:
    """`_sums`, by one call of what `_recordable` gave."""
    window = windows(state.update)
    totals, carry, found = gradients(window, state.carry)
    for parameter, gradient in zip(parameters, found, strict=True):
        parameter.grad = gradient
    totals = totals.cpu()
    broken = None if math.isfinite(totals[0]) else (window, state.carry)
    # A copy: the next call writes where this one's results are.
    return totals, map_carry(Tensor.clone, carry), broken


def _precision(network: nn.Module, bfloat16: bool) -> contextlib.AbstractContextManager[Any]:
    """For a forward pass; the backward pass of each product is of the same precision."""
    device = next(network.parameters()).device.type
    return torch.autocast(device, torch.bfloat16) if bfloat16 else contextlib.nullcontext()


def _newest_loss(
    network: Any, carry: Carry, newest: int, windows: Callable[[int], Window], k2: int | None
) -> tuple[Tensor, int, int, Carry]:
    """Loss of window `newest`, its count and steps, and the carry where what the next window recomputes begins."""
    window = windows(newest)
    k1 = window.starts_TB.shape[0]
    end = (newest + 1) * k1
    begin = max(0, end - (k2 or k1))
    next_begin = max(0, end + k1 - (k2 or k1))
    borders = {begin, end, next_begin, *range(begin - begin % k1 + k1, end, k1)}
    borders = {b for b in borders if begin <= b <= end}
    losses, count = [], 0
    next_carry = carry
    for a, b in itertools.pairwise(sorted(borders)):
        number = a // k1
        whole = window if number == newest else windows(number)
        part = whole if b - a == k1 else whole.steps(a - number * k1, b - number * k1)
        hidden_TBH, carry = network(part, carry)
        if number == newest:
            loss, counted = network.loss(part, hidden_TBH)
            losses.append(loss)
            count += counted
        if b == next_begin:
            next_carry = map_carry(Tensor.detach, carry)
    loss = torch.stack(losses).sum() if len(losses) > 1 else losses[0]
    return loss, count, int(window.valid_TB.sum()), next_carry


@torch.no_grad()
def _non_finite(state: TrainState, broken: tuple[Window, Carry] | None, epoch: int) -> NonFiniteLoss:
    """The error for a loss that is no number, with the lanes that are to blame, if they are this worker's."""
    lanes = [] if broken is None else _broken_lanes(state.network, *broken)
    epoch = epoch if broken is None else broken[0].epoch
    where = f"update {state.update}, epoch {epoch}, " + (f"lanes {_short(lanes)}" if lanes else "another worker")
    found = "the loss is not finite"
    return NonFiniteLoss(where, found, "lower train.optimizer.rate or train.clip, or look at the data of these lanes")


def _broken_lanes(network: Any, window: Window, carry: Carry) -> list[int]:
    hidden_TBH, _ = network(window, carry)
    numbers = window.draws.lanes_B.tolist() if window.draws else list(range(window.starts_TB.shape[1]))
    losses = [network.loss(window.lane(i), hidden_TBH[:, i : i + 1])[0] for i in range(len(numbers))]
    return [number for number, loss in zip(numbers, losses, strict=True) if not torch.isfinite(loss)]


def _short(lanes: list[int]) -> str:
    return ", ".join(map(str, lanes[:8])) + (f" and {len(lanes) - 8} more" if len(lanes) > 8 else "")


def parameter_count(network: nn.Module) -> int:
    """Trained numbers; a tied weight counts once."""
    return sum(p.numel() for p in network.parameters())
