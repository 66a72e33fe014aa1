"""How far one sequence is from another: insertions, deletions and substitutions, and which (Levenshtein 1966).

The table is filled row by row. Within a row, deletions come from the row above; a run of insertions is a running
minimum: d[j] = min over i <= j of (c[i] + j - i), so no loop runs over its places.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray


def distance(right: Sequence[Any], found: Sequence[Any]) -> int:
    """Fewest edits that make `right` of `found`."""
    return int(_table(right, found)[-1, -1])


def alignment(right: Sequence[Any], found: Sequence[Any]) -> list[tuple[Any, Any]]:
    """Pairs (right, found) of a cheapest alignment; None stands where the other side has one more.

    Of several, the one that keeps pairs together, late in the sequence first.
    """
    table, i, j = _table(right, found), len(right), len(found)
    pairs: list[tuple[Any, Any]] = []
    while i or j:
        if i and j and table[i, j] == table[i - 1, j - 1] + (right[i - 1] != found[j - 1]):
            i, j = i - 1, j - 1
            pairs.append((right[i], found[j]))
        elif i and table[i, j] == table[i - 1, j] + 1:
            i -= 1
            pairs.append((right[i], None))
        else:
            j -= 1
            pairs.append((None, found[j]))
    return pairs[::-1]


def _table(right: Sequence[Any], found: Sequence[Any]) -> NDArray[np.int64]:
    """table[i, j]: edits between the first i of `right` and the first j of `found`."""
    numbers = {item: number for number, item in enumerate({**dict.fromkeys(right), **dict.fromkeys(found)})}
    found_J = np.array([numbers[item] for item in found], np.int64)
    steps_J = np.arange(len(found) + 1)
    table = np.empty((len(right) + 1, len(found) + 1), np.int64)
    table[0] = steps_J
    for i, item in enumerate(right, 1):
        table[i, 0] = i
        table[i, 1:] = np.minimum(table[i - 1, 1:] + 1, table[i - 1, :-1] + (found_J != numbers[item]))
        table[i] = np.minimum.accumulate(table[i] - steps_J) + steps_J
    return table
