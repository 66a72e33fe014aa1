"""What came of a tick, as a person reads it and as a program does."""

import dataclasses
from dataclasses import dataclass, field
from typing import Any

from pipelines.retrain.outcome import Outcome
from pipelines.retrain.stages import Stages


@dataclass(frozen=True, kw_only=True)
class Scores:
    """A block of the suite after the tick, beside the model in use."""

    metric: str
    direction: str
    score: float
    """Of the network that the score file tells of."""
    version: int | None
    """Its model version."""
    new: bool
    """Whether this tick registered it."""
    champion: int | None
    """The version in use now, and before the tick; None where there is none, or the server did not say."""
    champion_score: float | None
    champion_before: int | None
    why: str | None
    """The newest version's verdict: it is the champion or not."""


@dataclass(frozen=True, kw_only=True)
class Summary:
    tick: str
    outcome: Outcome
    reason: str
    """Of an outcome that is not DONE, in a line."""
    repository: str
    revision: str
    suite: str
    blocks: tuple[str, ...]
    began: str
    """As `ended` in ISO 8601, UTC."""
    ended: str
    seconds: float
    attempts: int = 1
    """More than one where earlier ones died."""
    commit: str | None = None
    """Of the revision."""
    state: str | None = None
    """The commit on the branch `retrain/<suite>`."""
    stages: Stages = field(default_factory=Stages)
    scores: dict[str, Scores] = field(default_factory=dict)
    core_seconds: float = 0.0
    """Of training, as `gpu_seconds`: times what was held for it."""
    gpu_seconds: float = 0.0
    trainings: tuple[str, ...] = ()
    """Ids of the trainings that were finished in this tick."""
    run: str | None = None
    """Its own run on the tracking server."""
    notes: tuple[str, ...] = ()
    """What else is to be known: what was refused, what was away."""

    def as_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self) | {
            "outcome": self.outcome.name.lower(),
            "status": self.outcome.value,
            "stages": dataclasses.asdict(self.stages) | {"failed": dict(self.stages.failed)},
        }

    def as_text(self) -> str:
        """A few lines for a terminal, a mail, a chat."""
        lines = [self._head(), f"repository  {self.repository}, {self.revision}{self._commits()}"]
        for what, names in self._stages():
            if names:
                lines.append(f"{what:<12}{', '.join(names)}")
        lines += [f"failed      {name}: {why}" for name, why in self.stages.failed]
        lines += [_line(block, scores) for block, scores in self.scores.items()]
        gpus = f", {self.gpu_seconds:,.0f} GPU-seconds" if self.gpu_seconds else ""
        count = len(self.trainings)
        trained = f"{count} training{'s' * (count != 1)}, {self.core_seconds:,.0f} core-seconds{gpus}"
        lines.append(f"cost        {trained}; {self.seconds:,.0f} s in all")
        lines += [f"note        {note}" for note in self.notes]
        return "\n".join(lines) + "\n"

    def _head(self) -> str:
        what = f"{self.suite}, {', '.join(self.blocks)}" if self.blocks else self.suite
        again = f", taken up {self.attempts - 1} time{'s' * (self.attempts > 2)}" if self.attempts > 1 else ""
        why = f": {self.reason}" if self.reason else ""
        return f"retrain of {what}, tick {self.tick}{again}: {self.outcome.words}{why}"

    def _commits(self) -> str:
        state = f", state {self.state[:12]} on retrain/{self.suite}" if self.state else ""
        return (f" ({self.commit[:12]})" if self.commit else "") + state

    def _stages(self) -> list[tuple[str, tuple[str, ...]]]:
        stages, unchanged = self.stages, len(self.stages.unchanged)
        return [
            ("ran", stages.ran or ("nothing",)),
            ("restored", stages.restored),
            ("unchanged", (f"{unchanged} stage{'s' * (unchanged != 1)}",) if unchanged else ()),
            ("not reached", stages.not_reached),
        ]


def _line(block: str, scores: Scores) -> str:
    """A block's scores, beside those of the model in use."""
    text = f"{block:<12}{scores.metric} {scores.score:.5g}"
    if scores.version is not None:
        text += f" (version {scores.version}{', new' if scores.new else ''})"
    if scores.champion is not None and scores.champion != scores.version:
        known = "" if scores.champion_score is None else f" {scores.champion_score:.5g}"
        text += f" against{known} of the champion, version {scores.champion}"
    elif scores.champion is not None:
        text += ", champion"
        if scores.champion_before not in (None, scores.champion):
            text += f" in the place of version {scores.champion_before}"
    return text + (f"; {scores.why}" if scores.new and scores.why else "")
