"""Mean and width of a column, counted in whole numbers so that the order of its parts does not matter."""

import math
from collections import Counter
from collections.abc import Iterable

import numpy as np

from pipelines.parsers.series import Array

SMALL = 1_000_000
"""Sums are whole numbers of a millionth."""
SAME = 1e-9
"""A variance of this share of the squared mean is rounding."""


def add(counter: Counter[str], values: Array) -> None:
    there = values[~np.isnan(values)]
    counter["count"] += len(there)
    counter["sum"] += round(SMALL * float(there.sum()))
    counter["squares"] += round(SMALL * float(there @ there))


def moments(counter: Counter[str]) -> tuple[float, float]:
    """Mean and width; a width of 1 where all values are the same."""
    seen = max(counter["count"], 1)
    mean = counter["sum"] / SMALL / seen
    variance = counter["squares"] / SMALL / seen - mean**2
    return mean, math.sqrt(variance) if variance > SAME * mean**2 and variance > 0 else 1.0


def standardised(columns: Array, of: Iterable[tuple[float, float]]) -> Array:
    """What is not known becomes the mean, which is 0."""
    means, widths = np.array(list(of)).reshape(-1, 2).T
    return np.nan_to_num((columns - means) / widths)
