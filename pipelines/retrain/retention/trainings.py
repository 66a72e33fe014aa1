"""Folders of trainings: the states of finished ones, and what is superseded and lies on the server besides."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from pipelines import files, locks, tracking
from pipelines.retrain.retention import piece
from pipelines.retrain.retention.piece import Piece


def finished(checkout: Path, tracker: tracking.Tracker, kept: set[str]) -> Iterator[Piece]:
    """Of each finished training its states, which nothing goes on from; the whole folder where it is superseded and the
    server has all that it told. A block that is trained at this moment is left as it is.

    Args:
        kept: ids of trainings that are still referred to.
    """
    in_use = kept | {files.read_json(path)["training_id"] for path in checkout.glob("data/runs/*/*/train/*/run.json")}
    for block in sorted(checkout.glob("data/checkpoints/*/*")):
        if _held(block / "train.lock"):
            continue
        for folder in sorted(path.parent for path in block.glob("*/finished.json")):
            run = files.read_json(folder / "run.json")
            if run["status"] != "finished" or piece.fresh(folder / "finished.json"):
                continue
            if run["training_id"] not in in_use and tracker.has(folder):
                yield piece.of("checkpoint", folder, checkout)
            elif (folder / "state").exists():
                yield piece.of("checkpoint", folder / "state", checkout)


def sent(checkout: Path, tracker: tracking.Tracker) -> Iterator[Piece]:
    """The curves of a finished sweep's trials that the server has; the sweep's record stays."""
    for sweep in sorted(path.parent for path in checkout.glob("data/sweeps/*/*/*/run.json")):
        if files.read_json(sweep / "run.json")["status"] != "finished" or _held(sweep / "sweep.lock"):
            continue
        for points in sorted(sweep.glob("trials/*/points.jsonl")):
            if not piece.fresh(points) and tracker.has(points.parent):
                yield piece.of("spool", points, checkout)


def _held(path: Path) -> bool:
    """Whether a process holds this lock."""
    with contextlib.suppress(FileNotFoundError), path.open("r+", encoding="utf-8") as file:
        return not locks.taken(file)
    return False
