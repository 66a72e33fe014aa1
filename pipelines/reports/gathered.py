"""What lies on disk of a suite's blocks, as the page shows it: whatever has not run yet is left out, not an error."""

import statistics
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from pipelines import cost, files, params, paths, points
from pipelines.reports import scores
from pipelines.score import Score

MOST_POINTS = 200
"""Of a curve on the page; more of them are shown as means of neighbours."""


class Point(NamedTuple):
    step: float
    seconds: float
    value: float


@dataclass(frozen=True, kw_only=True)
class Trained:
    """A training that `train` has laid out."""

    name: str
    facts: Mapping[str, Any]
    """Its `run.json`."""
    curves: Mapping[str, list[Point]]
    """`train/loss` and all of `validation/...`, by name."""
    tokens_per_second: float | None

    @property
    def cell(self) -> str:
        return str(self.facts["cell"])

    @property
    def label(self) -> str:
        name = self.name.replace("_", " ")
        return name if self.name == self.cell else f"{name} ({self.cell})"

    @property
    def recurrent(self) -> bool:
        return params.is_recurrent(self.name)


@dataclass(frozen=True, kw_only=True)
class Block:
    """A block of the params file with what there is of it."""

    name: str
    score: Score | None
    older: bool
    """Whether the score was measured with other settings than the params file has now."""
    trainings: tuple[Trained, ...]
    """The recurrent ones first, then the baselines."""
    chosen: str | None
    """The recurrent training whose model is registered."""
    pictures: tuple[Path, ...]
    """Of the chosen training's evaluation."""


def blocks(suite: str) -> list[Block]:
    """All blocks of the suite, in the order of its params file.

    Raises:
        UserError: a score file is damaged, or the params file.
    """
    found = scores.read_suite(suite)
    older = scores.outdated(suite, found)
    return [_block(suite, name, found.get(name), name in older) for name in params.blocks(suite)]


def _block(suite: str, name: str, score: Score | None, older: bool) -> Block:
    folder = paths.train(suite, name)
    chosen = files.read_json(folder / "chosen.json")["training"] if (folder / "chosen.json").exists() else None
    trained = [_trained(path.parent) for path in folder.glob("*/run.json")]
    pictures = (paths.evaluation(suite, name) / chosen).glob("*.png") if chosen else ()
    return Block(
        name=name,
        score=score,
        older=older,
        trainings=tuple(sorted(trained, key=lambda one: (not one.recurrent, one.name))),
        chosen=chosen,
        pictures=tuple(sorted(pictures)),
    )


def _trained(folder: Path) -> Trained:
    recorded = points.read(folder)
    curves: dict[str, list[Point]] = {}
    for point in recorded:
        for name, value in point["values"].items():
            if name == "train/loss" or name.startswith("validation/"):
                curves.setdefault(name, []).append(Point(point["step"], point["seconds"], value))
    return Trained(
        name=folder.name,
        facts=files.read_json(folder / "run.json"),
        curves={name: list(_thinned(curve)) for name, curve in curves.items()},
        tokens_per_second=cost.tokens_per_second(recorded),
    )


def _thinned(curve: list[Point]) -> Iterator[Point]:
    """At most `MOST_POINTS` points, each the mean of as many neighbours."""
    size = -(-len(curve) // MOST_POINTS)
    for first in range(0, len(curve), size):
        yield Point(*(statistics.fmean(values) for values in zip(*curve[first : first + size], strict=True)))
