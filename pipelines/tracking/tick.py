"""What a tick of scheduled retraining tells the server of itself."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class Tick:
    """One that has come to its end."""

    name: str
    suite: str
    status: Literal["FINISHED", "FAILED", "KILLED"]
    began: int
    """As `ended` in milliseconds since 1970."""
    ended: int
    tags: Mapping[str, str]
    params: Mapping[str, str]
    metrics: Mapping[str, float]
    folder: Path
    """With the summary's files."""
    trainings: Sequence[tuple[str, str]] = ()
    """Experiment and id of each that it finished: their runs become its children."""
