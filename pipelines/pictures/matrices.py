"""Which answer was given for which, and other numbers in rows and columns."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipelines.pictures import canvas
from pipelines.pictures.colours import SHARES

NAMED = 60
"""So many rows or columns of an image have their names beside it."""


def image(rows: list[str], columns: list[str], values_RC: NDArray[np.float64], path: Path, title: str) -> None:
    """Numbers as colours, lighter where larger; row and column are named where there is room for it."""
    size = tuple(min(14.0, 3.0 + 0.3 * count) for count in (len(columns), len(rows)))
    figure, ((axis,),) = canvas.blank(1, 1, (size[0], size[1]))
    figure.colorbar(axis.imshow(values_RC, cmap=SHARES, aspect="auto"), ax=axis)
    if len(columns) <= NAMED:
        axis.set_xticks(range(len(columns)), list(map(canvas.word, columns)), rotation=90)
    if len(rows) <= NAMED:
        axis.set_yticks(range(len(rows)), list(map(canvas.word, rows)))
    axis.set_title(title)
    canvas.save(figure, path)


def matrix(names: list[str], counts_VV: NDArray[np.float64], path: Path, title: str) -> None:
    """Shares of each row in colour, counts in figures; names that never occur are left out."""
    occurs = (counts_VV.sum(0) + counts_VV.sum(1)) > 0
    names = [name for name, there in zip(names, occurs, strict=True) if there]
    counts_VV = counts_VV[occurs][:, occurs]
    shares_VV = counts_VV / np.maximum(1, counts_VV.sum(1, keepdims=True))
    size = 2.5 + 0.45 * len(names)
    figure, ((axis,),) = canvas.blank(1, 1, (size, size))
    axis.imshow(shares_VV, cmap=SHARES, vmin=0, vmax=1)
    for row, column in np.argwhere(counts_VV > 0):
        colour = "black" if shares_VV[row, column] > 0.5 else "white"
        count = f"{counts_VV[row, column]:.0f}"
        axis.text(column, row, count, ha="center", va="center", color=colour, fontsize=6)
    axis.set_xticks(range(len(names)), names, rotation=90)
    axis.set_yticks(range(len(names)), names)
    axis.set_xlabel("answered (colour: share of the row)")
    axis.set_ylabel("right")
    axis.set_title(title)
    canvas.save(figure, path)
