"""Charts as SVG inside the page: curves, and a strip on which scores lie. Drawn for the width of a telephone.

Colours come from the page's style sheet, by the class `cell-<name>`, so that they fit a light and a dark page.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from pipelines.reports.markup import Markup, element

WIDTH, HEIGHT = 360, 230
LEFT, RIGHT, TOP, BOTTOM = 48, 12, 10, 38
"""Room around the curves, for the axes."""
LOGARITHMIC = 12
"""An axis is, where its largest value is so many times its smallest or more."""
DOTTED = 40
"""So many points at most have a dot each, with the numbers behind it."""
DASHES = {"-": None, "--": "7 4", ":": "2 4", "-.": "8 3 2 3"}
"""matplotlib's names as SVG's lengths."""
STRIP_WIDTH, STRIP_HEIGHT, STRIP_MARGIN = 170, 26, 10


class Series(NamedTuple):
    """A curve. `faint`: a thin line without dots, for what is noisy and not to be read closely."""

    label: str
    cell: str
    dash: str
    faint: bool
    points: list[tuple[float, float]]


class Mark(NamedTuple):
    """A score on a strip. `shape`: a key of SHAPES."""

    label: str
    shape: str
    value: float


@dataclass(frozen=True, kw_only=True)
class Axis:
    low: float
    high: float
    pixels: tuple[float, float]
    """Where `low` and `high` lie."""
    logarithmic: bool

    @classmethod
    def over(cls, values: Sequence[float], pixels: tuple[float, float], *, from_zero: bool) -> "Axis":
        """From the smallest to the largest value, or from zero to the largest."""
        low, high = min(values), max(values)
        logarithmic = not from_zero and low > 0 and high / low >= LOGARITHMIC
        if from_zero:
            low = 0.0
        elif not logarithmic:
            room = 0.04 * (high - low) or 0.1 * abs(high) or 1.0
            low, high = low - room, high + room
        return cls(low=low, high=high if high > low else low + 1.0, pixels=pixels, logarithmic=logarithmic)

    def place(self, value: float) -> float:
        first, last = self.pixels
        scale = math.log if self.logarithmic else float
        share = (scale(value) - scale(self.low)) / (scale(self.high) - scale(self.low))
        return round(first + share * (last - first), 1)

    def ticks(self) -> list[float]:
        """Round numbers, three to seven of them."""
        if self.logarithmic:
            exponents = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
            steps = (1, 2, 5) if len(exponents) <= 3 else (1,)
            ticks = [step * 10.0**exponent for exponent in exponents for step in steps]
            return [tick for tick in ticks if self.low <= tick <= self.high]
        raw = (self.high - self.low) / 5
        size = 10 ** math.floor(math.log10(raw))
        step = size * next(factor for factor in (1, 2, 5, 10) if factor * size >= raw)
        return [step * index for index in range(math.ceil(self.low / step), math.floor(self.high / step) + 1)]


def curves(series: Sequence[Series], x_label: str, y_label: str, bound: float | None = None) -> Markup:
    """Curves over a common axis that begins at zero.

    Args:
        bound: a level to compare with, dashed.
    """
    values = [y for one in series for _, y in one.points] + ([] if bound is None else [bound])
    x = Axis.over([x for one in series for x, _ in one.points], (LEFT, WIDTH - RIGHT), from_zero=True)
    y = Axis.over(values, (HEIGHT - BOTTOM, TOP), from_zero=False)
    parts = [*_grid(x, y), *_labels(x_label, y_label)]
    if bound is not None:
        level = y.place(bound)
        parts.append(element("line", class_="bound", x1=LEFT, x2=WIDTH - RIGHT, y1=level, y2=level))
    # What is to be read closely lies above the rest.
    for one in sorted(series, key=lambda one: not one.faint):
        parts += _curve(one, x, y, x_label)
    said = f"{y_label} against {x_label}. {' '.join(_told(one) for one in series if not one.faint)}"
    return element("svg", *parts, viewBox=f"0 0 {WIDTH} {HEIGHT}", role="img", aria_label=said, class_="chart")


def swatch(cell: str, dash: str, *, faint: bool = False) -> Markup:
    """A piece of a curve, for a legend."""
    line = element("line", x1=1, x2=27, y1=6, y2=6, stroke_dasharray=DASHES[dash], class_="faint" if faint else None)
    dot = () if faint else (element("circle", cx=14, cy=6, r=2.6),)
    return element("svg", line, *dot, viewBox="0 0 28 12", class_=f"swatch cell-{cell}", aria_hidden="true")


def strip(marks: Sequence[Mark], *, higher_is_better: bool, logarithmic: bool) -> Markup:
    """Where scores lie from the worst to the best of them, the better to the right."""
    scale = math.log if logarithmic and all(mark.value > 0 for mark in marks) else float
    values = [scale(mark.value) * (1 if higher_is_better else -1) for mark in marks]
    low, width = min(values), (max(values) - min(values)) or 1.0
    middle = STRIP_HEIGHT / 2
    parts = [element("line", class_="rail", x1=2, x2=STRIP_WIDTH - 2, y1=middle, y2=middle)]
    # The score itself is the last to be drawn: nothing hides it.
    for mark, value in sorted(zip(marks, values, strict=True), key=lambda pair: pair[0].shape == "score"):
        x = STRIP_MARGIN + (value - low) / width * (STRIP_WIDTH - 2 * STRIP_MARGIN)
        parts.append(shape(mark.shape, round(x, 1), middle, mark.label))
    said = "From worse to better: " + ", ".join(
        mark.label for _, mark in sorted(zip(values, marks, strict=True), key=lambda pair: pair[0])
    )
    size = {"width": STRIP_WIDTH, "height": STRIP_HEIGHT}
    return element("svg", *parts, viewBox=f"0 0 {STRIP_WIDTH} {STRIP_HEIGHT}", role="img", aria_label=said, **size)


def shape(name: str, x: float, y: float, label: str | None = None) -> Markup:
    """A mark of a strip around a point; its shape alone says what it is."""
    title = (element("title", label),) if label else ()
    if name == "score":
        return element("circle", *title, cx=x, cy=y, r=6, class_="mark score")
    if name == "memoryless":
        return element("circle", *title, cx=x, cy=y, r=5, class_="mark cell-memoryless")
    if name == "simple":
        return element("rect", *title, x=x - 4.5, y=y - 4.5, width=9, height=9, class_="mark")
    if name == "published":
        return element("path", *title, d=f"M{x - 6} {y}L{x} {y - 6}L{x + 6} {y}L{x} {y + 6}Z", class_="mark")
    assert name == "best", name
    return element("line", *title, x1=x, x2=x, y1=y - 11, y2=y + 11, class_="mark bar")


def _grid(x: Axis, y: Axis) -> list[Markup]:
    parts = []
    for tick in x.ticks():
        parts.append(element("text", _tick(tick), x=x.place(tick), y=HEIGHT - BOTTOM + 14, text_anchor="middle"))
    for tick in y.ticks():
        level = y.place(tick)
        parts.append(element("line", class_="grid", x1=LEFT, x2=WIDTH - RIGHT, y1=level, y2=level))
        parts.append(element("text", _tick(tick), x=LEFT - 6, y=level + 4, text_anchor="end"))
    return parts


def _labels(x_label: str, y_label: str) -> list[Markup]:
    middle = (TOP + HEIGHT - BOTTOM) / 2
    turned = f"rotate(-90 11 {middle})"
    return [
        element("text", x_label, class_="label", x=(LEFT + WIDTH - RIGHT) / 2, y=HEIGHT - 5, text_anchor="middle"),
        element("text", y_label, class_="label", x=11, y=middle, text_anchor="middle", transform=turned),
    ]


def _curve(one: Series, x: Axis, y: Axis, x_label: str) -> list[Markup]:
    places = [(x.place(a), y.place(b)) for a, b in one.points]
    path = "M" + "L".join(f"{a} {b}" for a, b in places)
    parts = [element("path", d=path, class_="faint" if one.faint else None, stroke_dasharray=DASHES[one.dash])]
    if not one.faint and len(places) <= DOTTED:
        for (a, b), (at, value) in zip(places, one.points, strict=True):
            title = element("title", f"{one.label}, {x_label} {at:,.4g}: {value:,.4g}")
            parts.append(element("circle", title, cx=a, cy=b, r=2.6))
    return [element("g", *parts, class_=f"curve cell-{one.cell}")]


def _told(one: Series) -> str:
    """A curve in words."""
    return f"{one.label}: from {one.points[0][1]:.4g} to {one.points[-1][1]:.4g}."


def _tick(value: float) -> str:
    return f"{value:,.6g}" if abs(value) < 10_000 else f"{value / 1000:,.6g}k"
