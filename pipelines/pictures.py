"""What people look at: learning curves (also as a table, for `dvc plots`) and matrices. Labelled, with units."""

import csv
import io
from collections.abc import Mapping
from pathlib import Path

import matplotlib
import numpy as np
from numpy.typing import NDArray

from pipelines import files, points

matplotlib.use("agg")
from matplotlib import pyplot

NAMED = 60
"""So many rows or columns of an image have their names beside it."""


def curve_table(folders: Mapping[str, Path], path: Path) -> None:
    """All curves of a block as CSV, a row a value: training, step, seconds, metric, value."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["training", "step", "seconds", "metric", "value"])
    for training, folder in folders.items():
        for point in points.read(folder):
            for name, value in point["values"].items():
                if name == "train/loss" or name.startswith("validation/"):
                    writer.writerow([training, point["step"], point["seconds"], name, value])
    files.write_text(path, out.getvalue())


def learning_curves(folder: Path, path: Path, title: str) -> None:
    """Loss in training and each score in validation, against updates (left) and seconds (right)."""
    curves: dict[str, list[tuple[int, float, float]]] = {}
    for point in points.read(folder):
        for name, value in point["values"].items():
            if name == "train/loss" or name.startswith("validation/"):
                curves.setdefault(name, []).append((point["step"], point["seconds"], value))
    figure, axes = pyplot.subplots(
        len(curves), 2, figsize=(10, 2.6 * len(curves)), squeeze=False, sharex="col", sharey="row", layout="constrained"
    )
    for (name, curve), (left, right) in zip(curves.items(), axes, strict=True):
        steps, seconds, values = zip(*curve, strict=True)
        for axis, x in ((left, steps), (right, seconds)):
            axis.plot(x, values, color="#0072b2", marker="o" if len(x) < 30 else None, markersize=3)
            axis.grid(alpha=0.3)
        left.set_ylabel(f"{name}\n(nats)" if name.endswith("loss") else name)
    axes[-1][0].set_xlabel("updates")
    axes[-1][1].set_xlabel("training time (s)")
    figure.suptitle(title)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def image(rows: list[str], columns: list[str], values_RC: NDArray[np.float64], path: Path, title: str) -> None:
    """Numbers as colours, lighter where larger; row and column are named where there is room for it."""
    width, height = (min(14.0, 3.0 + 0.3 * count) for count in (len(columns), len(rows)))
    figure, axis = pyplot.subplots(figsize=(width, height), layout="constrained")
    shown = axis.imshow(values_RC, cmap="cividis", aspect="auto")
    figure.colorbar(shown, ax=axis)
    if len(columns) <= NAMED:
        axis.set_xticks(range(len(columns)), columns, rotation=90)
    if len(rows) <= NAMED:
        axis.set_yticks(range(len(rows)), rows)
    axis.set_title(title)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def matrix(names: list[str], counts_VV: NDArray[np.float64], path: Path, title: str) -> None:
    """Shares of each row in colour, counts in figures; names that never occur are left out."""
    occurs = (counts_VV.sum(0) + counts_VV.sum(1)) > 0
    names = [name for name, there in zip(names, occurs, strict=True) if there]
    counts_VV = counts_VV[occurs][:, occurs]
    shares_VV = counts_VV / np.maximum(1, counts_VV.sum(1, keepdims=True))
    size = 2.5 + 0.45 * len(names)
    figure, axis = pyplot.subplots(figsize=(size, size), layout="constrained")
    axis.imshow(shares_VV, cmap="cividis", vmin=0, vmax=1)
    for row, column in np.argwhere(counts_VV > 0):
        colour = "black" if shares_VV[row, column] > 0.5 else "white"
        count = f"{counts_VV[row, column]:.0f}"
        axis.text(column, row, count, ha="center", va="center", color=colour, fontsize=6)
    axis.set_xticks(range(len(names)), names, rotation=90)
    axis.set_yticks(range(len(names)), names)
    axis.set_xlabel("answered (colour: share of the row)")
    axis.set_ylabel("right")
    axis.set_title(title)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def fans(
    titles: list[str],
    histories: list[list[float]],
    quantiles: list[NDArray[np.float64]],
    actual: list[list[float]],
    path: Path,
    title: str,
) -> None:
    """A panel a forecast: what was seen, the median and the intervals (the wider, the lighter), and what came."""
    figure, axes = pyplot.subplots(len(titles), 1, figsize=(10, 2.4 * len(titles)), squeeze=False, layout="constrained")
    for axis, name, history, q_SQ, came in zip(axes[:, 0], titles, histories, quantiles, actual, strict=True):
        ahead = range(1, len(q_SQ) + 1)
        pairs = q_SQ.shape[1] // 2
        for low in range(pairs):
            axis.fill_between(ahead, q_SQ[:, low], q_SQ[:, -1 - low], color="#0072b2", alpha=0.5 / pairs, linewidth=0)
        axis.plot(ahead, q_SQ[:, pairs], color="#0072b2", label="median")
        axis.plot(range(1 - len(history), 1), history, color="black", label="seen")
        axis.plot(ahead, came, color="#d55e00", label="came")
        axis.set_title(name, fontsize=9)
        axis.grid(alpha=0.3)
    axes[0][0].legend(loc="upper left", fontsize=8)
    axes[-1][0].set_xlabel("steps from the origin")
    figure.suptitle(title)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)
