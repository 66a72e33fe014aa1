"""Forecasts of a trained network: quantiles of the next h values at each origin, by formula or by sampled paths.

What is drawn at an origin is a function of (seed, number of the origin): the other origins of a window, and how many
workers share them, change nothing.
"""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from rnn_core.bptt import Carry, map_carry
from rnn_core.lanes import Window, Windows
from rnn_core.prefetch import Prefetched


@dataclass(frozen=True, kw_only=True)
class Forecast:
    """What is foretold at one origin, with all that it is measured by."""

    number: int
    """Of the origin, among those of the split."""
    quantiles_SQ: Tensor
    """float64, in the unit of the data, rising."""
    targets_S: Tensor
    """float64; NaN where a value is missing or not known yet."""
    fields: Mapping[str, Tensor]
    """The window's fields at the origin: (1, 1, ...)."""
    loss: Tensor
    """Of the head, and
    count: 1, or 0 where no target is known."""
    count: int


@torch.no_grad()
def forecasts(
    network: Any, windows: Windows, carry: Carry, *, levels: Sequence[float], draws: int, seed: int
) -> Iterator[Forecast]:
    """One epoch of windows through a network with frozen weights: a forecast at each origin, in order.

    Args:
        network: of the kind `forecasting`.
        windows: of rows that have origins.
        levels: of the quantiles, rising, in 0..1.
        draws: sampled paths of a forecast, where the head has no formula.
    """
    device = next(network.parameters()).device
    training, _ = network.training, network.eval()
    levels_Q = torch.tensor(levels, dtype=torch.float64)
    try:
        with Prefetched(windows, device) as ready:
            for step in range(windows.per_epoch):
                window = ready(step)
                for begin, end in _parts(window, windows.filling.carries):
                    part = window.steps(begin, end)
                    hidden_TBH, carry = network(part, carry)
                    for lane in (part.fields["origin_TB"][-1] >= 0).nonzero().flatten().tolist():
                        yield _forecast(network, part, hidden_TBH, carry, lane, levels_Q, draws, seed)
    finally:
        network.train(training)


def _parts(window: Window, carries: bool) -> list[tuple[int, int]]:
    """The window cut behind each step at which any lane has an origin, because there the carry is wanted.

    Where nothing is carried a lane is there for its last step: an origin before it has a lane of its own.
    """
    steps = len(window.starts_TB)
    if not carries:
        return [(0, steps)]
    ends = (window.fields["origin_TB"] >= 0).any(1).nonzero().flatten() + 1
    borders = sorted({0, steps, *ends.tolist()})
    return list(itertools.pairwise(borders))


def _forecast(
    network: Any,
    part: Window,
    hidden_TBH: Tensor,
    carry: Carry,
    lane: int,
    levels_Q: Tensor,
    draws: int,
    seed: int,
) -> Forecast:
    """At the last step of a lane of `part`, behind which the carry stands."""
    one, here = slice(lane, lane + 1), part.steps(len(part.starts_TB) - 1, len(part.starts_TB))
    fields = {name: field[:, one] for name, field in here.fields.items() if "_TB" in name}
    number, horizon = int(fields["origin_TB"]), fields["targets_TBS"].shape[2]
    generator = torch.Generator(hidden_TBH.device).manual_seed((seed << 32) + number)
    hidden_11H = hidden_TBH[-1:, one]
    alone = Window(fields=fields, starts_TB=here.starts_TB[:, one], valid_TB=here.valid_TB[:, one], epoch=0)
    if network.model.steps == horizon:
        base_11S, scale_11, _ = network.model.scaling.placed(fields, hidden_11H)
        q_SQ = network.head.quantiles(hidden_11H, base_11S, scale_11, levels_Q, draws, generator)[0, 0]
    else:
        paths_SP = _paths(network, alone, hidden_11H, map_carry(lambda c: c[one], carry), horizon, draws, generator)
        q_SQ = torch.quantile(paths_SP.double(), levels_Q.to(paths_SP.device), dim=1).t()
    loss, count = network.loss(alone, hidden_11H)
    targets_S = fields["targets_TBS"][0, 0].double().cpu()
    return Forecast(
        number=number,
        quantiles_SQ=q_SQ.double().cpu(),
        targets_S=targets_S,
        fields=fields,
        loss=loss.double().cpu(),
        count=count,
    )


def _paths(
    network: Any, window: Window, hidden_11H: Tensor, carry: Carry, horizon: int, draws: int, generator: torch.Generator
) -> Tensor:
    """paths_SP: the network reads its own draw as the next value, on `draws` lanes at once (DeepAR, section 3)."""
    fields = {name: field.expand(-1, draws, *field.shape[2:]) for name, field in window.fields.items()}
    carry = map_carry(lambda c: c.expand(draws, *c.shape[1:]), carry)
    hidden_1PH, steps = hidden_11H.expand(-1, draws, -1), []
    starts_1P, valid_1P = torch.zeros_like(window.starts_TB), torch.ones_like(window.valid_TB)
    for ahead in range(horizon):
        base_1P1, scale_1P, _ = network.model.scaling.placed(fields, hidden_11H)
        next_1P1 = network.head.sample(hidden_1PH, base_1P1, scale_1P, generator)
        steps.append(next_1P1[0, :, 0])
        if ahead + 1 < horizon:
            fields = _read_on(fields, next_1P1)
            step = Window(
                fields=fields, starts_TB=starts_1P.expand(1, draws), valid_TB=valid_1P.expand(1, draws), epoch=0
            )
            hidden_1PH, carry = network(step, carry)
    return torch.stack(steps)


def _read_on(fields: Mapping[str, Tensor], next_1P1: Tensor) -> dict[str, Tensor]:
    """The fields one step later, with a drawn value as the present one; what is known for the past only stays."""
    past_1PL, known_1PSK = fields["past_TBL"], fields["known_TBSK"]
    return {
        **fields,
        "past_TBL": torch.cat([next_1P1.to(past_1PL.dtype), past_1PL[:, :, :-1]], 2),
        "known_TBSK": torch.cat([known_1PSK[:, :, 1:], known_1PSK[:, :, -1:]], 2),
        "age_TB": fields["age_TB"] + 1,
    }
