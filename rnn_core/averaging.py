"""The mean of the weights over updates: what a training that keeps moving about a minimum is measured and kept by.

Polyak and Juditsky 1992 (Acceleration of stochastic approximation by averaging): the plain mean from some update on.
Merity et al. 2017 begin when validation stops to improve (NT-ASGD, non-monotonically triggered). With a decay below 1
the mean is plain as long as it is short, then exponential: it forgets what lies far behind.
"""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

import torch
from torch import Tensor, nn

Average = dict[str, Tensor]
"""The mean of each parameter by its name; empty until there is one."""


@dataclass(frozen=True, kw_only=True)
class AveragingConfig:
    """When averaging begins, by one of the two, and how far back it reaches."""

    after: int | None = None
    """Epochs after which it begins."""
    patience: int | None = None
    """It begins with the first validation that is worse than the best one of those more than so many before it."""
    decay: float = 1.0
    """Share that the mean keeps at an update, at most; 1 is the plain mean of all updates since."""
    every: int = 1
    """Updates between two that count: a mean costs a pass over all weights."""

    def __post_init__(self) -> None:
        if (self.after is None) == (self.patience is None):
            raise ValueError(f"after is {self.after}, patience is {self.patience}: one of the two is wanted")
        if (self.after or 0) < 0 or (self.patience or 0) < 0:
            raise ValueError(f"after is {self.after}, patience is {self.patience}, wanted is a number from 0 on")
        if not 0 < self.decay <= 1:
            raise ValueError(f"decay is {self.decay}, wanted is a number above 0, up to 1")
        if self.every < 1:
            raise ValueError(f"every is {self.every}, wanted is a whole number from 1 on")


def due(config: AveragingConfig, epochs: Fraction, scores: Sequence[float], direction: Literal["max", "min"]) -> bool:
    """Whether averaging begins.

    Args:
        epochs: done.
        scores: of all validations, in their order.
        direction: of better scores.
    """
    if config.after is not None:
        return epochs >= config.after
    assert config.patience is not None
    before = scores[: -config.patience - 1]
    if not before:
        return False
    return scores[-1] > min(before) if direction == "min" else scores[-1] < max(before)


@torch.no_grad()
def add(average: Average, network: nn.Module, config: AveragingConfig, updates: int) -> None:
    """The present weights into the mean, in place.

    Args:
        updates: since averaging began, this one included.
    """
    if updates % config.every:
        return
    weights = dict(network.named_parameters())
    if not average:
        average.update({name: weight.clone() for name, weight in weights.items()})
        return
    share = max(config.every / updates, 1 - config.decay)
    torch._foreach_lerp_([average[name] for name in weights], list(weights.values()), share)


@contextlib.contextmanager
def averaged(network: nn.Module, average: Average) -> Iterator[None]:
    """The network with the mean in the place of its weights, where there is one."""
    weights = dict(network.named_parameters()) if average else {}
    kept = {name: weight.detach().clone() for name, weight in weights.items()}
    try:
        _copy(average, weights)
        yield
    finally:
        _copy(kept, weights)


@torch.no_grad()
def _copy(values: Average, weights: dict[str, nn.Parameter]) -> None:
    for name, weight in weights.items():
        weight.copy_(values[name])
