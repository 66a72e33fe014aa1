"""Best fit: items of small whole lengths into rows of one capacity, without a Python loop over the items.

Sequences into the lanes of windows, and the characters of words into lanes of their own, once a window: so it has to
be cheap. The lengths are few, so it is worked out how many items of which length fill a row and how often, and the
items are dealt to these places by sorting.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True)
class Packing:
    """Which item stands where; a slot is an item's place, and slots go row by row."""

    items_N: NDArray[np.int64]
    """The item in each slot."""
    rows_N: NDArray[np.int64]
    """The row of each slot, rising."""
    columns_N: NDArray[np.int64]
    """The step of the row at which each slot begins; a row is filled from its beginning without gaps."""
    num_rows: int


def pack(lengths_N: NDArray[np.integer], capacity: int) -> Packing:
    """Fill rows of `capacity` steps: each row takes the longest item left, then the longest that still fits.

    A pure function of its arguments: equal lengths are dealt in the order of the items. Every item must have at least
    one step and fit a row.
    """
    assert lengths_N.min() > 0, "an item has at least one step"
    assert lengths_N.max() <= capacity, "every item fits a row"
    counts = np.bincount(lengths_N)
    left = {int(length): int(counts[length]) for length in np.flatnonzero(counts)[::-1]}
    lengths: list[int] = []
    slots: list[int] = []
    while left:
        row = _longest_that_fit(left, capacity)
        # The next row greedily taken is this one again, for as long as there are items for it.
        repeats = min(left[length] // times for length, times in row.items())
        for length, times in row.items():
            left[length] -= times * repeats
            if not left[length]:
                del left[length]
        lengths += [length for length, times in row.items() for _ in range(times)] * repeats
        slots += [sum(row.values())] * repeats
    slot_lengths_N, slots_R = np.array(lengths), np.array(slots)
    items_N = np.empty(len(lengths_N), np.int64)
    items_N[np.argsort(slot_lengths_N, kind="stable")] = np.argsort(lengths_N, kind="stable")
    begins_N = np.cumsum(slot_lengths_N) - slot_lengths_N
    begins_R = begins_N[np.cumsum(slots_R) - slots_R]
    return Packing(
        items_N=items_N,
        rows_N=np.repeat(np.arange(len(slots)), slots_R),
        columns_N=begins_N - np.repeat(begins_R, slots_R),
        num_rows=len(slots),
    )


def ranges(begins_N: NDArray[np.integer], lengths_N: NDArray[np.integer]) -> NDArray[np.int64]:
    """begin, begin + 1, ... begin + length - 1 of each, one after another."""
    return np.repeat(begins_N - (np.cumsum(lengths_N) - lengths_N), lengths_N) + np.arange(lengths_N.sum())


def _longest_that_fit(left: dict[int, int], capacity: int) -> dict[int, int]:
    """How many items of which length the next row takes, of those left (longest first)."""
    row: dict[int, int] = {}
    for length, count in left.items():
        if times := min(count, capacity // length):
            row[length] = times
            capacity -= times * length
            if not capacity:
                break
    return row
