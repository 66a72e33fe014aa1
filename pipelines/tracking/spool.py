"""A training's folder as the tracker sees it: facts, params, points, pictures. Reads files, knows no mlflow."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from pipelines import cost, dvc_lock, files, paths, points
from rnn_core.errors import DataError

BATCH = 1000
"""Most values in one request (mlflow's limit)."""
DIGEST = 36
"""Longest digest of a dataset input; DVC's `<md5>.dir` fits exactly."""


class Value(NamedTuple):
    """One number of a learning curve. `time` in milliseconds since 1970."""

    key: str
    value: float
    time: int
    step: int


@dataclass(frozen=True, kw_only=True)
class Sent:
    """The training's run; `new`: whether the server lacked a part of it."""

    run_id: str
    new: bool


@dataclass(frozen=True, kw_only=True)
class Training:
    """What `run.json` and `params.json` say of a training, running or finished."""

    folder: Path
    facts: dict[str, Any]
    params: dict[str, Any]

    @property
    def id(self) -> str:
        return str(self.facts["training_id"])

    @property
    def experiment(self) -> str:
        return f"{self.facts['suite']}/{self.facts['block']}"

    @property
    def name(self) -> str:
        """A sweep's own run has no cell: its trials have."""
        return "-".join(filter(None, (self.facts["training"], self.facts.get("cell"), self.id[:6])))

    @property
    def role(self) -> str:
        """`recurrent` or `baseline` of a block; `sweep` and its `trial` say so themselves."""
        role = "recurrent" if self.facts["training"].startswith("recurrent") else "baseline"
        return str(self.facts.get("role", role))

    @property
    def parent(self) -> "Training | None":
        """The sweep that it is a trial of."""
        return read(self.folder / self.facts["parent"]) if "parent" in self.facts else None

    @property
    def points(self) -> Path:
        return self.folder / "points.jsonl"

    @property
    def num_bytes(self) -> int:
        """Size of the curve's file, 0 before its first point."""
        return self.points.stat().st_size if self.points.exists() else 0

    @property
    def finished(self) -> bool:
        return self.facts.get("status") == "finished"

    def time(self, key: str) -> int | None:
        """`started` or `finished` in milliseconds since 1970."""
        text = self.facts.get(key)
        return int(datetime.fromisoformat(text).timestamp() * 1000) if text else None


def read(folder: Path) -> Training:
    """
    Raises:
        DataError: `run.json` or `params.json` is missing or damaged.
    """
    return Training(folder=folder, facts=_mapping(folder / "run.json"), params=_mapping(folder / "params.json"))


def batches(path: Path, start: int) -> Iterator[tuple[list[Value], int]]:
    """The curve from byte `start` on: at most `BATCH` values, and the byte behind the last line they come from.

    A last line without its end is still being written, and left for the next time.
    """
    values: list[Value] = []
    with path.open("rb") as file:
        file.seek(start)
        for line in file:
            if not line.endswith(b"\n"):
                break
            new = _values(line, path, start)
            if len(values) + len(new) > BATCH:
                yield values, start
                values = []
            values += new
            start += len(line)
    if values:
        yield values, start


def last_time(training: Training) -> int | None:
    """When the training was last seen alive, in milliseconds since 1970: its end, else its last point."""
    if not training.num_bytes:
        return training.time("finished")
    *_, (values, _) = batches(training.points, 0)
    return training.time("finished") or values[-1].time


def cost_of(training: Training) -> dict[str, float]:
    """What a finished training took of its machines: `core_seconds` and `gpu_seconds`, and its median
    `tokens_per_second`."""
    held = cost.device_seconds(training.facts)
    rate = cost.tokens_per_second(points.read(training.folder)) if held else None
    return held if rate is None else held | {"tokens_per_second": rate}


def digest(training: Training) -> str:
    """Digest of the training's Arrow folder: DVC's where `dvc.lock` names it, else our own."""
    suite, block = training.facts["suite"], training.facts["block"]
    return (dvc_lock.md5(suite, paths.arrow(suite, block)) or str(training.facts["data_digest"]))[:DIGEST]


def _values(line: bytes, path: Path, start: int) -> list[Value]:
    try:
        point = json.loads(line)
        values = {**point["values"], "seconds": point["seconds"]}
        return [Value(key, float(value), point["time"], point["step"]) for key, value in values.items()]
    except (ValueError, KeyError, TypeError) as error:
        allowed = "lines with step, time, seconds and values are wanted"
        raise DataError(f"{path}, byte {start}", f"no point: {line[:80]!r}", allowed) from error


def _mapping(path: Path) -> dict[str, Any]:
    try:
        return dict(files.read_json(path))
    except (OSError, ValueError) as error:
        raise DataError(str(path), f"cannot be read: {error}", "the file that `train` writes is wanted") from error
