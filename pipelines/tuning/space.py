"""The search space of a sweep: which settings of a block's network are varied, and between what.

`sweep` of a block in params.yaml (or of `base`, for blocks without one) maps dotted names to one of three:

    model.cell: [lstm, gru]                                     these values
    train.optimizer.rate: {low: 0.001, high: 0.01, log: true}   all between; whole numbers where both ends are
    model.hidden_size: {times: [0.5, 1, 2]}                     either of the two, times the block's own value
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rnn_core.config import from_mapping, to_mapping
from rnn_core.errors import ConfigError

DIGITS = 3
"""Significant ones of a number between two ends: a setting is to be read and typed."""


@dataclass(frozen=True, kw_only=True)
class Choices:
    """These values and no others."""

    values: tuple[Any, ...]


@dataclass(frozen=True, kw_only=True)
class Range:
    """All numbers from `low` to `high`, both included."""

    low: int | float
    high: int | float
    log: bool = False
    """As likely between 0.001 and 0.01 as between 0.01 and 0.1."""

    def __post_init__(self) -> None:
        if not -math.inf < self.low < self.high < math.inf:
            raise ValueError(f"low is {self.low} and high {self.high}, wanted is a high above low")
        if self.log and self.low <= 0:
            raise ValueError(f"low is {self.low} with log: true, wanted is a number above 0")

    @property
    def whole(self) -> bool:
        return isinstance(self.low, int) and isinstance(self.high, int)


@dataclass(frozen=True, kw_only=True)
class Times:
    """Either of the two as multiples of the block's own value."""

    of: Choices | Range


Dimension = Choices | Range
Space = Mapping[str, Dimension]


def parse(mapping: Any, where: str) -> dict[str, Dimension | Times]:
    """A space as written; what names and values the block takes shows when they are tried (plan.py).

    Raises:
        ConfigError: a name that is no setting of `model` or `train`, or no space behind it.
    """
    if not isinstance(mapping, Mapping) or not mapping:
        raise ConfigError(where, f"found {mapping!r}", "a mapping of names such as model.cell to values is wanted")
    for name in mapping:
        if not str(name).startswith(("model.", "train.")):
            allowed = "names that begin with `model.` or `train.`, such as model.hidden_size"
            raise ConfigError(f"{where}.{name}", "not a setting that can be varied", allowed)
    return {str(name): _dimension(value, f"{where}.{name}") for name, value in mapping.items()}


def resolve(written: Mapping[str, Dimension | Times], own: Mapping[str, Any], where: str) -> dict[str, Dimension]:
    """The space with multiples as values.

    Args:
        own: the block's settings by dotted name.

    Raises:
        ConfigError: multiples of what the block does not have as a number.
    """
    return {name: _resolved(value, own.get(name), f"{where}.{name}") for name, value in written.items()}


def plain(space: Space) -> dict[str, Any]:
    """The space as it is written, fit for JSON."""
    return {name: list(d.values) if isinstance(d, Choices) else to_mapping(d) for name, d in space.items()}


def candidates(dimension: Dimension) -> tuple[Any, ...]:
    """The values that stand for all of it where it is checked: every choice, or both ends."""
    return dimension.values if isinstance(dimension, Choices) else (dimension.low, dimension.high)


def holds(dimension: Dimension, value: Any) -> bool:
    if isinstance(dimension, Choices):
        return value in dimension.values
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return number and dimension.low <= value <= dimension.high


def points(space: Space) -> int | None:
    """How many there are; None where there are more than can be counted."""
    if not all(isinstance(dimension, Choices) for dimension in space.values()):
        return None
    return math.prod(len(candidates(dimension)) for dimension in space.values())


def rounded(value: float, within: Range) -> float:
    """With few digits, and still between the ends."""
    return min(max(float(f"{value:.{DIGITS}g}"), within.low), within.high)


def _dimension(value: Any, where: str) -> Dimension | Times:
    if isinstance(value, Mapping) and set(value) == {"times"}:
        of = _dimension(value["times"], f"{where}.times")
        if isinstance(of, Times) or not all(_is_number(v) for v in candidates(of)):
            raise ConfigError(f"{where}.times", f"found {value['times']!r}", "numbers, or low and high, are wanted")
        return Times(of=of)
    if isinstance(value, Mapping):
        return from_mapping(Range, value, where)
    if not isinstance(value, list) or not value:
        allowed = "a list of values, or low and high (and log: true), or times: with either of them"
        raise ConfigError(where, f"found {value!r}", allowed)
    if len({json.dumps(v, sort_keys=True, default=str) for v in value}) < len(value):
        raise ConfigError(where, f"found {value!r}", "different values are wanted")
    return Choices(values=tuple(value))


def _resolved(written: Dimension | Times, own: Any, where: str) -> Dimension:
    if not isinstance(written, Times):
        return written
    if not _is_number(own):
        raise ConfigError(where, f"times what the block has as {own!r}", "a list of values, or low and high, is wanted")
    if isinstance(written.of, Choices):
        return Choices(values=tuple(dict.fromkeys(_times(own, v) for v in written.of.values)))
    ends = {"low": _times(own, written.of.low), "high": _times(own, written.of.high)}
    return from_mapping(Range, {**ends, "log": written.of.log}, where)


def _times(own: int | float, factor: int | float) -> int | float:
    return max(1, round(own * factor)) if isinstance(own, int) else float(f"{own * factor:.{DIGITS}g}")


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
