"""Is one model better than another on the same test data, or is it the luck of which examples stand in it?

The paired bootstrap (Efron and Tibshirani 1993; Koehn 2004: Statistical significance tests for machine translation
evaluation): the test data are drawn anew from themselves, unit by unit with replacement, both models are scored on
the same draw, and the differences of many draws say how far the difference found may be off. Numpy only.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Counts = NDArray[np.int64]
"""counts_U: how often each unit stands in a draw."""
SEED = 1
"""The same draws for the same number of units: a comparison that is made again says the same."""
FEWEST = 20
"""Units. The differences of fewer say too little of the difference's spread: the intervals come out too narrow."""


@dataclass(frozen=True, kw_only=True)
class Difference:
    """Of two scores on the same test data, and how far it may be off."""

    own: float
    other: float
    low: float
    """Where the interval of own - other begins, and
    high: where it ends."""
    high: float
    level: float
    draws: int
    units: int
    direction: Literal["max", "min"]

    @property
    def better(self) -> bool:
        """Whether the whole interval lies on the better side of 0, of enough units."""
        beyond = self.low > 0 if self.direction == "max" else self.high < 0
        return beyond and self.units >= FEWEST


def compare(
    own: Callable[[Counts], float],
    other: Callable[[Counts], float],
    units: int,
    direction: Literal["max", "min"],
    *,
    level: float,
    draws: int,
) -> Difference:
    """The difference of two models' scores, with its percentile interval.

    Args:
        own, other: a model's score on a draw; NaN where a draw has none (a share of words of which none was drawn).
        units: U, of which the test data are made and which are drawn.
        level: of the interval, such as 0.95.
        draws: how many.
    """
    random = np.random.default_rng(SEED)
    once = np.ones(units, np.int64)
    differences = np.empty(draws)
    for draw in range(draws):
        counts_U = np.bincount(random.integers(units, size=units), minlength=units)
        differences[draw] = own(counts_U) - other(counts_U)
    outside = 50 * (1 - level)
    known = differences[np.isfinite(differences)]
    low, high = np.percentile(known, [outside, 100 - outside]) if len(known) else (np.nan, np.nan)
    return Difference(
        own=own(once),
        other=other(once),
        low=float(low),
        high=float(high),
        level=level,
        draws=draws,
        units=units,
        direction=direction,
    )
