"""A tick's own folder, from its beginning: by it the next one sees that it died, and takes it up under its name."""

import dataclasses
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pipelines import files, tracking
from pipelines.retrain.settings import Settings
from pipelines.retrain.summary import Summary


class Journal:
    """`tick.json`: when it began, how often it was begun, how the models stood then, whether it has ended."""

    def __init__(self, folder: Path, facts: dict[str, Any]):
        self.folder, self._facts = folder, facts
        self._write()

    @property
    def name(self) -> str:
        return self.folder.name

    @property
    def log(self) -> Path:
        return self.folder / "log.txt"

    @property
    def began(self) -> str:
        """ISO 8601, UTC: of its first attempt."""
        return str(self._facts["began"])

    @property
    def attempts(self) -> int:
        return int(self._facts["attempts"])

    @property
    def standings(self) -> dict[str, tracking.Standing] | None:
        """How the models stood before it, by block; None until that has been noted."""
        noted = self._facts.get("standings")
        return None if noted is None else {block: _standing(one) for block, one in noted.items()}

    def note(self, standings: Mapping[str, tracking.Standing]) -> None:
        self._facts["standings"] = {block: dataclasses.asdict(one) for block, one in standings.items()}
        self._write()

    def summary(self, summary: Summary) -> None:
        """Write it, as text and as JSON."""
        files.write_json(self.folder / "summary.json", summary.as_json())
        files.write_text(self.folder / "summary.txt", summary.as_text())

    def end(self) -> None:
        """It has come to its end, whatever that was: the next tick is another one."""
        self._facts["ended"] = True
        self._write()

    def _write(self) -> None:
        files.write_json(self.folder / "tick.json", self._facts)


def open_for(settings: Settings) -> Journal:
    """A new tick's, or that of the last one of the same job where it has not ended."""
    place = settings.work / "ticks" / settings.suite
    for last in sorted(place.glob("*/tick.json"), reverse=True):
        facts = dict(files.read_json(last))
        if facts["about"] == settings.about:
            if not facts["ended"]:
                return Journal(last.parent, facts | {"attempts": facts["attempts"] + 1})
            break
    now = datetime.now(UTC)
    facts = {"about": settings.about, "began": now.isoformat(timespec="seconds"), "attempts": 1, "ended": False}
    return Journal(place / now.strftime("%Y-%m-%dT%H-%M-%S.%f"), facts)


def _standing(noted: Mapping[str, Any]) -> tracking.Standing:
    champion, newest = (noted[key] and tracking.Version(**noted[key]) for key in ("champion", "newest"))
    return tracking.Standing(champion=champion, newest=newest)
