"""Runs that this checkout opened on a server and has not seen ended there: a file each, below `data/open_runs`.

The process that trains holds its file's lock, and the lock falls with that process, however it ends. A file that
nobody holds is a run that a crash, or a server that was away at the end, left RUNNING: whoever comes next with the
server there ends it (`Tracker.settle`). Knows no mlflow; where no file is, looking costs nothing.
"""

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

from pipelines import locks, paths
from pipelines.tracking import environment, spool


class OpenRun:
    """One run's file, locked by this process: a line of facts, then one that says how it ended, if that is known."""

    def __init__(self, path: Path, lock: TextIO, facts: dict[str, Any]):
        self._path, self._lock, self.facts = path, lock, facts

    @property
    def folder(self) -> Path:
        """The training's; gone where somebody removed it."""
        return paths.home() / self.facts["folder"]

    def ending(self, status: str) -> None:
        """Note how the training ended, before the server is told."""
        _append(self._lock, {"status": status})

    def ended(self) -> None:
        """The server knows the end."""
        self._path.unlink(missing_ok=True)
        self._lock.close()

    def release(self) -> None:
        """Leave it to whoever comes next."""
        self._lock.close()


def hold(folder: Path, uri: str) -> OpenRun:
    """The file of the training's run, made and locked; waits for one who is just ending an older run of it.

    Raises:
        DataError: `run.json` is missing or damaged.
    """
    training = spool.read(folder)
    facts: dict[str, Any] = {
        "training_id": training.id,
        "experiment": training.experiment,
        "folder": os.path.relpath(folder, paths.home()),
        "server": environment.shown(uri),
    }
    path = _place() / f"{training.id}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    while True:
        lock = path.open("a+", encoding="utf-8")
        while not locks.taken(lock):
            time.sleep(locks.LOOK_SECONDS)
        if _is_still(path, lock):
            lock.truncate(0)
            _append(lock, facts)
            return OpenRun(path, lock, facts)
        lock.close()


def left(uri: str) -> Iterator[OpenRun]:
    """Those of this server that no living process holds, each locked while the caller looks at it."""
    for path in sorted(_place().glob("*.json")):
        with path.open("a+", encoding="utf-8") as lock:
            if not locks.taken(lock) or not _is_still(path, lock):
                continue
            facts = _read(lock)
            if not facts:  # its maker died before the run was opened
                path.unlink()
            elif facts["server"] == environment.shown(uri):
                yield OpenRun(path, lock, facts)


def any_left() -> bool:
    """Whether there is anything to look at."""
    return any(_place().glob("*.json"))


def _place() -> Path:
    return paths.home() / "data/open_runs"


def _is_still(path: Path, lock: TextIO) -> bool:
    """Whether the locked file is the one of that name: who held it before may have removed it."""
    try:
        return os.path.samestat(path.stat(), os.fstat(lock.fileno()))
    except FileNotFoundError:
        return False


def _read(lock: TextIO) -> dict[str, Any]:
    """The whole lines together; nothing where there is none."""
    lock.seek(0)
    facts: dict[str, Any] = {}
    for line in lock:
        if line.endswith("\n"):
            facts |= json.loads(line)
    return facts


def _append(lock: TextIO, facts: dict[str, Any]) -> None:
    lock.write(json.dumps(facts) + "\n")
    lock.flush()
