"""What a tick is asked for, checked before anything is touched."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from pipelines import paths
from rnn_core.errors import ConfigError

CLONE = "repository"
"""Where the clone lies in a work folder."""
WhenBusy = Literal["wait", "leave", "replace"]


@dataclass(frozen=True, kw_only=True)
class Settings:
    repository: str
    """As git takes it: an address or a folder."""
    revision: str
    """A branch, a tag or a commit of it."""
    work: Path
    suite: str
    blocks: tuple[str, ...] = ()
    """None: all of the suite."""
    when_busy: WhenBusy = "leave"
    hours: float | None = None
    """How long a tick may take; None: as long as it takes."""
    push: bool = True
    """Whether the repository's branch is pushed."""

    def __post_init__(self) -> None:
        if self.suite not in paths.SUITES:
            raise ConfigError("--suite", f"found {self.suite!r}", f"there are {', '.join(paths.SUITES)}")
        parts = urlsplit(self.repository)
        if parts.scheme.startswith("http") and "@" in parts.netloc:
            allowed = "an address without one: git's credential helper, or an ssh key, keeps it out of process lists"
            raise ConfigError("--repository", "a user or password in the address", allowed)
        for option, value in (("--repository", self.repository), ("--revision", self.revision)):
            if not value or value.startswith("-"):
                raise ConfigError(option, f"found {value!r}", "an address or a folder, and a branch, tag or commit")
        if self.hours is not None and not self.hours > 0:
            raise ConfigError("--hours", f"found {self.hours:g}", "a number above 0")
        if self.work == paths.REPOSITORY or self.work in paths.REPOSITORY.parents:
            raise ConfigError("--work", f"{self.work} is this checkout", "a folder of its own, such as ~/retrain")

    @property
    def clone(self) -> Path:
        return self.work / CLONE

    @property
    def branch(self) -> str:
        """Where `dvc.lock` and scores go."""
        return f"retrain/{self.suite}"

    @property
    def about(self) -> dict[str, object]:
        """What makes two ticks the same job."""
        return {"repository": self.repository, "suite": self.suite, "blocks": list(self.blocks)}
