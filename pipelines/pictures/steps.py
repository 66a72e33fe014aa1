"""An example step by step: what went in, what was remembered, what came out, and how surprising it was."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipelines.pictures import canvas, panels
from pipelines.pictures.colours import RIGHT
from pipelines.pictures.panels import Axis, Panel

WIDEST = 17.0
"""Inches."""


@dataclass(frozen=True, kw_only=True)
class Surprise:
    """The loss of each answer of an example."""

    axis: Axis
    losses_T: NDArray[np.float64]
    answered: list[str]
    """The likeliest answer at each step; none where values are foretold."""
    wrong_T: NDArray[np.bool_]
    told: str
    """What the example as a whole came to."""


def unrolled(shown: Sequence[Panel], axis: Axis, path: Path, title: str) -> None:
    """Panels one above the other: what came out above, heat maps of what was remembered, what went in beneath."""
    heights = [panel.height for panel in shown]
    size = (_width(axis.count), 1.6 + 1.25 * sum(heights))
    figure, axes = canvas.blank(len(heights), 1, size, sharex=True, height_ratios=heights)
    for panel, (place,) in zip(shown, axes, strict=True):
        panel.draw(figure, place)
    axis.mark_above(axes[0][0])
    axis.mark(axes[-1][0])
    axes[-1][0].set_xlabel(axis.name)
    panels.legend(figure, axes[:1, 0])
    figure.suptitle(f"{title}\nWhat is remembered, step by step: long stripes are held, spots follow the input")
    canvas.save(figure, path)


def surprise(examples: Mapping[str, Surprise], unit: str, path: Path, title: str) -> None:
    """The loss of each step, a panel an example by its name; what was answered instead stands on wrong ones.

    Args:
        unit: of the loss.
    """
    longest = max(one.axis.count for one in examples.values())
    highest = max(float(np.nanmax(one.losses_T)) for one in examples.values())
    figure, axes = canvas.blank(len(examples), 1, (_width(longest), 3.1 * len(examples)), sharey=True)
    for (name, one), (axis,) in zip(examples.items(), axes, strict=True):
        if one.answered:
            panels.bars(axis, one.losses_T, ~one.wrong_T)
        else:
            axis.bar(np.arange(len(one.losses_T)), np.nan_to_num(one.losses_T), color=RIGHT)
        for t in np.flatnonzero(one.wrong_T) if one.answered else ():
            text = f" {canvas.word(one.answered[t])}"
            axis.text(t, one.losses_T[t], text, rotation=90, ha="center", va="bottom", fontsize=7)
        one.axis.mark(axis)
        axis.set_xlabel(one.axis.name, fontsize=8)
        axis.set_ylabel(f"loss ({unit})")
        axis.set_title(f"{name}: {one.told}", fontsize=10)
        # Room for the words on the bars.
        low = min(0.0, *(float(np.nanmin(other.losses_T)) for other in examples.values()))
        axis.set_ylim(1.1 * low, 1.6 * highest if highest > 0 else 0.1)
    panels.legend(figure, axes[:, 0])
    told = " (on a wrong answer: what was likeliest)" if any(one.answered for one in examples.values()) else ""
    figure.suptitle(f"{title}\nWhere the network is surprised: high bars{told}")
    canvas.save(figure, path)


def _width(steps: int) -> float:
    """Inches: room for a word a step where words fit."""
    return min(WIDEST, max(8.0, 3 + 0.36 * steps))
