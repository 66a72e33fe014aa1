"""What became of each stage, from what `dvc repro` (3.67) says while it runs."""

import re
from dataclasses import dataclass

from pipelines.retrain.commands import complaint

LINES = {
    "ran": re.compile(r"Running stage '([^']+)':"),
    "restored": re.compile(r"Stage '([^']+)' is cached - skipping run, checking out outputs"),
    "unchanged": re.compile(r"Stage '([^']+)' didn't change, skipping|Pulling data for stage: '([^']+)'"),
}
FAILED = re.compile(r"ERROR: failed to reproduce(?: stages:)? (.+)")
SKIPPED = re.compile(r"Stages? (.+) will be skipped due to this failure")


@dataclass(frozen=True, kw_only=True)
class Stages:
    """Names of stages, without the dvc.yaml they stand in, each in one of the tuples."""

    ran: tuple[str, ...] = ()
    """In this tick, also before it was killed and taken up."""
    restored: tuple[str, ...] = ()
    """From the run cache: an earlier run had the same inputs."""
    unchanged: tuple[str, ...] = ()
    failed: tuple[tuple[str, str], ...] = ()
    """Each with its reason."""
    not_reached: tuple[str, ...] = ()
    """They wait for what failed."""


def read(log: str) -> Stages:
    """Of all that a tick's log holds, attempt after attempt: what ran once has run, what failed last has failed."""
    became: dict[str, str] = {}
    said: dict[str, list[str]] = {}
    failed: dict[str, str] = {}
    about: list[str] = []
    for line in log.splitlines():
        if begun := _begun(line):
            what, name = begun
            about = said[name] = []
            failed.pop(name, None)
            became[name] = "ran" if became.get(name) == "ran" else what
        elif found := SKIPPED.search(line):
            became |= dict.fromkeys(_names(found.group(1)), "not_reached")
        elif found := FAILED.match(line):
            failed |= {name: complaint("\n".join(said.get(name, about))) for name in _names(found.group(1))}
        elif not line.startswith("WARNING: failed to run"):
            about.append(line)
    kinds = (*LINES, "not_reached")
    by = {kind: tuple(name for name, one in became.items() if one == kind and name not in failed) for kind in kinds}
    return Stages(**by, failed=tuple(failed.items()))


def _begun(line: str) -> tuple[str, str] | None:
    """What DVC does with a stage, and its name, where the line says so."""
    for what, pattern in LINES.items():
        if found := pattern.match(line):
            return what, _short(next(filter(None, found.groups())))
    return None


def _names(listed: str) -> list[str]:
    return [_short(name) for name in re.findall(r"'([^']+)'", listed)]


def _short(address: str) -> str:
    return address.rpartition(":")[2]
