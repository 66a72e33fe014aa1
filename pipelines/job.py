"""One training, as plain values that travel from whoever starts it to its workers."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines.params import Train
from pipelines.shards import Shards

Notice = Callable[[], object]
"""What is announced of this worker's end, None while nothing is; called once an update."""


@dataclass(frozen=True, kw_only=True)
class Job:
    name: str
    folder: Path
    arrow: Path
    task: str
    model: dict[str, Any]
    train: Train
    metric: str
    """The one that decides which weights are best, on validation data."""
    key: str
    """Hash of configuration and data."""
    threads: int
    checkpoint_seconds: float
    """At the latest after so many there is a new training state."""
    compressed: bool = False
    """Whether gradients travel between workers as bfloat16."""
    versions: dict[str, str]
    """Of what decides what is computed, as whoever starts the workers has it: `pipelines/versions.py`."""
    shards: Shards | None = None
    """The data as machines that do not have the folder `arrow` find them."""
    storage: str | None = None
    """Address of what all machines reach where they share no folder: `pipelines/kept.py`."""

    @property
    def kept_as(self) -> str:
        """The training's name in the storage."""
        return "/".join((*self.folder.parts[-3:], self.versions["code"][:12]))
