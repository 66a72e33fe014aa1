"""An example step by step: what went in, what was remembered, what came out, and how surprising it was."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.pictures import canvas
from pipelines.pictures.colours import RIGHT, SIGNED, WRONG
from rnn_core.inspect import LayerStates, Unrolled


@dataclass(frozen=True)
class Steps:
    """An example in words, one of each for every step."""

    inputs: list[str]
    right: list[str]
    answered: list[str]


def unrolled(steps: Steps, shown: Unrolled, right_T: NDArray[np.int64], path: Path, title: str) -> None:
    """Above the share that the right answer had, below it a heat map of each state, the inputs beneath.

    Args:
        right_T: the right class of each step.
    """
    maps = [(number, layer, name) for number, layer in enumerate(shown.layers) for name in _states(layer)]
    heights = [1.0, *[1.7] * len(maps)]
    width = 3 + 0.36 * len(steps.inputs)
    figure, axes = canvas.blank(
        len(heights), 1, (max(8, width), 1.6 + 1.25 * sum(heights)), sharex=True, height_ratios=heights
    )
    _bars(axes[0][0], shown.p_TV[np.arange(len(right_T)), right_T], steps)
    axes[0][0].set_ylim(0, 1)
    axes[0][0].set_ylabel("p(right)")
    axes[0][0].secondary_xaxis("top").set_xticks(
        range(len(steps.right)), [canvas.word(text) for text in steps.right], rotation=90, fontsize=8
    )
    for (number, layer, name), (axis,) in zip(maps, axes[1:], strict=True):
        _heat(figure, axis, _states(layer)[name])
        of = len(shown.layers) // (2 if shown.layers[-1].reverse else 1)
        way = " backward" if layer.reverse else ""
        axis.set_ylabel(f"layer {number % of + 1}{way}: {name}\n(units, slow ones up)", fontsize=8)
    last = axes[-1][0]
    last.set_xticks(range(len(steps.inputs)), [canvas.word(text) for text in steps.inputs], rotation=90, fontsize=8)
    last.set_xlabel("input of each step, in the order of the text (above: the right answer)")
    _legend(figure, axes[0][0])
    figure.suptitle(f"{title}\nWhat is remembered, step by step: long stripes are held, spots follow the input")
    canvas.save(figure, path)


def surprise(examples: Mapping[str, tuple[Steps, NDArray[np.float64]]], path: Path, title: str) -> None:
    """The loss of each step, a panel an example by its name; what was answered instead stands on wrong ones."""
    longest = max(len(losses_T) for _, losses_T in examples.values())
    highest = max(losses_T.max() for _, losses_T in examples.values())
    figure, axes = canvas.blank(len(examples), 1, (max(8, 3 + 0.36 * longest), 3.1 * len(examples)), sharey=True)
    for (name, (steps, losses_T)), (axis,) in zip(examples.items(), axes, strict=True):
        _bars(axis, losses_T, steps)
        for t, (right, answered) in enumerate(zip(steps.right, steps.answered, strict=True)):
            if right != answered:
                axis.text(
                    t, losses_T[t], f" {canvas.word(answered)}", rotation=90, ha="center", va="bottom", fontsize=7
                )
        labels = [f"{canvas.word(a)} → {canvas.word(b)}" for a, b in zip(steps.inputs, steps.right, strict=True)]
        axis.set_xticks(range(len(labels)), labels, rotation=90, fontsize=7)
        axis.set_ylabel("loss (nats)")
        axis.set_title(f"{name}: {losses_T.mean():.2f} nats a step", fontsize=10)
        # Room for the words on the bars.
        axis.set_ylim(0, 1.6 * highest)
    axes[-1][0].set_xlabel("input → right answer (on a wrong one: what was likeliest)")
    _legend(figure, axes[0][0])
    figure.suptitle(f"{title}\nWhere the network is surprised: high bars")
    canvas.save(figure, path)


def _bars(axis: Any, values_T: NDArray[np.float64], steps: Steps) -> None:
    """Steps whose likeliest answer is right, and, hatched, the others."""
    right_T = np.array([a == b for a, b in zip(steps.right, steps.answered, strict=True)])
    for chosen_T, colour, hatch, label in ((right_T, RIGHT, "", "right"), (~right_T, WRONG, "///", "wrong")):
        places = np.flatnonzero(chosen_T)
        axis.bar(places, values_T[places], color=colour, hatch=hatch, edgecolor="white", label=f"likeliest is {label}")
    axis.set_xlim(-0.5, len(right_T) - 0.5)


def _legend(figure: Any, axis: Any) -> None:
    figure.legend(*axis.get_legend_handles_labels(), loc="outside lower right", ncols=2, fontsize=8)


def _heat(figure: Any, axis: Any, state_TH: NDArray[np.float64]) -> None:
    """Units as rows, those that change least from step to step above; a tenth of the values lie beyond the colours."""
    change_H = np.abs(np.diff(state_TH, axis=0)).mean(0) / (state_TH.std(0) + 1e-12)
    end = float(np.quantile(np.abs(state_TH), 0.9)) or 1.0
    image = axis.imshow(
        state_TH[:, np.argsort(change_H)].T, aspect="auto", cmap=SIGNED, vmin=-end, vmax=end, interpolation="nearest"
    )
    axis.set_yticks([])
    figure.colorbar(image, ax=axis, label="value", pad=0.01)


def _states(layer: LayerStates) -> dict[str, NDArray[np.float64]]:
    """What a layer remembers; what it says, where it remembers nothing."""
    return layer.state or {"h": layer.h_TH}
