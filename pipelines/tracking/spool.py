"""A training's folder as the tracker sees it: facts, params, points, pictures. Reads files, knows no mlflow."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from pipelines import files, paths
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
        return f"{self.facts['training']}-{self.facts['cell']}-{self.id[:6]}"

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


def model_name(suite: str, block: str) -> str:
    """`rnn-<block>` for the sample suite, `rnn-<suite>-<block>` for another: suites never share an alias."""
    return f"rnn-{block}" if suite == "sample" else f"rnn-{suite}-{block}"


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


def digest(training: Training) -> str:
    """Digest of the training's Arrow folder: DVC's where `dvc.lock` names it, else our own."""
    suite, block = training.facts["suite"], training.facts["block"]
    lock = paths.params_file(suite).with_name("dvc.lock")
    wanted = paths.arrow(suite, block).relative_to(paths.root()).as_posix()
    stages = (yaml.safe_load(lock.read_text(encoding="utf-8")) or {}).get("stages", {}) if lock.exists() else {}
    for stage in stages.values():
        for out in stage.get("outs", ()):
            if out["path"] == wanted and "md5" in out:
                return str(out["md5"])[:DIGEST]
    return str(training.facts["data_digest"])[:DIGEST]


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
