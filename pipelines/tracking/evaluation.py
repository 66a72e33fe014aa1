"""How good a training is and on which data: what decides whether its version becomes the champion."""

from dataclasses import dataclass
from typing import Any, Literal


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
        """What is written on the version, and later read back by `verdict`."""
        return {
            "metric": self.metric,
            "direction": self.direction,
            "score": repr(self.score),
            "test_digest": self.test_digest,
        }


@dataclass(frozen=True, kw_only=True)
class Registered:
    """A model version; `new`: the registry lacked it, or its evaluation; `why` it is the champion or not."""

    name: str
    version: int
    new: bool
    why: str


def verdict(own: Evaluation, champion: int | None, tags: dict[str, str]) -> tuple[bool, str]:
    """Whether the alias moves to the version with the evaluation `own`, and why.

    Args:
        champion: version that holds the alias now, if any.
        tags: the tags of that version.
    """
    if champion is None:
        return True, f"champion: the first one, {own.metric} {own.score:.6g}"
    if any(tags.get(key) != value for key, value in own.tags().items() if key in ("metric", "test_digest")):
        return False, f"no champion: version {champion} holds the alias, and was measured on other data or otherwise"
    other = float(tags["score"])
    better = own.score > other if own.direction == "max" else own.score < other
    compared = f"{own.metric} {own.score:.6g} against {other:.6g} of version {champion} on the same test data"
    return better, f"champion: better, {compared}" if better else f"no champion: not better, {compared}"
