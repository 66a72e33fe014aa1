"""A tick as a run on the tracking server."""

from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from pipelines import tracking
from pipelines.retrain.outcome import Outcome
from pipelines.retrain.summary import Summary

STATUS: dict[Outcome, Literal["FAILED", "KILLED"]] = {
    Outcome.FAILED: "FAILED",
    Outcome.OVERDUE: "KILLED",
    Outcome.STOPPED: "KILLED",
}
"""Of the others the run is FINISHED."""


def of(summary: Summary, trainings: list[dict[str, Any]], folder: Path) -> tracking.Tick:
    """
    Args:
        trainings: `run.json` of each that it finished.
        folder: the tick's, whose files become the run's.
    """
    stages = summary.stages
    counts = {what: len(getattr(stages, what)) for what in ("ran", "restored", "unchanged", "failed", "not_reached")}
    facts = {"outcome": summary.outcome.name.lower(), "reason": summary.reason, "suite": summary.suite}
    facts |= {"commit": summary.commit or "none", "state": summary.state or "none"}
    cost = {"seconds": summary.seconds, "core_seconds": summary.core_seconds, "gpu_seconds": summary.gpu_seconds}
    return tracking.Tick(
        name=summary.tick,
        suite=summary.suite,
        status=STATUS.get(summary.outcome, "FINISHED"),
        began=_milliseconds(summary.began),
        ended=_milliseconds(summary.ended),
        tags=facts,
        params={"revision": summary.revision, "blocks": ", ".join(summary.blocks) or "all"},
        metrics=cost
        | {f"stages/{what}": float(count) for what, count in counts.items()}
        | {f"score/{block}": scores.score for block, scores in summary.scores.items()}
        | {"versions": float(sum(scores.new for scores in summary.scores.values()))},
        folder=folder,
        trainings=[(f"{run['suite']}/{run['block']}", run["training_id"]) for run in trainings],
    )


def _milliseconds(time: str) -> int:
    return int(datetime.fromisoformat(time).timestamp() * 1000)
