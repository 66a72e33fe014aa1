"""What an image looks like without having learnt anything: histograms of its colours and of its edges' directions.

The field's simple baseline for captions says of an image what was said of the one that looks most like it. Colours are
counted in each quarter and edges in each ninth of the image, so that sky above and grass below count. An edge's
direction counts by its strength, as in histograms of oriented gradients (Dalal and Triggs 2005). Two histograms are as
far apart as their square roots (Hellinger), so that no single large count decides.
"""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

LEVELS = 4
"""Of each colour."""
DIRECTIONS = 8
COLOUR_CELLS, EDGE_CELLS = 2, 3
"""Parts of a side."""

Floats = NDArray[np.float32]


def colours(image_YXC: NDArray[np.uint8]) -> Floats:
    """The square root of the share of each of LEVELS ** 3 colours in each cell."""
    levels_YXC = image_YXC.astype(np.int64) * LEVELS // 256
    number_YX = (levels_YXC * LEVELS ** np.arange(image_YXC.shape[2])).sum(2)
    return _histograms(number_YX, np.ones(number_YX.shape), LEVELS ** image_YXC.shape[2], COLOUR_CELLS)


def edges(image_YXC: NDArray[np.uint8]) -> Floats:
    """The square root of the share of each direction among all edges of a cell."""
    down_YX, along_YX = np.gradient(image_YXC.astype(np.float32).mean(2))
    direction_YX = (np.arctan2(down_YX, along_YX) / (2 * np.pi) % 1 * DIRECTIONS).astype(np.int64) % DIRECTIONS
    return _histograms(direction_YX, np.hypot(down_YX, along_YX), DIRECTIONS, EDGE_CELLS)


def looks(images: Iterable[NDArray[np.uint8]]) -> tuple[Floats, Floats]:
    """Colours and edges of each."""
    both = [(colours(image_YXC), edges(image_YXC)) for image_YXC in images]
    return np.stack([colour for colour, _ in both]), np.stack([edge for _, edge in both])


def distances(of_NF: Floats, to_MF: Floats) -> Floats:
    """Euclidean, NM."""
    squares_NM = (of_NF**2).sum(1)[:, None] + (to_MF**2).sum(1) - 2 * of_NF @ to_MF.T
    return np.sqrt(np.maximum(squares_NM, 0))


def _histograms(number_YX: NDArray[np.int64], weight_YX: NDArray[np.floating], size: int, cells: int) -> Floats:
    """Of each of cells x cells parts, one after another; all parts weigh the same."""
    parts = []
    for numbers, weights in zip(np.array_split(number_YX, cells), np.array_split(weight_YX, cells), strict=True):
        columns = zip(np.array_split(numbers, cells, 1), np.array_split(weights, cells, 1), strict=True)
        for number, weight in columns:
            counts = np.bincount(number.ravel(), weight.ravel(), size)
            parts.append(counts / max(counts.sum(), 1e-12))
    return np.sqrt(np.concatenate(parts) / cells**2).astype(np.float32)
