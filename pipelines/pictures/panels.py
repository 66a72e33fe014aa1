"""The panels of a picture that shows an example step by step: all share the axis of its steps.

A panel is a height and a function that draws into an axis; `steps.unrolled` stands them one above the other.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipelines.pictures import canvas
from pipelines.pictures.colours import FORESEEN, MARK, RIGHT, SEEN, SHARES, SIGNED, WRONG
from rnn_core.inspect import LayerStates, Unrolled

Array = NDArray[np.float64]
CROWDED = 60
"""Steps from which on their words have no room."""


class Panel(NamedTuple):
    height: float
    """As a share of that of a heat map of a state."""
    draw: Callable[[Any, Any], None]
    """Of the figure and the axis."""


@dataclass(frozen=True, kw_only=True)
class Axis:
    """The steps of an example."""

    count: int
    name: str
    """What a step is, with its unit."""
    words: list[str] = field(default_factory=list)
    """Beneath each step; none where steps are told by numbers."""
    above: list[str] = field(default_factory=list)
    """Over each step: the right answers, where each step has a word for its own."""
    first: float = 0.0
    """Number of the first step, and
    unit: how much a step adds to it."""
    unit: float = 1.0

    def mark(self, axis: Any) -> None:
        """The ticks beneath."""
        if self.words and self.count <= CROWDED:
            axis.set_xticks(range(self.count), list(map(canvas.word, self.words)), rotation=90, fontsize=8)
        else:
            places = np.unique(np.linspace(0, self.count - 1, min(9, self.count)).astype(int))
            axis.set_xticks(places, [f"{self.first + self.unit * place:g}" for place in places])
        axis.set_xlim(-0.5, self.count - 0.5)

    def mark_above(self, axis: Any) -> None:
        if self.above and self.count <= CROWDED:
            axis.secondary_xaxis("top").set_xticks(
                range(self.count), list(map(canvas.word, self.above)), rotation=90, fontsize=8
            )


def answers(p_right_T: Array, right_T: NDArray[np.bool_], name: str) -> Panel:
    """The share of the right answer at each step, by whether it is the likeliest."""

    def draw(figure: Any, axis: Any) -> None:
        bars(axis, p_right_T, right_T)
        axis.set_ylim(0, 1)
        axis.set_ylabel(name)

    return Panel(1.0, draw)


def shares(values_T: Array, name: str) -> Panel:
    """A number at each step, from 0 on."""

    def draw(figure: Any, axis: Any) -> None:
        axis.bar(np.arange(len(values_T)), values_T, color=RIGHT, edgecolor="white")
        axis.set_ylabel(name, fontsize=8)

    return Panel(1.0, draw)


def alignment(p_RT: Array, rows: list[str], path_T: NDArray[np.int64]) -> Panel:
    """How probable each label of a string is at each step, with the string's likeliest path through the steps.

    Args:
        rows: the string's labels, the first one on top.
        path_T: number of the row at each step, -1 for none.
    """

    def draw(figure: Any, axis: Any) -> None:
        image = axis.imshow(p_RT, aspect="auto", cmap=SHARES, vmin=0, vmax=1, interpolation="nearest")
        figure.colorbar(image, ax=axis, label="probability", pad=0.01)
        steps = np.flatnonzero(path_T >= 0)
        axis.plot(steps, path_T[steps], ".", color=WRONG, markeredgecolor="white", markersize=8)
        axis.set_yticks(range(len(rows)), list(map(canvas.word, rows)), fontsize=7)
        axis.set_ylabel("right text\n(dots: its path)", fontsize=8)

    return Panel(max(1.2, 0.11 * len(rows)), draw)


def foreseen(q_TQ: Array, came_T: Array) -> Panel:
    """What the next value was foretold to be at each step, beside what it was.

    Args:
        q_TQ: quantiles, symmetric about the median.
        came_T: the value after each step.
    """

    def draw(figure: Any, axis: Any) -> None:
        t, middle = np.arange(len(q_TQ)), q_TQ.shape[1] // 2
        axis.fill_between(
            t, q_TQ[:, 0], q_TQ[:, -1], color=FORESEEN, alpha=0.3, linewidth=0, label="foretold, 80 % interval"
        )
        axis.plot(t, q_TQ[:, middle], color=FORESEEN, label="foretold, median")
        axis.plot(t, came_T, ".", color=SEEN, label="came")
        axis.set_ylabel("the next value")

    return Panel(1.6, draw)


def line(values_T: Array, name: str) -> Panel:
    def draw(figure: Any, axis: Any) -> None:
        axis.plot(np.arange(len(values_T)), values_T, color=SEEN, marker=".")
        axis.set_ylabel(name, fontsize=8)
        axis.grid(alpha=0.3)

    return Panel(1.0, draw)


def image(values_YX: Array, steps: int, name: str, unit: str) -> Panel:
    """What is read, as an image whose columns are those of the steps, equally many each."""

    def draw(figure: Any, axis: Any) -> None:
        extent = (-0.5, steps - 0.5, len(values_YX), 0)
        shown = axis.imshow(values_YX, aspect="auto", cmap=SHARES, extent=extent, interpolation="nearest")
        figure.colorbar(shown, ax=axis, label=unit, pad=0.01)
        axis.set_yticks([])
        axis.set_ylabel(name, fontsize=8)

    return Panel(1.2, draw)


def states(shown: Unrolled, part: str = "") -> list[Panel]:
    """A heat map of each state of each layer."""
    of = len(shown.layers) // (2 if shown.layers[-1].reverse else 1)
    found = []
    for number, layer in enumerate(shown.layers):
        way = " backward" if layer.reverse else ""
        name = f"{part} layer {number % of + 1}{way}".strip()
        found += [_state(f"{name}: {key}", state_TH) for key, state_TH in _states(layer).items()]
    return found


def _state(name: str, state_TH: Array) -> Panel:
    """Units as rows, those that change least from step to step above; a tenth of the values lie beyond the colours."""

    def draw(figure: Any, axis: Any) -> None:
        change_H = np.abs(np.diff(state_TH, axis=0)).mean(0) / (state_TH.std(0) + 1e-12)
        end = float(np.quantile(np.abs(state_TH), 0.9)) or 1.0
        ordered = state_TH[:, np.argsort(change_H)].T
        shown = axis.imshow(ordered, aspect="auto", cmap=SIGNED, vmin=-end, vmax=end, interpolation="nearest")
        axis.set_yticks([])
        axis.set_ylabel(f"{name}\n(units, slow ones up)", fontsize=8)
        figure.colorbar(shown, ax=axis, label="value", pad=0.01)

    return Panel(1.7, draw)


def _states(layer: LayerStates) -> dict[str, Array]:
    """What a layer remembers; what it says, where it remembers nothing."""
    return layer.state or {"h": layer.h_TH}


def bars(axis: Any, values_T: Array, right_T: NDArray[np.bool_]) -> None:
    """Steps whose likeliest answer is right, and, hatched, the others."""
    for chosen_T, colour, hatch, label in ((right_T, RIGHT, "", "right"), (~right_T, WRONG, "///", "wrong")):
        places = np.flatnonzero(chosen_T)
        if len(places):
            style = {"color": colour, "hatch": hatch, "edgecolor": "white", "label": f"likeliest is {label}"}
            axis.bar(places, values_T[places], **style)
    axis.set_xlim(-0.5, len(right_T) - 0.5)
    axis.axhline(0, color=MARK, linewidth=0.5)


def legend(figure: Any, axes: Any) -> None:
    """What the colours of these axes mean, each once, below all of them; nothing where nothing says it."""
    named = {label: handle for axis in axes for handle, label in zip(*axis.get_legend_handles_labels(), strict=True)}
    if named:
        figure.legend(named.values(), named.keys(), loc="outside lower right", ncols=len(named), fontsize=8)
