"""Where a network looked: over the words of a source, over a picture."""

import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.pictures import canvas
from pipelines.pictures.colours import SHARES

Array = NDArray[np.float64]
COLUMNS = 6
"""Pictures in a row."""


def attention(
    weights_TS: Array | None, gradient_TS: Array, said: list[str], read: list[str], path: Path, title: str
) -> None:
    """By which words of the source each word was said: by the weights of attention (left, if there is one), and by
    the gradient, which also knows what came through the state.

    Args:
        gradient_TS: norms of the gradient of the loss of step t by what the encoder says at s.
    """
    total_T1 = gradient_TS.sum(1, keepdims=True)
    maps = {} if weights_TS is None else {"share of attention": weights_TS}
    maps["share of the gradient's norm"] = gradient_TS / np.where(total_T1 > 0, total_T1, 1)
    width, height = (2.6 + 0.34 * len(words) for words in (read, said))
    figure, (axes,) = canvas.blank(1, len(maps), (max(4.5, width) * len(maps), max(4.0, height)), sharey=True)
    for (name, values_TS), axis in zip(maps.items(), axes, strict=True):
        image = axis.imshow(values_TS, cmap=SHARES, vmin=0, vmax=1, aspect="auto", interpolation="nearest")
        figure.colorbar(image, ax=axis, label=name, pad=0.02)
        axis.set_xticks(range(len(read)), list(map(canvas.word, read)), rotation=90, fontsize=8)
        axis.set_xlabel("read (the source)")
    axes[0].set_yticks(range(len(said)), list(map(canvas.word, said)), fontsize=8)
    axes[0].set_ylabel("said (the right target)")
    figure.suptitle(f"{title}\nWhere each word comes from: a bright field")
    canvas.save(figure, path)


def glances(picture_YXC: NDArray[np.uint8], weights_TS: Array, said: list[str], path: Path, title: str) -> None:
    """The picture, and for each word of its caption the places that were looked at, bright.

    Args:
        weights_TS: S places, a square grid row by row.
    """
    side, panels = math.isqrt(weights_TS.shape[1]), 1 + len(said)
    columns = min(COLUMNS, panels)
    rows = math.ceil(panels / columns)
    figure, axes = canvas.blank(rows, columns, (2.0 * columns + 1, 2.2 * rows + 0.9))
    size_Y, size_X = picture_YXC.shape[:2]
    extent = (-0.5, size_X - 0.5, size_Y - 0.5, -0.5)
    shown: Any = None
    for axis in axes.flat:
        axis.set_axis_off()
    axes.flat[0].imshow(picture_YXC)
    axes.flat[0].set_title("the picture", fontsize=9)
    for axis, word, weights_S in zip(axes.flat[1:], said, weights_TS, strict=False):
        axis.imshow(picture_YXC.mean(2), cmap="gray", vmin=0, vmax=255)
        grid_YX = weights_S.reshape(side, side)
        shown = axis.imshow(
            grid_YX, cmap=SHARES, vmin=0, vmax=weights_TS.max(), alpha=0.65, extent=extent, interpolation="nearest"
        )
        axis.set_title(canvas.word(word), fontsize=9)
    figure.colorbar(shown, ax=axes, label="share of attention", shrink=0.7)
    figure.suptitle(f"{title}\nWhere it looks while it says each word: bright places")
    canvas.save(figure, path)
