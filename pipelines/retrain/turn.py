"""One tick at a time in a work folder: a second one waits, steps back, or replaces the one at work."""

import contextlib
import json
import os
import signal
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

from pipelines import locks
from pipelines.retrain.commands import end_group, members
from pipelines.retrain.settings import WhenBusy

REPLACE_SECONDS = 120.0
"""How long a tick that is replaced has for its end and its summary."""


class Busy(Exception):
    """Another tick is at work; says which."""


class Turn:
    """The lock, and who holds it, as others read it."""

    def __init__(self, file: TextIO):
        self.file = file
        self.tell()

    def tell(self, group: int | None = None) -> None:
        """
        Args:
            group: of the command that holds the lock too.
        """
        who = {"process": os.getpid(), "host": socket.gethostname(), "group": group}
        self.file.truncate(0)
        self.file.write(json.dumps(who | {"since": time.strftime("%Y-%m-%d %H:%M:%S")}) + "\n")
        self.file.flush()


@contextlib.contextmanager
def taken(work: Path, when_busy: WhenBusy) -> Iterator[Turn]:
    """
    Raises:
        Busy: another tick has it, and is neither waited for nor replaced.
    """
    path = work / "tick.lock"
    seconds = {"wait": float("inf"), "leave": 0.0, "replace": REPLACE_SECONDS}[when_busy]

    def waits(who: str) -> None:
        print(f"retrain: another tick is at work: {who or 'it does not say which'}", flush=True)
        if when_busy == "replace":
            _replace(path, who)

    with contextlib.ExitStack() as until:
        try:
            file = until.enter_context(locks.held(path, waits=waits, seconds=seconds))
        except TimeoutError:
            raise Busy(path.read_text(encoding="utf-8").strip()) from None
        yield Turn(file)


def _replace(path: Path, who: str) -> None:
    """Ask the tick at work to end; where it is dead, end what it left running."""
    facts = _facts(who)
    if facts.get("host") != socket.gethostname():
        print("retrain: it runs on another host, and is waited for", file=sys.stderr, flush=True)
        return
    if _has_open(facts["process"], path):
        os.kill(facts["process"], signal.SIGTERM)
    elif facts["group"] is not None and any(_has_open(one, path) for one in members(facts["group"])):
        end_group(facts["group"])


def _facts(who: str) -> dict[str, Any]:
    try:
        return dict(json.loads(who))
    except ValueError:
        return {}


def _has_open(process: int, path: Path) -> bool:
    """Whether this process has the file open: ids are used again, and what is ended must be the lock's."""
    with contextlib.suppress(OSError):
        wanted = path.stat()
        for descriptor in Path(f"/proc/{process}/fd").iterdir():
            with contextlib.suppress(OSError):
                if os.path.samestat(descriptor.stat(), wanted):
                    return True
    return False
