"""What a task is: a module of this folder, found by its file name.

A task says how raw text becomes examples and rows of its kind, and which scores it reports; the stages do the rest.
"""

import importlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol, cast

from torch import Tensor

from rnn_core.arrow import Columns
from rnn_core.errors import ConfigError
from rnn_core.lanes import Windows
from rnn_core.networks import Network

Counts = dict[str, Counter[str]]
"""How often what occurs, by name of the thing counted: {"words": ..., "characters": ...}."""
Sidecar = Mapping[str, Any]
"""What the training split says about all data (vocabulary and the like), fit for JSON."""
Row = dict[str, Any]
"""One row of the kind's Arrow schema."""
Sums = dict[str, Tensor]
"""What an evaluation adds up (float64), by name."""
Table = list[dict[str, Any]]
"""Rows of equal keys."""


@dataclass(frozen=True)
class Matrix:
    """How often what was right (rows) was answered as what (columns)."""

    names: list[str]
    counts_VV: Tensor


@dataclass(frozen=True)
class Where:
    """Where a chunk of raw text stands in its file."""

    file: str
    line: int
    """Number of the chunk's first line, from 1."""
    first: bool
    """The chunk begins the file (or the part of it that is the split)."""
    last: bool
    """The chunk ends it."""

    def at(self, lines: int) -> str:
        """`file:line` of the place that many lines after the chunk's first."""
        return f"{self.file}:{self.line + lines}"


@dataclass(frozen=True)
class BadRecord:
    """A piece of raw data that is no example: quarantined and counted."""

    where: str
    found: str
    allowed: str
    text: str


class Example(Protocol):
    """What `read` yields: a frozen dataclass of plain values."""

    @property
    def records(self) -> int:
        """How many records of the raw file it stands for; 0 where it goes on with the record before."""
        ...


class Task(Protocol):
    """The interface of a task's module."""

    __name__: str
    KIND: str
    METRICS: dict[str, Literal["max", "min"]]
    """What is measured; the first one decides by default."""
    RECORD_END: bytes
    """After it a raw file may be cut into chunks (CRLF has become LF before)."""
    STREAM: bool
    """The raw file is one endless sequence: one file is split by position, and a record may be cut anywhere."""
    Data: type
    """Frozen dataclass of the task's keys in `data`."""

    def raw_files(self, raw: Path, dataset: str) -> dict[str, Path]:
        """The file of each split in a known data set's folder."""
        ...

    def read(self, chunk: bytes, where: Where, data: Any) -> Iterator[Any]:
        """The examples and bad records of a chunk, in order."""
        ...

    def count(self, examples: Iterable[Any]) -> Counts:
        """What the sidecar is made from; the counts of parts add up to those of the whole (`merge`)."""
        ...

    def sidecar(self, counts: Counts, data: Any) -> dict[str, Any]:
        """Made from the counts of the training split."""
        ...

    def encoder(self, sidecar: Sidecar) -> Callable[[Any], Row]:
        """A function from an example to its row; made once, because its tables cost more than a row."""
        ...

    def raw_example(self, text: str, sidecar: Sidecar) -> Any:
        """An example from what a user typed."""
        ...

    def example_text(self, columns: Columns, sidecar: Sidecar) -> str:
        """What a user might type, made from the training split: the registered model's input example."""
        ...

    def sizes(self, config: Any, sidecar: Sidecar) -> Any:
        """The kind's `Sizes` for a model of these settings."""
        ...

    def measure(self, network: Network, windows: Windows, sidecar: Sidecar) -> Sums:
        """One pass over the windows with frozen weights; the sums of parts of the data add up to those of the whole."""
        ...

    def metrics(self, sums: Sums, sidecar: Sidecar) -> dict[str, float]:
        """The scores by the names in METRICS (those that the data's level has), and the loss."""
        ...

    def tables(self, sums: Sums, sidecar: Sidecar) -> dict[str, Table | Matrix]:
        """What stands behind the scores, by name."""
        ...

    def answers(self, network: Network, texts: list[str], sidecar: Sidecar) -> list[dict[str, Any]]:
        """What the model says to each text that a user gives, as JSON values."""
        ...


def names() -> list[str]:
    return sorted(path.stem for path in Path(__file__).parent.glob("[a-z]*.py"))


def load(name: str) -> Task:
    """The task of that name.

    Raises:
        ConfigError: there is none; the choices are listed.
    """
    if name not in names():
        raise ConfigError("task", f"no task `{name}`", f"one of {', '.join(names())}")
    return cast(Task, importlib.import_module(f"{__name__}.{name}"))


def merge(counts: Counts, more: Counts) -> Counts:
    """Counts of two parts as those of the whole; `counts` is changed and returned."""
    for name, counter in more.items():
        counts.setdefault(name, Counter()).update(counter)
    return counts


def by_count(counter: Counter[str]) -> list[str]:
    """By falling count, ties by text: the same order whatever the order of counting."""
    return sorted(counter, key=lambda text: (-counter[text], text))


def split_files(raw: Path, names: Mapping[str, str]) -> dict[str, Path]:
    return {split: raw / name for split, name in names.items()}
