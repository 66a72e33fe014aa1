"""Sequences on disk: an Arrow schema a kind, a writer of shards, and memory-mapped reading into numpy.

Uncompressed IPC files, so that a row is a slice of the mapped file: opening a split costs milliseconds and no heap.
No nulls; the vocabulary lies beside the shards, in `sidecar.json`.

A column is a list of int32 (ids), of float32 (features, all of a step one after another, steps in order) or of uint8
(bytes: an image, a text), or a single bool, int32 or float32. The steps of a row are the values of its first column,
unless the kind has a column `steps` (int32) that says how many there are: then each of its columns of features holds
steps times width values, and the width is the sidecar's or the model's to know.
"""

import json
import os
import re
import types
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from rnn_core.errors import DataError

FORMAT_VERSION = "1"
SPLITS = ("train", "validation", "test")
SHARD_BYTES = 64 << 20
BATCH_BYTES = 8 << 20

STEPS = "steps"
"""Name of the column that counts a row's steps where the first one does not."""


def _list(item: pa.DataType) -> pa.DataType:
    return pa.list_(pa.field("item", item, nullable=False))


_IDS, _FEATURES, _BYTES = _list(pa.int32()), _list(pa.float32()), _list(pa.uint8())


def _schema(**columns: pa.DataType) -> pa.Schema:
    return pa.schema([pa.field(name, kind, nullable=False) for name, kind in columns.items()])


SCHEMAS: dict[str, pa.Schema] = {
    # tokens: a piece of the stream; first: the piece begins a new sequence, all others go on with the one before.
    "language_model": _schema(tokens=_IDS, first=pa.bool_()),
    # An image with its captions. tokens: the words of all captions, each with its end; ends: where each caption ends in
    # `tokens`; texts: the captions as lines of words, known or not; image: colours of a square's pixels, row by row;
    # features: vectors of an outside encoder. The last two may be empty in all rows.
    "captioning": _schema(tokens=_IDS, ends=_IDS, texts=_BYTES, image=_BYTES, features=_FEATURES),
    # words and tags of a sentence; characters: those of all its words; ends: where each word ends in `characters`.
    "tagging": _schema(words=_IDS, tags=_IDS, characters=_IDS, ends=_IDS),
    # A series: values (NaN where missing); covariates of each step, known ahead (they go on past the values) and not;
    # a category each; where forecasts are asked for, and what they are measured by. See `rnn_core.series.windows`.
    "forecasting": _schema(
        values=_FEATURES,
        known=_FEATURES,
        past=_FEATURES,
        static=_IDS,
        origins=_IDS,
        units=_FEATURES,
        naive2=_FEATURES,
        lags=_IDS,
        horizon=pa.int32(),
        series=pa.int32(),
    ),
    # tokens, or features of frames, or pixels of frames (the others are empty); label: the class of the whole; name: of
    # the raw data it was read from, UTF-8.
    "classification": _schema(
        tokens=_IDS, features=_FEATURES, pixels=_BYTES, steps=pa.int32(), label=pa.int32(), name=_BYTES
    ),
    # target and source: two sequences that say the same, each with its end.
    "transduction": _schema(target=_IDS, source=_IDS),
    # an utterance: features of each step, and the labels of its transcript, which belong to no step.
    "recognition": _schema(features=_FEATURES, steps=pa.int32(), labels=_IDS),
}


@dataclass(frozen=True)
class Lists:
    """A column of N lists: row i is values[offsets[i]:offsets[i + 1]]."""

    values: NDArray[Any]
    """All rows one after another: int32, float32 or uint8. Read-only."""
    offsets: NDArray[np.int64]
    """N + 1 of them, from 0 to len(values)."""

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, row: int) -> NDArray[Any]:
        return self.values[self.offsets[row] : self.offsets[row + 1]]


class Values:
    """The values of a list column, all rows one after another, taken from the mapped files where they lie.

    With a `width`, what is counted is steps of so many values each.
    """

    def __init__(self, parts: Sequence[NDArray[Any]], width: int | None = None):
        self._parts = parts if width is None else [part.reshape(-1, width) for part in parts]
        self._begins = np.cumsum([0] + [len(part) for part in self._parts])

    def __len__(self) -> int:
        return int(self._begins[-1])

    def __getitem__(self, positions: NDArray[np.int64]) -> NDArray[Any]:
        """The values at these positions, in their shape (with the width as the last dimension, where there is one)."""
        if len(self._parts) == 1:
            return self._parts[0][positions]
        which = np.searchsorted(self._begins, positions, side="right") - 1
        values = np.empty(positions.shape + self._parts[0].shape[1:], self._parts[0].dtype)
        for number in np.unique(which):
            here = which == number
            values[here] = self._parts[number][positions[here] - self._begins[number]]
        return values


class Columns(Mapping[str, Any]):
    """The columns of a split by name: `Lists` for a list column, a numpy array for a column of single values.

    With one record batch the values are the mapped file itself. With several, a column is joined (copied) when it is
    first asked for; data that shall not be copied is had by `values_of` and `offsets_of`, or batch by batch.
    """

    def __init__(self, batches: Sequence[pa.RecordBatch], schema: pa.Schema, metadata: Mapping[str, Any]):
        self._batches, self._names = batches, schema.names
        self.metadata = types.MappingProxyType(dict(metadata))
        self.num_rows = sum(batch.num_rows for batch in batches)
        self._joined: dict[str, Any] = {}

    @cached_property
    def batches(self) -> list[dict[str, Any]]:
        """The columns of each record batch, never copied (offsets and single values are, being small)."""
        return [{name: _column(batch.column(name)) for name in self._names} for batch in self._batches]

    def __getitem__(self, name: str) -> Any:
        if name not in self._joined:
            self._joined[name] = _join(self._parts(name))
        return self._joined[name]

    def values_of(self, name: str, width: int | None = None) -> Values:
        """A list column's values, never copied; with a width, as steps of so many values."""
        return Values([part.values for part in self._parts(name)], width)

    def offsets_of(self, name: str) -> NDArray[np.int64]:
        """A list column's offsets in all its values, as those of `Lists`."""
        return _join_offsets(self._parts(name))

    def steps(self) -> NDArray[np.int64]:
        """lengths_N: how many steps each row has (see the top of this file)."""
        if STEPS in self._names:
            return np.asarray(self[STEPS], np.int64)
        return np.diff(self.offsets_of(self._names[0]))

    def _parts(self, name: str) -> list[Any]:
        if not self.batches:
            raise DataError("data", "no rows", "at least one row")
        return [batch[name] for batch in self.batches]

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


def to_batch(rows: Sequence[Mapping[str, Any]], kind: str) -> pa.RecordBatch:
    """Rows of a kind's schema as one batch: a sequence of numbers or bytes for a list column (empty where a row has
    none), else a single value."""
    schema = SCHEMAS[kind]
    return pa.record_batch([_array([_value(row, f) for row in rows], f.type) for f in schema], schema=schema)


def from_rows(rows: Sequence[Mapping[str, Any]], kind: str) -> Columns:
    """Rows in memory as if they had been read from a split, for examples that a user gives."""
    return Columns([to_batch(rows, kind)], SCHEMAS[kind], {})


def num_steps(batch: pa.RecordBatch) -> int:
    """Of all rows of a batch."""
    if STEPS in batch.schema.names:
        return int(batch.column(STEPS).to_numpy().sum(dtype=np.int64))
    return len(batch.column(0).values)


class Writer:
    """Record batches of one split into shards: `train-00000-of-00003.arrow` and so on.

    How many shards there will be is known at the end, so they bear other names until the block ends well.
    Memory: one batch of at most `batch_bytes` (or of what one `write` brings). The bytes follow from the batches,
    their order and the metadata alone.

    Args:
        metadata: text by name, such as task, suite and source checksums; kind and format version are added.
    """

    def __init__(
        self,
        folder: Path,
        split: str,
        kind: str,
        metadata: Mapping[str, str],
        *,
        shard_bytes: int = SHARD_BYTES,
        batch_bytes: int = BATCH_BYTES,
    ):
        self._folder, self._split = folder, split
        about = {**metadata, "format_version": FORMAT_VERSION, "kind": kind}
        self._schema = SCHEMAS[kind].with_metadata(dict(sorted(about.items())))
        self._shard_bytes, self._batch_bytes = shard_bytes, batch_bytes
        self._held: list[pa.RecordBatch] = []
        self._held_bytes = self._written_bytes = 0
        self._asides: list[Path] = []
        self._file: Any = None
        self.shards: list[Path] = []
        """The finished files, once the block has ended."""

    def __enter__(self) -> "Writer":
        return self

    def __exit__(self, error: type[BaseException] | None, *_: Any) -> None:
        if error is None:
            self._flush()
            if not self._asides:
                self._open()
        self._close()
        if error is None:
            for number, aside in enumerate(self._asides):
                self.shards.append(aside.with_name(shard_name(self._split, number, len(self._asides))))
                os.replace(aside, self.shards[-1])

    def write(self, batch: pa.RecordBatch) -> None:
        """Add rows after those written before."""
        if self._held and self._held_bytes + batch.nbytes > self._batch_bytes:
            self._flush()
        self._held.append(batch)
        self._held_bytes += batch.nbytes

    def _flush(self) -> None:
        if not self._held:
            return
        if self._file is None or self._written_bytes + self._held_bytes > self._shard_bytes:
            self._close()
            self._open()
        self._file.write_batch(self._held[0] if len(self._held) == 1 else pa.concat_batches(self._held))
        self._written_bytes += self._held_bytes
        self._held, self._held_bytes = [], 0

    def _open(self) -> None:
        self._asides.append(self._folder / f".{self._split}-{len(self._asides):05d}.arrow")
        self._file, self._written_bytes = pa.ipc.new_file(str(self._asides[-1]), self._schema), 0

    def _close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None


def shard_name(split: str, number: int, total: int) -> str:
    return f"{split}-{number:05d}-of-{total:05d}.arrow"


def read_split(folder: Path, split: str, kind: str) -> Columns:
    """All shards of a split, memory-mapped; what is read is paged in by the system when it is touched.

    Raises:
        DataError: no shard or not all of them, a file cut short or damaged, another format version or kind, columns
            that are not the kind's, nulls, shards of different runs.
    """
    batches: list[pa.RecordBatch] = []
    metadata: dict[str, Any] | None = None
    for path in _shards(folder, split):
        shard_batches, shard_metadata = _read_shard(path, kind)
        batches += shard_batches
        if metadata is not None and metadata != shard_metadata:
            raise DataError(str(path), "other metadata than in the shard before it", "shards of one run only")
        metadata = shard_metadata
    assert metadata is not None
    metadata["sources"] = json.loads(metadata.get("sources", "{}"))
    return Columns([batch for batch in batches if batch.num_rows], SCHEMAS[kind], metadata)


def _shards(folder: Path, split: str) -> list[Path]:
    found = {path.name: path for path in folder.glob(f"{split}-*-of-*.arrow")}
    totals = {int(match[1]) for name in found if (match := re.fullmatch(r".*-of-(\d{5})\.arrow", name))}
    if not totals:
        raise DataError(str(folder), f"no shard of `{split}`", f"{shard_name(split, 0, 1)} and so on, by preprocess")
    if len(totals) > 1:
        raise DataError(str(folder), f"shards of `{split}` of several runs", "one run's shards only")
    wanted = [shard_name(split, number, max(totals)) for number in range(max(totals))]
    for name in (*wanted, *found):
        if name not in found or name not in wanted:
            found_here = "missing" if name in wanted else "one too many"
            raise DataError(str(folder / name), found_here, f"{len(wanted)} shards, as their names say")
    return [found[name] for name in wanted]


def _read_shard(path: Path, kind: str) -> tuple[list[pa.RecordBatch], dict[str, str]]:
    try:
        reader = pa.ipc.open_file(pa.memory_map(str(path)))
        metadata = {k.decode(): v.decode() for k, v in (reader.schema.metadata or {}).items()}
        _check(str(path), reader.schema, metadata, kind)
        batches = [reader.get_batch(i) for i in range(reader.num_record_batches)]
        for batch in batches:
            batch.validate()
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DataError(str(path), f"no whole Arrow file ({reason})", "run preprocess again") from error
    for batch in batches:
        _check_values(str(path), batch)
    return batches, metadata


def _check(where: str, schema: pa.Schema, metadata: Mapping[str, str], kind: str) -> None:
    for name, wanted in (("format_version", FORMAT_VERSION), ("kind", kind)):
        if metadata.get(name) != wanted:
            raise DataError(where, f"{name} is {metadata.get(name)!r}", f"{wanted!r} is wanted: run preprocess again")
    if not schema.equals(SCHEMAS[kind], check_metadata=False):
        found = ", ".join(f"{field.name}: {field.type}" for field in schema)
        wanted = ", ".join(SCHEMAS[kind].names)
        raise DataError(where, f"the columns {found}", f"{wanted} of `{kind}`, of its types and without nulls")


def _check_values(where: str, batch: pa.RecordBatch) -> None:
    for name, array in zip(batch.schema.names, batch.columns, strict=True):
        if array.null_count or (pa.types.is_list(array.type) and array.values.null_count):
            raise DataError(where, f"nulls in `{name}`", "no nulls")
        if pa.types.is_list(array.type):
            offsets = array.offsets.to_numpy()
            if offsets[0] < 0 or np.any(np.diff(offsets) < 0) or offsets[-1] > len(array.values):
                raise DataError(where, f"damaged offsets in `{name}`", "run preprocess again")


def _value(row: Mapping[str, Any], field: pa.Field) -> Any:
    return row.get(field.name, ()) if pa.types.is_list(field.type) else row[field.name]


def _array(values: list[Any], kind: pa.DataType) -> pa.Array:
    if not pa.types.is_list(kind):
        return pa.array(values, kind)
    dtype = kind.value_type.to_pandas_dtype()
    lists = [np.frombuffer(v, dtype) if isinstance(v, bytes) else np.asarray(v, dtype).ravel() for v in values]
    flat = np.concatenate(lists) if lists else np.empty(0, dtype)
    offsets = np.cumsum([0, *map(len, lists)])
    assert offsets[-1] < 2**31, "a batch's offsets are int32"
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), pa.array(flat), type=kind)


def _column(array: pa.Array) -> Lists | NDArray[Any]:
    if not pa.types.is_list(array.type):
        singles: NDArray[Any] = array.to_numpy(zero_copy_only=False)
        return singles
    offsets = array.offsets.to_numpy()
    values = array.values.to_numpy(zero_copy_only=True)[offsets[0] : offsets[-1]]
    return Lists(values, (offsets - offsets[0]).astype(np.int64))


def _join(parts: Sequence[Any]) -> Any:
    if len(parts) == 1:
        return parts[0]
    if not isinstance(parts[0], Lists):
        return np.concatenate(parts)
    values = np.concatenate([part.values for part in parts])
    values.flags.writeable = False
    return Lists(values, _join_offsets(parts))


def _join_offsets(parts: Sequence[Lists]) -> NDArray[np.int64]:
    begins = np.cumsum([0] + [len(part.values) for part in parts])
    ends = [part.offsets[1:] + begin for part, begin in zip(parts, begins, strict=False)]
    return np.concatenate([np.zeros(1, np.int64), *ends])
