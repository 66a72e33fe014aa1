"""One block on the page: how its networks learnt, side by side, and what the evaluation drew of them."""

import base64
import struct
from collections.abc import Sequence
from pathlib import Path

from pipelines.pictures.colours import CELL_LOOKS
from pipelines.reports import charts, scores
from pipelines.reports.charts import Series
from pipelines.reports.gathered import Block, Point, Trained
from pipelines.reports.markup import Markup, element, joined, void
from pipelines.reports.overview import capital, metric_name
from pipelines.score import Score

TELLING = {
    "gradient_flow": "How gradient flows back: the influence of a state on the loss some steps later, cell by cell",
    "memory_reach": "How far memory reaches: the loss where the state is cut every so many steps",
    "unrolled": "The network unrolled in time: inputs beneath the states, answers above, step by step",
    "attention": "Where the network looked while it wrote each word",
    "alignment": "Which part of the sound each character was heard in",
    "confusion": "Which answer was given for which right one",
    "forecast": "Forecasts with their intervals, and what came",
    "truncation": "What the truncation of the gradient costs, by the steps that it flows back",
    "surprise": "The loss of each step: where the next one was a surprise",
}
"""The pictures that are shown first, by how their names begin, and what is to be seen in them."""
MOST_PICTURES = 4
WIDE = 800
"""Pixels above which a picture has a row of the page to itself."""
SMALLEST = 0.62
"""Share of its own size that a picture keeps on a narrow screen: its letters stay readable."""


def section(block: Block, command: str) -> Markup:
    """
    Args:
        command: what makes this block's results where they are missing.
    """
    parts = [element("h2", element("code", block.name)), *_summary(block)]
    if block.trainings:
        parts += [element("h3", "Learning curves"), _legend(block), _curves(block)]
    else:
        missing = joined(["Not trained in this checkout: ", element("code", command), " makes curves and pictures."])
        parts.append(element("p", missing, class_="quiet"))
    if block.pictures:
        parts += [element("h3", "Seeing inside"), _pictures(block)]
    return element("section", *parts, id=block.name)


def _summary(block: Block) -> list[Markup]:
    score = block.score
    if score is None:
        return []
    said = [f"{capital(metric_name(score.metric))} {scores.with_spread(score)} on test data"]
    if score.gap_closed is not None:
        best = scores.number(score.best_possible, score.metric)
        said.append(f"{scores.gap(score)} of the gap to the best possible {best} closed")
    if score.published:
        said.append(f"published {scores.number(score.published.score, score.metric)} ({score.published.source})")
    origin = f"Code {score.revision[:10]}" + (
        "" if score.model_version is None else f", model version {score.model_version}"
    )
    return [element("p", "; ".join(said), "."), element("p", element("small", origin))]


def _legend(block: Block) -> Markup:
    items = [
        element("li", charts.swatch(one.cell, _dash(block, one)), one.label) for one in block.trainings if _shown(one)
    ]
    faint = charts.swatch(block.trainings[0].cell, "-", faint=True)
    items.append(element("li", faint, "thin: on training data; with dots: on validation data"))
    return element("ul", *items, class_="legend")


def _curves(block: Block) -> Markup:
    figures = [
        _figure("Loss by updates", "updates", "loss", _losses(block, "step")),
        _figure("Loss by time", "seconds of training", "loss", _losses(block, "seconds")),
    ]
    if block.score:
        metric = block.score.metric
        series = [
            Series(one.label, one.cell, _dash(block, one), False, _line(one.curves[f"validation/{metric}"], "step"))
            for one in block.trainings
            if f"validation/{metric}" in one.curves
        ]
        name = metric_name(metric)
        figures.append(_figure(f"{capital(name)} on validation data", "updates", name, series, block.score))
    return element("div", *figures, class_="charts")


def _losses(block: Block, axis: str) -> list[Series]:
    """Of the chosen seed and of the baselines in training; in validation of all seeds too."""
    series = []
    for one in block.trainings:
        look = (one.label, one.cell, _dash(block, one))
        if "train/loss" in one.curves and (one.name == block.chosen or not one.recurrent):
            series.append(Series(*look, True, _line(one.curves["train/loss"], axis)))
        if "validation/loss" in one.curves:
            series.append(Series(*look, False, _line(one.curves["validation/loss"], axis)))
    return series


def _figure(title: str, x: str, y: str, series: Sequence[Series], score: Score | None = None) -> Markup:
    """With the score's best possible as a level, where it is known."""
    if not series:
        return joined([])
    bound = score.best_possible if score else None
    caption = [element("b", title)]
    if score and bound is not None:
        caption.append(joined([f"; dashed: best possible on test data, {scores.number(bound, score.metric)}"]))
    return element("figure", element("figcaption", *caption), charts.curves(series, x, y, bound))


def _line(curve: Sequence[Point], axis: str) -> list[tuple[float, float]]:
    return [(getattr(point, axis), point.value) for point in curve]


def _shown(one: Trained) -> bool:
    return any(name.startswith("validation/") or name == "train/loss" for name in one.curves)


def _dash(block: Block, one: Trained) -> str:
    """A cell's own; a baseline of the same cell as the block's network has another."""
    same = not one.recurrent and one.cell == block.trainings[0].cell
    return "-." if same else CELL_LOOKS[one.cell].dash


def _pictures(block: Block) -> Markup:
    def rank(path: Path) -> int:
        return next((i for i, name in enumerate(TELLING) if path.stem.startswith(name)), len(TELLING))

    ranked = sorted(block.pictures, key=lambda path: (rank(path), path.name))
    shown = element("div", *map(_picture, ranked[:MOST_PICTURES]), class_="pictures")
    if (more := len(ranked) - MOST_PICTURES) <= 0:
        return shown
    note = f"{more} more picture{'s' * (more > 1)}, and the numbers behind all of them, lie with the run in MLflow."
    return joined([shown, element("p", element("small", note))])


def _picture(path: Path) -> Markup:
    content = path.read_bytes()
    width, height = struct.unpack(">II", content[16:24])  # of a PNG's first chunk
    name = path.stem.replace("_", " ")
    what = next((text for key, text in TELLING.items() if path.stem.startswith(key)), "")
    picture = void(
        "img",
        src=f"data:image/png;base64,{base64.b64encode(content).decode()}",
        alt=f"{what or name}. The picture's numbers lie beside it in MLflow as {path.stem}.csv.",
        width=width,
        height=height,
        decoding="async",
        style=f"width: max(min(100%, {width}px), {SMALLEST * width:.0f}px)",
    )
    frame = element("div", picture, class_="frame", tabindex=0, role="region", aria_label=f"Picture: {name}")
    caption = joined([element("b", capital(name)), f": {what}" if what else ""])
    wide = "wide" if width > WIDE else None
    return element("figure", element("figcaption", caption), frame, class_=wide)
