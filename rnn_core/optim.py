"""Optimizers and learning-rate schedules by their names in the settings.

A schedule is a pure function of the update, so a restart needs no schedule state.
"""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Literal

import torch
from torch import nn


@dataclass(frozen=True, kw_only=True)
class OptimizerConfig:
    """Which optimizer, and its constants."""

    name: Literal["adamw", "sgd"]
    rate: float
    """Learning rate at the top of the schedule."""
    weight_decay: float = 0.0
    momentum: float = 0.0
    """`sgd` only."""
    betas: tuple[float, ...] = (0.9, 0.999)
    """`adamw` only."""

    def __post_init__(self) -> None:
        if self.rate <= 0:
            raise ValueError(f"rate is {self.rate}, wanted is a number above 0")
        if len(self.betas) != 2:
            raise ValueError(f"betas has {len(self.betas)} numbers, wanted are 2")


@dataclass(frozen=True, kw_only=True)
class ScheduleConfig:
    """The learning rate over a training, as a factor on the optimizer's rate."""

    name: Literal["constant", "linear", "cosine", "decay"]
    """linear, cosine: down to `floor` at the end. decay: times `factor` each epoch from `after` epochs on."""
    warmup: int = 0
    """Updates over which the rate rises from 0."""
    floor: float = 0.0
    after: int = 0
    factor: float = 1.0


def schedule(config: ScheduleConfig, *, updates: int, per_epoch: int | Fraction) -> Callable[[int], float]:
    """The factor on the rate at an update (counted from 0).

    Args:
        updates: of the whole training, the end of `linear` and `cosine`.
        per_epoch: updates of an epoch, the unit of `decay`.
    """

    def factor(update: int) -> float:
        if update < config.warmup:
            return (update + 1) / config.warmup
        done = min(1.0, (update - config.warmup) / max(1, updates - config.warmup))
        if config.name == "linear":
            return config.floor + (1 - config.floor) * (1 - done)
        if config.name == "cosine":
            return config.floor + (1 - config.floor) * 0.5 * (1 + math.cos(math.pi * done))
        if config.name == "decay":
            return float(config.factor ** max(0, update // per_epoch - config.after + 1))
        return 1.0

    return factor


def optimizer(config: OptimizerConfig, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
    """The optimizer over these parameters; weight decay spares vectors (biases)."""
    everything = list(parameters)
    groups: list[dict[str, Any]] = [
        {"params": [p for p in everything if p.dim() > 1], "weight_decay": config.weight_decay},
        {"params": [p for p in everything if p.dim() <= 1], "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    if config.name == "sgd":
        return torch.optim.SGD(groups, lr=config.rate, momentum=config.momentum, fused=True)
    return torch.optim.AdamW(groups, lr=config.rate, betas=(config.betas[0], config.betas[1]), fused=True)


def set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = rate


def step(optimizer: torch.optim.Optimizer, divisor: float) -> None:
    """One update by the gradients divided by `divisor`; the gradients are changed.

    The fused kernels divide as they read: no pass of its own. Their divisor is a float32, too coarse for float64.
    """
    gradients = [p.grad for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
    coarse = all(gradient.dtype != torch.float64 for gradient in gradients)
    if not coarse:
        torch._foreach_div_(gradients, divisor)
    optimizer.grad_scale = torch.tensor(divisor) if coarse else None  # type: ignore[attr-defined]
    optimizer.step()
