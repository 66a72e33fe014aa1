"""Forecasts with their intervals."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipelines.pictures import canvas
from pipelines.pictures.colours import FORESEEN, SEEN

CAME = "#d55e00"


def fans(
    titles: list[str],
    histories: list[list[float]],
    quantiles: list[NDArray[np.float64]],
    actual: list[list[float]],
    value: str,
    path: Path,
    title: str,
) -> None:
    """A panel a forecast: what was seen, the median and the intervals (the wider, the lighter), and what came."""
    figure, axes = canvas.blank(len(titles), 1, (10, 2.4 * len(titles)))
    for axis, name, history, q_SQ, came in zip(axes[:, 0], titles, histories, quantiles, actual, strict=True):
        ahead = range(1, len(q_SQ) + 1)
        pairs = q_SQ.shape[1] // 2
        for low in range(pairs):
            axis.fill_between(ahead, q_SQ[:, low], q_SQ[:, -1 - low], color=FORESEEN, alpha=0.5 / pairs, linewidth=0)
        axis.plot(ahead, q_SQ[:, pairs], color=FORESEEN, label="median")
        axis.plot(range(1 - len(history), 1), history, color=SEEN, label="seen")
        axis.plot(ahead, came, color=CAME, label="came")
        axis.set_title(name, fontsize=9)
        axis.set_ylabel(value, fontsize=9)
        axis.grid(alpha=0.3)
    axes[0][0].legend(loc="upper left", fontsize=8)
    axes[-1][0].set_xlabel("steps from the last value that was seen")
    figure.suptitle(title)
    canvas.save(figure, path)
