"""What the driver does while workers train: reads their points as they come, shows how far, and passes them on.

On a terminal one line is rewritten in place; elsewhere a line appears now and then.
"""

import sys
import threading
import time
from types import TracebackType
from typing import Any

from pipelines import points, tracking
from pipelines.cluster import metrics
from pipelines.job import Job

LOOK_SECONDS = 0.5
LINE_SECONDS = 10.0
LAGGING = 0.25
"""From here on a worker that needs longer than most is named: all others wait for it."""


class Watch:
    """For the duration of the block: progress of these trainings, one after another, in terminal and tracking."""

    def __init__(self, jobs: list[Job], experiment: str):
        self._jobs, self._experiment = jobs, experiment
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="watch", daemon=True)
        self._live: tracking.Live | None = None

    def __enter__(self) -> "Watch":
        threading.Thread(target=tracking.load, name="tracking", daemon=True).start()  # while the workers start
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()
        if self._live is not None:
            self._live.close("FINISHED" if kind is None else "KILLED" if kind is KeyboardInterrupt else "FAILED")

    def _watch(self) -> None:
        for job in self._jobs:
            tail = points.Tail(job.folder)
            line = _Line(f"{self._experiment}/{job.name}", job)
            while not self._over(job):
                self._look(job, tail, line)
                self._ended.wait(LOOK_SECONDS)
            self._look(job, tail, line)
            line.end()
            if not (job.folder / "finished.json").exists():
                return
            if self._live is not None:
                self._live.close("FINISHED")
                self._live = None

    def _over(self, job: Job) -> bool:
        return self._ended.is_set() or (job.folder / "finished.json").exists()

    def _look(self, job: Job, tail: points.Tail, line: "_Line") -> None:
        for point in tail.new():
            if self._live is None:
                self._live = tracking.Live(job.folder)
            line.take(point)
            metrics.export(self._experiment, job.name, point)
        line.show()


class _Line:
    """The line that says how far a training is."""

    def __init__(self, title: str, job: Job):
        self._title, self._epochs = title, job.train.epochs
        self._latest: dict[str, Any] = {}
        self._seconds = 0.0
        self._first: tuple[float, float] | None = None
        self._shown = 0.0
        self._terminal = sys.stdout.isatty()

    def take(self, point: dict[str, Any]) -> None:
        # All values of a kind come together: a worker that is gone lags no more.
        kind = next(iter(point["values"])).partition("/")[0]
        self._latest = {k: v for k, v in self._latest.items() if not k.startswith(f"{kind}/")} | point["values"]
        self._seconds = point["seconds"]
        epoch = point["values"].get("train/epoch")
        if epoch is not None and self._first is None:
            self._first = (epoch, self._seconds)

    def show(self, last: bool = False) -> None:
        now = time.monotonic()
        if not self._latest or (not last and now - self._shown < (LOOK_SECONDS if self._terminal else LINE_SECONDS)):
            return
        self._shown = now
        if self._terminal:
            print(f"\r\033[K{self._text()}", end="\n" if last else "", flush=True)
        else:
            print(self._text(), flush=True)

    def end(self) -> None:
        self.show(last=True)

    def _text(self) -> str:
        """What is known: a validation may come before the first point of the training's own curve."""
        values = self._latest
        epoch = values.get("train/epoch")
        parts = [f"{k} {v:.4g}" for k, v in values.items() if k.startswith("validation/")]
        if epoch is not None:
            began = [f"epoch {epoch:.1f} of {self._epochs}", f"loss {values['train/loss']:.3f} nats"]
            parts = [*began, *parts, f"{values['train/tokens_per_second']:,.0f} tokens/s"]
        if values.get("train/slowest_lag", 0.0) >= LAGGING:
            parts.append(
                f"worker {values['train/slowest_worker']:.0f} lags by {100 * values['train/slowest_lag']:.0f} %"
            )
        return f"{self._title}: {', '.join(parts)}, {_clock(self._seconds)} done, {self._left(epoch or 0.0)} left"

    def _left(self, epoch: float) -> str:
        if self._first is None or epoch <= self._first[0]:
            return "?"
        pace = (self._seconds - self._first[1]) / (epoch - self._first[0])
        return _clock(max(0.0, self._epochs - epoch) * pace)


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"
