"""How good a training is and on which data, as its model version tells it."""

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

CHAMPION, CHALLENGER, PREVIOUS = "champion", "challenger", "previous"
"""The aliases of a model, see `aliases.py`."""


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    metric: str
    direction: Literal["max", "min"]
    score: float
    test_digest: str
    """Scores compare only where they were measured on the same test data."""
    column: str
    """What the model takes: `text`, `file` or `table`."""
    input: str
    """A raw input (a file in base64), and below the model's answer to it: they give the version its signature."""
    answer: dict[str, Any]
    requirements: tuple[str, ...] = ()
    """Packages that this task's answers need beside those of all."""

    def tags(self) -> dict[str, str]:
        """What is written on the version: where they change, whether it is the champion is decided anew."""
        return {
            "metric": self.metric,
            "direction": self.direction,
            "score": repr(self.score),
            "test_digest": self.test_digest,
        }


@dataclass(frozen=True, kw_only=True)
class Registered:
    """A model version."""

    name: str
    version: int
    why: str | None
    """It is the champion or not; None where that is to be decided, its evaluation being new."""


@dataclass(frozen=True, kw_only=True)
class Version:
    """A model version, as it tells of itself."""

    number: int
    score: float | None
    why: str | None
    """It is the champion or not."""


@dataclass(frozen=True, kw_only=True)
class Registration:
    """A version among all that are registered."""

    name: str
    version: int
    run_id: str
    training_id: str
    digest: str
    """Of the network's files."""
    superseded: bool
    """Judged, not the newest, and no alias names it."""


@dataclass(frozen=True, kw_only=True)
class Standing:
    """A block's model; None where there is no such version."""

    champion: Version | None
    newest: Version | None


@dataclass(frozen=True, kw_only=True)
class Card:
    """What a version tells of itself, beside why it is the champion or not."""

    text: str
    """Markdown, for its description; begins with `BEGIN`."""
    tags: dict[str, str]
    """By which versions are found and told apart."""
    BEGIN: ClassVar[str] = "# Model card"


@dataclass(frozen=True, kw_only=True)
class Ruling:
    """Whether a version becomes the champion, and why."""

    moves: bool
    why: str
    test_digest: str | None
    """Of the test data that decided; None where nothing was measured."""
