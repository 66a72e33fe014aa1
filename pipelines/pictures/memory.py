"""How a network remembers: the gradient's way back, what the past is worth, what truncation costs."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from pipelines.pictures import canvas
from pipelines.pictures.colours import CELL_LOOKS, MARK
from rnn_core.inspect import Flow, Truncation, enough

FAINTEST = 1e-6
"""Share of a gradient below which nothing is drawn."""
FEWEST = 8
"""Pairs of a step and a lane that a mean must be of to be drawn."""
TOLERANCE = 0.01
"""Share of the loss by which a cut may raise it where the memory is said to end."""


class FlowLine(NamedTuple):
    cell: str
    trained: bool
    flows: Sequence[Flow]


def gradient_flow(lines: Sequence[FlowLine], path: Path, title: str) -> None:
    """Norm of d loss_t / d state_(t-k) against k, trained networks bold, untrained ones thin; a panel a direction."""
    directions = lines[0].flows
    figure, (axes,) = canvas.blank(1, len(directions), (6.5 * len(directions), 5.4), sharey=True)
    for number, axis in enumerate(axes):
        for cell, trained, flows in sorted(lines, key=lambda line: line.trained):
            _flow_line(axis, cell, trained, flows[number])
        axis.set_yscale("log")
        axis.set_ylim(max(FAINTEST, axis.get_ylim()[0]), min(10.0, axis.get_ylim()[1]))
        way = "steps ahead: the direction that reads backward" if directions[number].reverse else "steps back"
        axis.set_xlabel(f"k ({way})")
        axis.set_title(directions[number].part, fontsize=10)
        axis.grid(alpha=0.3)
        below = {"loc": "upper center", "bbox_to_anchor": (0.5, -0.14), "ncols": 2}
        axis.legend(**below, fontsize=8, title="a tenth is left", title_fontsize=8)
    axes[0].set_ylabel("norm of d loss$_t$ / d state$_{t-k}$\nas a share of that at k = 1")
    figure.suptitle(f"{title}\nHow the gradient fades on its way back: the flatter, the longer the memory")
    canvas.save(figure, path)


def _flow_line(axis: Any, cell: str, trained: bool, flow: Flow) -> None:
    look, longest = CELL_LOOKS[cell], int((flow.pairs_K >= min(FEWEST, flow.pairs_K.max(initial=0))).sum())
    k, state_K, h_K = np.arange(1, longest + 1), flow.state_K[:longest], flow.h_K[:longest]
    scale = state_K[0] if longest and state_K[0] > 0 else 1.0
    # A logarithm has no zero: what is fainter lies below the panel.
    state_K, h_K = (np.maximum(norm_K / scale, FAINTEST / 10) for norm_K in (state_K, h_K))
    below = np.flatnonzero(state_K < 0.1)
    when = f"after {k[below[0]]} steps" if len(below) else f"beyond {longest} steps"
    width, alpha = (2.6, 1.0) if trained else (1.2, 0.7)
    label = f"{when}: {cell}, {'trained' if trained else 'untrained'}"
    axis.plot(k, state_K, color=look.colour, linestyle=look.dash, linewidth=width, alpha=alpha, label=label)
    if trained and not np.allclose(h_K, state_K):
        axis.plot(k, h_K, color=look.colour, linestyle=":", label=f"{cell}, trained, by h alone")


def reach(
    losses: Mapping[str, Mapping[int, float]], uncut: float, cell: str, unit: str, path: Path, title: str
) -> None:
    """Mean loss against the steps n of the pieces in which the data are read.

    Args:
        losses: by part of the network ("" where there is one only), then by n.
        uncut: that of the data as they are.
        unit: of the losses.
    """
    look, ends = CELL_LOOKS[cell], []
    figure, ((axis,),) = canvas.blank(1, 1, (7.5, 4.6))
    for (part, by_n), dash, marker in zip(losses.items(), (look.dash, "-."), "os", strict=False):
        ns = sorted(by_n)
        label = f"{cell}, {part} cut" if part else cell
        axis.plot(ns, [by_n[n] for n in ns], color=look.colour, linestyle=dash, marker=marker, label=label)
        # Where the loss may be below zero (densities), a hundredth of its size.
        near = [n for n in ns if by_n[n] <= uncut + TOLERANCE * abs(uncut)]
        ends.append(f"{part} n = {near[0]}".strip() if near else f"{part} beyond n = {ns[-1]}".strip())
        if near:
            axis.axvline(near[0], color=MARK, linestyle=":")
    axis.axhline(uncut, color=MARK, linestyle="--", label="nothing cut")
    ns = sorted({n for by_n in losses.values() for n in by_n})
    axis.set_xscale("log", base=2)
    axis.set_xticks(ns, [str(n) for n in ns])
    axis.set_xlabel("n (steps): the state is reset every n steps")
    axis.set_ylabel(f"loss ({unit})")
    axis.grid(alpha=0.3)
    axis.legend()
    axis.set_title(
        f"{title}\nHow far memory reaches, where {TOLERANCE:.0%} may be lost: {', '.join(ends)}", fontsize=11
    )
    canvas.save(figure, path)


def truncation(costs: Sequence[Truncation], bound: float, k2: int, cell: str, path: Path, title: str) -> None:
    """Angle (left) and length error (right) of the truncated gradient against k2.

    Args:
        bound: degrees; the smallest k2 that keeps the angle within it is suggested.
        k2: that of the training.
    """
    suggested, look = enough(costs, bound), CELL_LOOKS[cell]
    figure, ((left, right),) = canvas.blank(1, 2, (11, 4.6))
    steps = [cost.k2 for cost in costs]
    style = {"color": look.colour, "linestyle": look.dash, "marker": "o", "label": cell}
    left.plot(steps, [cost.angle for cost in costs], **style)
    left.axhline(bound, color=MARK, linestyle="--", label=f"bound, {bound:g} degrees")
    right.plot(steps, [100 * cost.length for cost in costs], **style)
    right.axhline(0, color=MARK, linestyle="--", label="the full length")
    for axis, name in ((left, "angle to the full gradient (degrees)"), (right, "length error (% of the full length)")):
        axis.axvline(k2, color=MARK, linestyle=":", label=f"trained with k2 = {k2}")
        axis.set_xlabel("k2 (steps that the gradient flows through)")
        axis.set_ylabel(name)
        axis.grid(alpha=0.3)
        axis.legend(fontsize=8)
    seen = f"k2 = {suggested} is enough" if suggested is not None else f"more than k2 = {steps[-1]} is needed"
    figure.suptitle(f"{title}\nWhat truncation costs: {seen} to keep the angle within {bound:g} degrees")
    canvas.save(figure, path)
