"""The score files of a suite, and how their numbers are written wherever they are shown."""

import math
from collections.abc import Mapping

from pipelines import params, paths
from pipelines.score import Score, read

NOTHING = "n/a"
OLDER = ", by older settings"
PERCENTAGES = ("accuracy", "word_error_rate", "character_error_rate")


def read_suite(suite: str) -> dict[str, Score]:
    """All score files of a suite by the name of their block."""
    found = sorted(paths.score(suite, "any").parent.glob("[!.]*.json"))
    return {file.stem: read(file.read_text(encoding="utf-8"), str(file.relative_to(paths.root()))) for file in found}


def outdated(suite: str, scores: Mapping[str, Score]) -> set[str]:
    """The blocks whose score was measured with other settings than stand in the params file now."""
    known = {block: score.settings for block, score in scores.items() if score.settings is not None}
    present = set(params.blocks(suite)) & set(known) if known else set()
    return {block for block in present if params.block(suite, block).settings != known[block]}


def number(value: float | None, metric: str) -> str:
    """Four significant digits and the unit."""
    if value is None:
        return NOTHING
    digits = max(0, 3 - math.floor(math.log10(abs(value)))) if value else 1
    return f"{value:.{digits}f}{' %' if metric in PERCENTAGES else ''}"


def with_spread(score: Score) -> str:
    """The score; of several seeds the mean, with the lowest and the highest."""
    shown = number(score.score, score.metric)
    if score.spread is None:
        return shown
    return f"{shown} ({number(score.spread.min, score.metric)} to {number(score.spread.max, score.metric)})"


def simple(score: Score) -> str:
    """Name of the best of the field's simple baselines; empty without any."""
    best = max if score.direction == "max" else min
    return best(score.simple, key=score.baselines.__getitem__, default="")


def gap(score: Score) -> str:
    """Share of the gap between the best without memory and the best possible that is closed."""
    return NOTHING if score.gap_closed is None else f"{100 * score.gap_closed:.1f} %"
