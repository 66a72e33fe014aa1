"""What a task is: a module of this folder, found by its file name.

A task says how raw data become examples and rows of its kind, and which scores it reports; the stages do the rest.

All tasks have the members of `Task`. What `RAW` says adds those of one protocol more:

    "text"     `TextTask`: a text file for each split, or one for all, cut where records end
    "aligned"  `AlignedTask`: files of text whose lines belong together, such as a language each
    "items"    `ItemTask`: files of which each is a record (a recording, an image), or tables that are read whole

Raw data of more sorts than these (an index with its files, one table with all splits) are items: the task lists them,
and each is the work of one call of `read`, in whatever process. With "items", an example (and a bad record) may have a
field `split`: where one file holds several splits, by time or by series, the task decides it there.

A task that names simple baselines in `SIMPLE` has the function of `Simply`; one that has more to show of its errors
than sums can say has that of `Analysed`; one whose fresh weights are not all drawn has that of `Begun`.
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
class Picture:
    """Numbers that are looked at as an image: attention, an alignment, a spectrogram."""

    rows: list[str]
    columns: list[str]
    values_RC: Tensor


@dataclass(frozen=True)
class Fan:
    """Forecasts beside what came: a panel each."""

    titles: list[str]
    histories: list[list[float]]
    """The values before each origin; NaN where missing, or before the first one."""
    quantiles: list[Tensor]
    """(steps, levels) of each, levels rising and symmetric."""
    actual: list[list[float]]
    value: str
    """What is foretold."""


@dataclass(frozen=True)
class Where:
    """Where a chunk of raw text stands in its file. Of an item: its name, line 1, the first and the last."""

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
    split: str | None = None
    """Where the task knows it and the source does not."""


@dataclass(frozen=True)
class Item:
    """A unit of raw data that is read by itself. A file that is missing or empty makes it a bad record."""

    name: str
    """For messages: the way to it from the raw folder."""
    paths: tuple[Path, ...]
    """The files it is read from."""
    split: str | None
    """None: the examples say it, or it follows from the hash of each example."""
    about: Any = None
    """What an index says of it (captions, a transcript, a label), as JSON values."""
    size: int | None = None
    """Bytes that are read for it, where it is a part of its files; None: all of them."""


@dataclass(frozen=True)
class Simple:
    """What the field's simple baseline came to."""

    scores: dict[str, float]
    """On the test split, by the names in METRICS."""
    chosen: str
    """What was fitted, and what was chosen on the validation split; printed."""


class Example(Protocol):
    """What `read` yields: a frozen dataclass of plain values, arrays or bytes. May have a field `split`."""

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
    RAW: Literal["text", "aligned", "items"]
    """What raw data are, see the top of this file."""
    INPUT: Literal["text", "file", "table"]
    """What a user gives for an answer, and the column of the served model: a text (str), the contents of a file (bytes;
    base64 in the column `file`), a table as the text of a CSV file (str)."""
    SIMPLE: tuple[str, ...]
    """Names of the field's simple baselines, `()` for none."""
    REQUIREMENTS: tuple[str, ...]
    """Packages beside those of all tasks that an answer needs: a registered model names them."""
    Data: type
    """Frozen dataclass of the task's keys in `data`."""

    def read(self, chunk: Any, where: Where, data: Any) -> Iterator[Any]:
        """The examples and bad records of a chunk, in order: bytes for "text", bytes of each side for "aligned", an
        `Item` for "items"."""
        ...

    def count(self, examples: Iterable[Any]) -> Counts:
        """What the sidecar is made from; the counts of parts add up to those of the whole (`merge`). Sums of features
        are counted as whole numbers of a small unit, so that their order does not matter."""
        ...

    def sidecar(self, counts: Counts, data: Any) -> dict[str, Any]:
        """Made from the counts of the training split."""
        ...

    def encoder(self, sidecar: Sidecar) -> Callable[[Any], Row]:
        """A function from an example to its row; made once, because its tables cost more than a row."""
        ...

    def raw_example(self, given: Any, sidecar: Sidecar) -> Any:
        """An example from what a user gives (`INPUT`); DataError where it cannot be read."""
        ...

    def example_input(self, columns: Columns, sidecar: Sidecar, raw: Path) -> Any:
        """What a user might give (`INPUT`), small, from the training split: the registered model's input example.

        Args:
            columns: of the training split.
            raw: the raw folder.
        """
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

    def tables(self, sums: Sums, sidecar: Sidecar) -> Mapping[str, Table | Matrix | Fan]:
        """What stands behind the scores, by name."""
        ...

    def answers(self, network: Network, inputs: list[Any], sidecar: Sidecar) -> list[dict[str, Any]]:
        """What the model says to each input that a user gives (`INPUT`), as JSON values."""
        ...


class TextTask(Task, Protocol):
    """RAW = "text"."""

    RECORD_END: bytes
    """After it a raw file may be cut into chunks (CRLF has become LF before)."""
    STREAM: bool
    """The raw file is one endless sequence: one file is split by position, and a record may be cut anywhere."""

    def raw_files(self, raw: Path, dataset: str) -> dict[str, Path]:
        """The file of each split in a known data set's folder."""
        ...


class AlignedTask(Task, Protocol):
    """RAW = "aligned": line n of all sides of a split is one record; `read` gets whole lines, equally many of each.

    A side's file is `<stem>.<side>`, or that with `.gz`. In a block, `data.files` names the stems.
    """

    def sides(self, data: Any) -> tuple[str, ...]:
        """The endings of the files that belong together, such as ("en", "de")."""
        ...

    def raw_files(self, raw: Path, dataset: str) -> dict[str, Path]:
        """The stem of each split in a known data set's folder."""
        ...


class ItemTask(Task, Protocol):
    """RAW = "items": `read` gets one item."""

    def items(self, raw: Path, dataset: str, files: Mapping[str, Path] | None, data: Any) -> Iterator[Item | BadRecord]:
        """All of them in their order; a bad record stands for a line of an index that cannot be read.

        Args:
            files: the file or folder of each split as `data.files` names it; None where it does not.
        """
        ...


class Simply(Protocol):
    """A task with simple baselines."""

    def simple(self, splits: Mapping[str, Columns], sidecar: Sidecar) -> Mapping[str, Simple]:
        """By the names in SIMPLE (those that fit the data): fitted on the training split, all choices made on the
        validation split."""
        ...


class Analysed(Protocol):
    """A task that shows more of its errors than `tables` can."""

    def analysis(
        self, network: Network, windows: Windows, columns: Columns, sidecar: Sidecar
    ) -> Mapping[str, Table | Matrix | Picture | Fan]:
        """By name, from the test split: examples with the largest loss, where the attention was, ..."""
        ...


class Begun(Protocol):
    """A task whose fresh weights may come from elsewhere: word vectors, another model."""

    def begin(self, network: Network, model: Mapping[str, Any], sidecar: Sidecar, root: Path) -> None:
        """Set weights of a network that was just drawn; paths in the block's `model` are relative to `root`.

        Raises:
            UserError: a file is missing, or not the one that the block's checksum names.
        """
        ...


SORTS: dict[str, type] = {"text": TextTask, "aligned": AlignedTask, "items": ItemTask}
"""By RAW, what such a task has to offer."""


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
