"""The trials of a sweep as files: what was tried, how far it came, what it scored; `trials.json` is the record.

Each trial is a training like any other, with its own folder, key and training states. Of a sweep that was killed the
record says which trials ended (they are not repeated) and which were under way (they go on from their states).
"""

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pipelines import files, points
from pipelines.job import Job
from rnn_core.config import from_mapping, to_mapping

State = Literal["running", "finished", "stopped", "refused", "failed"]
"""finished: the whole training; stopped: cut short, others were better by then; refused: its settings cannot be
trained with; failed: for another reason, so that the same command tries it again."""

SETTLED = ("finished", "stopped", "refused")


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One set of settings and what came of it."""

    number: int
    """From 1 on, in the order in which they were suggested."""
    settings: dict[str, Any]
    """By dotted name."""
    suggested: dict[str, Any]
    """The same as the search has them: numbers with all their digits, choices by their place."""
    folder: str
    """Of its training, below the sweep's; equal settings share one. Empty where none could be made."""
    state: State = "running"
    score: float | None = None
    """The metric that decides, on validation data."""
    validations: int = 0
    seconds: float = 0.0
    """Of training."""
    took: float = 0.0
    """Seconds that passed, the start of the workers among them."""
    why: str = ""

    @property
    def settled(self) -> bool:
        return self.state in SETTLED

    @property
    def shown(self) -> str:
        return shown(self.settings)


class Record:
    """`trials.json` of a sweep: written whole at each change, by the one process that holds the sweep's lock."""

    def __init__(self, folder: Path, direction: Literal["max", "min"]):
        self._path, self._direction = folder / "trials.json", direction
        written = files.read_json(self._path) if self._path.exists() else []
        self._trials = {trial["number"]: from_mapping(Trial, trial, str(self._path)) for trial in written}

    def __iter__(self) -> Iterator[Trial]:
        return iter(self._trials.values())

    def __len__(self) -> int:
        return len(self._trials)

    def keep(self, trial: Trial) -> Trial:
        self._trials[trial.number] = trial
        files.write_json(self._path, [to_mapping(one) for one in self])
        return trial

    def change(self, number: int, **changes: Any) -> Trial:
        return self.keep(dataclasses.replace(self._trials[number], **changes))

    @property
    def settled(self) -> list[Trial]:
        return [trial for trial in self if trial.settled]

    @property
    def ranked(self) -> list[Trial]:
        """Those with a score that ended well, the best first; of equals the earlier one."""
        sign = -1 if self._direction == "max" else 1
        ended = [trial for trial in self if trial.state in ("finished", "stopped")]
        scored = [(sign * trial.score, trial.number, trial) for trial in ended if trial.score is not None]
        return [trial for _, _, trial in sorted(scored, key=lambda one: one[:2])]


def shown(settings: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in settings.items())


def replaced(mapping: Mapping[str, Any], settings: Mapping[str, Any]) -> dict[str, Any]:
    """A nested mapping with the values at these dotted names; what lies on the way to a new one is made."""
    out = dict(mapping)
    for name, value in settings.items():
        first, _, rest = name.partition(".")
        inner = out.get(first)
        out[first] = replaced(inner if isinstance(inner, Mapping) else {}, {rest: value}) if rest else value
    return out


def standings(job: Job, direction: Literal["max", "min"]) -> list[float]:
    """After each validation so far, the score of the weights that would be kept: the best, or the last."""
    scores: list[float] = []
    for point in points.read(job.folder):
        score = point["values"].get(f"validation/{job.metric}")
        if score is not None:
            better = max if direction == "max" else min
            scores.append(better([score, *scores[-1:]]) if job.train.keep == "best" else score)
    return scores
