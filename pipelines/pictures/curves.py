"""Learning curves, also as a table for `dvc plots`."""

import csv
import io
from collections.abc import Mapping
from pathlib import Path

from pipelines import files, points
from pipelines.pictures import canvas
from pipelines.pictures.colours import CELL_LOOKS


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


def learning_curves(folder: Path, path: Path, title: str, cell: str) -> None:
    """Loss in training and each score in validation, against updates (left) and seconds (right)."""
    curves: dict[str, list[tuple[int, float, float]]] = {}
    for point in points.read(folder):
        for name, value in point["values"].items():
            if name == "train/loss" or name.startswith("validation/"):
                curves.setdefault(name, []).append((point["step"], point["seconds"], value))
    figure, axes = canvas.blank(len(curves), 2, (10, 2.6 * len(curves)), sharex="col", sharey="row")
    colour, dash = CELL_LOOKS[cell]
    for (name, curve), (left, right) in zip(curves.items(), axes, strict=True):
        steps, seconds, values = zip(*curve, strict=True)
        for axis, x in ((left, steps), (right, seconds)):
            axis.plot(x, values, color=colour, linestyle=dash, marker="o" if len(x) < 30 else None, markersize=3)
            axis.grid(alpha=0.3)
        left.set_ylabel(f"{name}\n(nats)" if name.endswith("loss") else name)
    axes[-1][0].set_xlabel("updates")
    axes[-1][1].set_xlabel("training time (s)")
    figure.suptitle(f"{title}\nLearning curves: where they are flat, more updates bring little")
    canvas.save(figure, path)
