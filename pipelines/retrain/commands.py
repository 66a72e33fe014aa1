"""The commands of a tick: each in a process group of its own, its output in the tick's log, ended in time."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, TextIO

from pipelines.retrain import environment
from pipelines.retrain.outcome import CommandFailed, Overdue, Stopped

LOOK_SECONDS = 0.1
ENDING = ((signal.SIGINT, 15.0), (signal.SIGTERM, 10.0), (signal.SIGKILL, 10.0))
"""What ends a group, and the seconds that it is given: as a person would with Ctrl-C, so that a stage puts things in
order; then less kindly, as DVC goes on to the next stage after that."""


class Commands:
    """Runs one command at a time in the clone."""

    def __init__(
        self,
        log: Path,
        lock: TextIO,
        deadline: float | None = None,
        began: Callable[[int], None] = lambda group: None,
    ):
        """
        Args:
            log: that output is added to.
            lock: which a command holds too, so that nobody begins beside it should this process be killed.
            deadline: by `time.monotonic`; None: none.
            began: is told the process group of each.
        """
        self._log, self._lock, self._deadline, self._began = log, lock, deadline, began

    def run(self, command: Sequence[str], folder: Path) -> "Ended":
        """To its end, whatever its status.

        Raises:
            Overdue, Stopped: the command has been ended.
        """
        with self._log.open("ab") as log:
            log.write(f"\n$ {' '.join(_short(word) for word in command)}\n".encode())
            log.flush()
            begin = log.tell()
            process = subprocess.Popen(
                command,
                cwd=folder,
                env=environment.of_commands(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=[self._lock.fileno()],
                start_new_session=True,
            )
        self._began(process.pid)
        with self._log.open("rb") as said, _ending(process):
            said.seek(begin)
            while process.poll() is None:
                _show(said)
                if self._deadline is not None and time.monotonic() > self._deadline:
                    raise Overdue
                time.sleep(LOOK_SECONDS)
            _show(said)
            said.seek(begin)
            return Ended(status=process.returncode, said=said.read().decode(errors="replace"))

    def dvc(self, folder: Path, *arguments: str) -> None:
        """
        Raises:
            CommandFailed: with what DVC said.
        """
        ended = self.run([sys.executable, "-m", "dvc", *arguments], folder)
        if ended.status:
            raise CommandFailed(f"dvc {arguments[0]}: {ended.complaint}")


@dataclass(frozen=True, kw_only=True)
class Ended:
    """A command."""

    status: int
    said: str

    @property
    def complaint(self) -> str:
        return complaint(self.said)


def complaint(said: str) -> str:
    """The last line that names an error, else the last one."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    named = [line for line in lines if line.lower().startswith(("error:", "fatal:"))]
    return (named or lines or ["no reason given"])[-1][:500]


@contextlib.contextmanager
def signals() -> Iterator[None]:
    """SIGTERM and Ctrl-C as `Stopped`, once: what is put in order afterwards is not interrupted by the next one."""

    def stop(number: int, _frame: object) -> None:
        for one in before:
            signal.signal(one, lambda *_: None)
        raise Stopped(signal.Signals(number).name)

    before = {one: signal.signal(one, stop) for one in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)


def end_group(group: int) -> None:
    """End all processes of a group, kindly first."""
    for number, seconds in ENDING:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(group, number)
        until = time.monotonic() + seconds
        while members(group):
            if time.monotonic() > until:
                break
            time.sleep(LOOK_SECONDS)


def members(group: int) -> list[int]:
    """Processes of a group that are alive; one that has ended and that nobody has asked for is not."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            with contextlib.suppress(OSError):
                state, _, number = (entry / "stat").read_text().rpartition(") ")[2].split()[:3]
                if int(number) == group and state != "Z":
                    found.append(int(entry.name))
    return found


@contextlib.contextmanager
def _ending(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """No command outlives what waits for it."""
    try:
        yield
    finally:
        if process.poll() is None:
            end_group(process.pid)
            process.wait()


def _show(said: BinaryIO) -> None:
    """What has been added to the log since the last time, on our own output."""
    if new := said.read():
        tell(new.decode(errors="replace"))


def tell(text: str) -> None:
    """On our own output; where nobody reads it any more, the tick goes on, and its folder has it."""
    with contextlib.suppress(BrokenPipeError):
        sys.stdout.write(text)
        sys.stdout.flush()


def _short(word: str) -> str:
    return "python" if word == sys.executable else word
