"""The points of a training's curves as a file: `points.jsonl`, one line a point, appended as they come.

This file is the record; a tracking server receives copies of it. A step is recorded once ever: steps that a restart
computes again give the same numbers, so their points are not written again.
"""

import json
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

NAME = "points.jsonl"


class Recorder:
    """Appends points; opened on a file that a killed process left, it goes on behind the last whole line."""

    def __init__(self, folder: Path):
        path = folder / NAME
        self._last = dict.fromkeys(("train", "validation"), -1)
        whole = 0
        if path.exists():
            content = path.read_bytes()
            whole = content.rfind(b"\n") + 1
            for line in content[:whole].splitlines():
                point = json.loads(line)
                self._last[_kind(point["values"])] = point["step"]
        self._file = path.open("ab")
        self._file.truncate(whole)

    def add(self, step: int, seconds: float, values: Mapping[str, float]) -> None:
        """A point at an update; all its values are of one kind, `train/...` or `validation/...`.

        Args:
            seconds: of training so far, without the time between a kill and a restart.
        """
        self.take({"step": step, "time": int(time.time() * 1000), "seconds": round(seconds, 3), "values": dict(values)})

    def take(self, point: Mapping[str, Any]) -> None:
        """A point as `add` makes it, unless its step is recorded already."""
        kind = _kind(point["values"])
        if point["step"] > self._last[kind]:
            self._last[kind] = point["step"]
            self._file.write(json.dumps(point).encode() + b"\n")
            self._file.flush()

    def close(self) -> None:
        self._file.close()


def read(folder: Path) -> list[dict[str, Any]]:
    """All whole points of a training, in the order of their recording."""
    return list(Tail(folder).new())


class Tail:
    """Reads a file of points that is still being written: each call of `new` gives what has come since."""

    def __init__(self, folder: Path):
        self._path, self._offset = folder / NAME, 0

    def new(self) -> Iterator[dict[str, Any]]:
        if not self._path.exists():
            return
        with self._path.open("rb") as file:
            file.seek(self._offset)
            for line in file:
                if not line.endswith(b"\n"):
                    return
                self._offset += len(line)
                yield json.loads(line)


def _kind(values: Mapping[str, Any]) -> str:
    kinds = {name.split("/")[0] for name in values}
    assert len(kinds) == 1, f"one kind of values a point, found {sorted(kinds)}"
    return kinds.pop()
