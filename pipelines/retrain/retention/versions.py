"""Model versions that no alias names, that are not the newest, and that no lock file's scores come from."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from pipelines import tracking
from pipelines.retrain.retention import piece
from pipelines.retrain.retention.piece import Piece
from pipelines.tracking import Registration


def superseded(registered: list[Registration], tracker: tracking.Tracker, runs: set[str]) -> Iterator[Piece]:
    """
    Args:
        runs: that are still referred to.
    """
    for one in registered:
        if one.superseded and one.run_id not in runs:
            name = f"{one.name} version {one.version}"
            yield Piece(kind="version", name=name, size=0, remove=partial(tracker.remove, one))


def brought(registered: list[Registration], checkout: Path, runs: set[str]) -> Iterator[Piece]:
    """Files of models here that belong to none of the versions that stay."""
    stay = {one.digest for one in registered if not one.superseded or one.run_id in runs}
    for folder in sorted((checkout / "data/models").glob("*")):
        if folder.name not in stay and not folder.name.startswith(".") and not piece.fresh(folder):
            yield piece.of("version", folder, checkout)
