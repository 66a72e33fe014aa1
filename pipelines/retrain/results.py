"""Scores, versions and cost, from what lies in the clone and what the registry says."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pipelines import cost, files, tracking
from pipelines.retrain.summary import Scores


def standings(suite: str, blocks: Iterable[str]) -> dict[str, tracking.Standing]:
    """Of each block's model.

    Raises:
        TrackingError: the server does not say.
    """
    tracker = tracking.connect()
    return {block: tracker.standing(suite, block) for block in blocks}


def scores(
    blocks: Mapping[str, Path],
    before: Mapping[str, tracking.Standing],
    after: Mapping[str, tracking.Standing],
) -> dict[str, Scores]:
    """
    Args:
        blocks: their score files.
        before, after: their models' standings, where known.
    """
    return {
        block: _scores(files.read_json(path), before.get(block, NOBODY), after.get(block, NOBODY))
        for block, path in blocks.items()
    }


def trained(runs: Path, began: str) -> list[dict[str, Any]]:
    """`run.json` of each training of a suite that was finished since.

    Args:
        runs: the suite's folder below `data/runs`.
        began: ISO 8601, UTC, as in `run.json`.
    """
    found = [files.read_json(path) for path in sorted(runs.glob("*/train/*/run.json"))]
    return [run for run in found if run.get("finished") and run["finished"] >= began]


def held(trainings: list[dict[str, Any]], what: str) -> float:
    """`core_seconds` or `gpu_seconds` of all together."""
    return sum(cost.device_seconds(run).get(what, 0.0) for run in trainings)


NOBODY = tracking.Standing(champion=None, newest=None)


def _scores(score: Mapping[str, Any], before: tracking.Standing, after: tracking.Standing) -> Scores:
    newest, version = after.newest, score["model_version"]
    return Scores(
        metric=score["metric"],
        direction=score["direction"],
        score=score["score"],
        version=version,
        new=newest is not None and newest.number == version and newest.number > _number(before.newest),
        champion=after.champion.number if after.champion else None,
        champion_score=after.champion.score if after.champion else None,
        champion_before=before.champion.number if before.champion else None,
        why=newest.why if newest else None,
    )


def _number(version: tracking.Version | None) -> int:
    return version.number if version else 0
