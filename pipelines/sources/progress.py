"""How far a download is, on stderr: one line that changes on a terminal, a line now and then in a log."""

import sys
import time
from collections.abc import Callable
from typing import TextIO


class Progress:
    """Counts bytes and shows them: `input.txt: 0.6 of 1.1 MB, 3.2 MB/s, 0:00 left`."""

    def __init__(
        self,
        name: str,
        total: int | None,
        done: int = 0,
        stream: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
    ):
        """
        Args:
            name: what is downloaded.
            total: its size in bytes, None where the server does not say.
            done: bytes that were there before.
            stream: where to write, stderr by default.
            clock: seconds from any moment on.
        """
        self._name, self._total, self._done, self._before = name, total, done, done
        self._stream, self._clock = stream or sys.stderr, clock
        self._began = self._shown = clock()
        self._live = self._stream.isatty()
        self._pause = 0.2 if self._live else 10.0

    def advance(self, count: int) -> None:
        """`count` more bytes have come."""
        self._done += count
        if self._clock() - self._shown >= self._pause:
            self._shown = self._clock()
            self._write(self._left())

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *_: object) -> None:
        self._write(f"{self._clock() - self._began:.1f} s")
        if self._live:
            self._stream.write("\n")
            self._stream.flush()

    def _rate(self) -> float:
        return (self._done - self._before) / max(self._clock() - self._began, 1e-3)

    def _left(self) -> str:
        if self._total is None or self._done == self._before:
            return "time left unknown"
        minutes, seconds = divmod(round((self._total - self._done) / self._rate()), 60)
        return f"{minutes}:{seconds:02} left"

    def _write(self, ending: str) -> None:
        of = "" if self._total is None else f" of {self._total / 1e6:.1f}"
        line = f"{self._name}: {self._done / 1e6:.1f}{of} MB, {self._rate() / 1e6:.1f} MB/s, {ending}"
        self._stream.write(f"\r{line}\x1b[K" if self._live else f"{line}\n")
        self._stream.flush()
