"""Raw data of which each unit is read by itself: files that are a record each, or tables that are read whole."""

import contextlib
import functools
import hashlib
import itertools
import json
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pipelines import files
from pipelines.tasks import BadRecord, Item, Task, Where
from rnn_core.arrow import SPLITS
from rnn_core.errors import DataError


@dataclass(frozen=True)
class Items:
    """Those of one split in their order, or those whose examples say their split."""

    entries: tuple[Item | BadRecord, ...]
    split: str | None

    @property
    def size(self) -> int:
        return sum(map(_size, self.entries))

    def checksums(self) -> dict[str, str]:
        """One digest over the names, the files and what an index says of them."""
        digest = hashlib.sha256()
        of_file = functools.cache(files.sha256)
        for item in self.entries:
            if isinstance(item, Item):
                sums = [of_file(path) for path in item.paths if path.is_file()]
                digest.update(json.dumps([item.name, sums, item.about], sort_keys=True).encode())
        return {f"{len(self.entries)} items of {self.split or 'all splits'}": digest.hexdigest()}


def parts(entries: Iterable[Item | BadRecord]) -> list[Items]:
    """By split, in the order of the splits.

    Raises:
        DataError: there are none.
    """
    by_split: dict[str | None, list[Item | BadRecord]] = {split: [] for split in (*SPLITS, None)}
    for entry in entries:
        by_split[entry.split].append(entry)
    found = [Items(tuple(some), split) for split, some in by_split.items() if some]
    if not found:
        raise DataError("data", "no raw data that the task knows", "see the top of the task's file for its raw format")
    return found


def chunks(part: Items, *, chunk_bytes: int) -> Iterator[tuple[tuple[Item | BadRecord, ...], Where, int]]:
    """About `chunk_bytes` of files at a time, with the place of the first and the bytes of all."""
    held: list[Item | BadRecord] = []
    size = 0
    for entry, following in itertools.pairwise((*part.entries, None)):
        assert entry is not None
        held.append(entry)
        size += _size(entry)
        if size >= chunk_bytes or following is None:
            yield tuple(held), Where(_name(held[0]), 1, held[0] is part.entries[0], following is None), size
            held, size = [], 0


@dataclass(frozen=True)
class Packed:
    """A chunk with the contents of its files, for a machine that does not have them."""

    entries: tuple[Item | BadRecord, ...]
    contents: Mapping[Path, bytes]


def packed(chunk: tuple[Item | BadRecord, ...]) -> Packed:
    paths = {path for item in chunk if isinstance(item, Item) for path in item.paths if path.is_file()}
    return Packed(chunk, {path: path.read_bytes() for path in sorted(paths)})


@contextlib.contextmanager
def unpacked(chunk: Any) -> Iterator[Any]:
    """A chunk whose files are there for the duration of the block, in a folder each, under their own names."""
    if not isinstance(chunk, Packed):
        yield chunk
        return
    with tempfile.TemporaryDirectory() as folder:
        places = {path: Path(folder, str(number), path.name) for number, path in enumerate(chunk.contents)}
        for path, place in places.items():
            place.parent.mkdir()
            place.write_bytes(chunk.contents[path])
        yield tuple(
            replace(entry, paths=tuple(places.get(path, path) for path in entry.paths))
            if isinstance(entry, Item)
            else entry
            for entry in chunk.entries
        )


def read(task: Task, chunk: Iterable[Item | BadRecord], data: Any) -> Iterator[Any]:
    """The examples and bad records of each."""
    for entry in chunk:
        bad = entry if isinstance(entry, BadRecord) else _unreadable(entry)
        if bad is not None:
            yield bad
        elif isinstance(entry, Item):
            yield from task.read(entry, Where(entry.name, 1, True, True), data)


def _unreadable(item: Item) -> BadRecord | None:
    for path in item.paths:
        if not path.is_file() or path.stat().st_size == 0:
            found = "an empty file" if path.is_file() else f"no file {path.name}"
            return BadRecord(item.name, found, "a file with contents", json.dumps(item.about), item.split)
    return None


def _name(entry: Item | BadRecord) -> str:
    return entry.name if isinstance(entry, Item) else entry.where


def _size(entry: Item | BadRecord) -> int:
    if not isinstance(entry, Item):
        return 0
    return sum(path.stat().st_size for path in entry.paths if path.is_file()) if entry.size is None else entry.size
