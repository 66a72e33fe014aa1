"""The curve on the server while the driver trains: a thread that tails `points.jsonl`.

It never raises and never makes the training wait. A server that is slow, away or back again makes it try later; the
file holds every point meanwhile. What the server does not know at the end stands in `open_runs`, as it does after a
crash.
"""

import os
import sys
import threading
from pathlib import Path
from types import TracebackType
from typing import Self

from pipelines.tracking import environment, open_runs
from pipelines.tracking.open_runs import OpenRun
from pipelines.tracking.tracker import Tracker, connect

LONGEST_PAUSE = 15
"""Between two attempts at a server that is away, in intervals."""
END_SECONDS, END_SECONDS_AWAY = 10.0, 3.0
"""How long the end of a training waits for a server that answers, and for one that did not when it was last asked."""
NICENESS = 10
"""The thread gives way to the training where both want the same core."""


class Live:
    """Sends a training's new points every few seconds; as a context, also how it ended.

    The folder holds `run.json` and `params.json` from the start. `close` is called while it is still in its place,
    after `run.json` and the pictures are final.
    """

    def __init__(self, folder: Path, interval: float = 2.0) -> None:
        """
        Args:
            folder: the training's.
            interval: seconds between two looks at the file.
        """
        self.folder, self.interval = folder, interval
        self._away = False
        self._status: str | None = None
        self._closing = threading.Event()
        self._given_up = threading.Event()
        self._all_sent = False
        self._open: OpenRun | None = None
        self._settled = False
        self._thread = threading.Thread(target=self._tail, name=f"tracking {folder.name}", daemon=True)
        self._thread.start()

    def close(self, status: str, timeout: float | None = None) -> bool:
        """Send the rest and end the run.

        Args:
            status: FINISHED, FAILED or KILLED.
            timeout: seconds after which the rest is left to `register`; None: 10, or 3 where the server is away.

        Returns:
            Whether the server has everything.
        """
        self._status = status
        self._closing.set()
        self._thread.join(timeout or (END_SECONDS_AWAY if self._away else END_SECONDS))
        if not self._all_sent:
            self._say("the server does not have all of it; it waits in the folder, `register` sends it")
        self._given_up.set()
        return self._all_sent

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        stopped = kind is not None and not issubclass(kind, Exception)
        self.close("KILLED" if stopped else "FAILED" if kind else "FINISHED")

    def _tail(self) -> None:
        _give_way()
        connection: tuple[Tracker, str, int | None] | None = None
        pause = 0.0
        while not self._closing.wait(pause):
            connection = self._attempt(connection)
            pause = self.interval if connection else min(max(pause, self.interval) * 2, self.interval * LONGEST_PAUSE)
        if self._open and self._status:
            self._open.ending(self._status)
        if self._attempt(connection, self._status):
            self._all_sent = True
        elif self._open:
            self._open.release()

    def _attempt(
        self, connection: tuple[Tracker, str, int | None] | None, status: str | None = None
    ) -> tuple[Tracker, str, int | None] | None:
        """Send what is new, and the end if there is one. Returns None where the next attempt must connect anew."""
        try:
            self._open = self._open or open_runs.hold(self.folder, environment.uri())
            if connection is None:
                tracker = connect()
                connection = tracker, tracker.start(self.folder), None
            tracker, run_id, start = connection
            start = tracker.send_points(run_id, self.folder, start)
            if status:
                tracker.end(run_id, status)
                self._open.ended()
            elif not self._settled:
                tracker.settle()
                self._settled = True
        except Exception as error:  # whatever it is, it must not end a training of hours
            if not self._away:
                self._say(f"will be tried again: {error}")
            self._away = True
            return None
        if self._away:
            self._say("the server is there again")
        self._away = False
        return tracker, run_id, start

    def _say(self, what: str) -> None:
        if not self._given_up.is_set():
            print(f"tracking {self.folder.name}: {what}", file=sys.stderr, flush=True)


def _give_way() -> None:
    """Lower the priority of this thread, where the system has such a thing."""
    if sys.platform == "linux":
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), os.getpriority(os.PRIO_PROCESS, 0) + NICENESS)
