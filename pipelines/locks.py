"""One process at a time: a lock is a file that a process holds, and falls with its process, however that ends."""

import contextlib
import fcntl
import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TextIO

from rnn_core.errors import DataError

LOOK_SECONDS = 0.2


@contextlib.contextmanager
def held(
    path: Path, *, name: str = "", waits: Callable[[str], None] | None = None, seconds: float = math.inf
) -> Iterator[TextIO]:
    """The lock's open file, as long as the block lasts; a child that is given it holds the lock too.

    Args:
        name: who holds it, for those who wait.
        waits: called once, with the name of whoever holds it (perhaps none), before waiting.
        seconds: to wait for it.

    Raises:
        TimeoutError: another process has held it for longer.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+", encoding="utf-8") as file:
        deadline = time.monotonic() + seconds
        while not taken(file):
            if waits is not None:
                file.seek(0)
                waits(file.read().strip())
                waits = None
            if time.monotonic() >= deadline:
                raise TimeoutError(f"another process holds {path}")
            time.sleep(LOOK_SECONDS)
        file.truncate(0)
        file.write(f"{name}\n" if name else "")
        file.flush()
        yield file


@contextlib.contextmanager
def alone(path: Path, seconds: float) -> Iterator[None]:
    """No two processes train at once what this lock stands for.

    Raises:
        DataError: another one has done so for longer than `seconds`.
    """
    with contextlib.ExitStack() as until:
        try:
            until.enter_context(held(path, seconds=seconds))
        except TimeoutError:
            found = "another process is training this"
            raise DataError(str(path.parent), found, "wait for it to end, or end it") from None
        yield


@contextlib.contextmanager
def shared(path: Path) -> Iterator[None]:
    """A lock that any number of processes hold, and `taken` by none of others meanwhile."""
    with path.open("a+", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_SH)
        yield


def taken(file: TextIO) -> bool:
    """Lock an open file, unless another process holds it."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
