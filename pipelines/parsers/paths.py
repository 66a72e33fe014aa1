"""Paths of one point as lines of CSV: the class, then x and y in each frame."""

import numpy as np

from pipelines.parsers.numbers import numbers
from rnn_core.errors import DataError
from rnn_core.motion.keypoints import Points

COORDINATES = 2
BLOCKS = {"train": 0.8, "validation": 0.9, "test": 1.0}
"""Where in its class a split ends."""
OVERLAP = 15
"""Windows of 16 frames, each moved on by one: so many lines after one there may still be frames of it."""


def path(line: bytes, where: str) -> tuple[str, Points]:
    """A line of CSV: the class, then x and y of one point in each frame.

    Returns:
        the class, and points_TKC with K = 1 and C = 2.

    Raises:
        DataError: no class, text that is no finite numbers, half a point, no frame.
    """
    label, *cells = line.strip().split(b",")
    values = numbers(cells, len(cells), where)
    if not label or not cells or len(cells) % COORDINATES or not np.isfinite(values).all():
        found = f"{len(cells)} numbers after the class {label.decode(errors='backslashreplace')!r}"
        raise DataError(where, found, "a class, then finite x and y of each frame")
    return label.decode(errors="backslashreplace"), np.array(values).reshape(-1, 1, COORDINATES)


def blocks(lines: list[bytes]) -> list[str | None]:
    """The split of each line of a table whose neighbours overlap: each class is cut into contiguous blocks.

    None where a line is left out, because the next split might know its frames.
    """
    places: dict[bytes, list[int]] = {}
    for number, line in enumerate(lines):
        places.setdefault(line.partition(b",")[0], []).append(number)
    splits: list[str | None] = [None] * len(lines)
    for numbers_of_class in places.values():
        begin = 0
        for split, share in BLOCKS.items():
            end = round(share * len(numbers_of_class))
            for number in numbers_of_class[begin : end if share == 1 else end - OVERLAP]:
                splits[number] = split
            begin = end
    return splits
