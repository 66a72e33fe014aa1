"""Raw text in chunks: which part of which file is which split, cut where records end, whatever the size of the file.

Text is normalised on the way: CRLF becomes LF, a byte order mark at the beginning of a file is dropped.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pipelines import files
from pipelines.tasks import BadRecord, TextTask, Where
from rnn_core.arrow import SPLITS
from rnn_core.errors import ConfigError, DataError

CHUNK_BYTES = 1 << 20
LONGEST_RECORD = 4 << 20
NOT_DATA = ("source.json", "limits.json")
SHARES = {"train": 0.90, "validation": 0.05, "test": 0.05}
"""How one file is split."""


@dataclass(frozen=True)
class Source:
    """Bytes begin..end of a file, all of one split, or split by example where `split` is None."""

    path: Path
    name: str
    split: str | None
    begin: int
    end: int
    line: int = 1

    @property
    def size(self) -> int:
        return self.end - self.begin

    def checksums(self) -> dict[str, str]:
        return {self.name: files.sha256(self.path)}


def sources(raw: Path, task: TextTask, dataset: str, own: Mapping[str, str] | None, where: str) -> list[Source]:
    """The parts of the raw folder that are read, in the order of the splits.

    `own` (`data.files`) names one for each split. Without it a single raw file is split 90/5/5: by the hash of the
    example, or by position (each border moved on to the next line end) if the task is a stream. Otherwise the task
    knows its files.

    Raises:
        ConfigError: `own` does not name the three splits, or a file outside of the folder.
        DataError: a file is missing or empty.
    """
    if own is not None:
        return [_whole(raw, path, split) for split, path in named(raw, own, f"{where}.files").items()]
    found = present(raw)
    if len(found) == 1:
        one = _whole(raw, found[0], None)
        return _by_position(one) if task.STREAM else [one]
    return [_whole(raw, path, split) for split, path in task.raw_files(raw, dataset).items()]


def named(raw: Path, own: Mapping[str, str], where: str) -> dict[str, Path]:
    """The file (or what the task makes of the name) of each split, as the block names it at `where`.

    Raises:
        ConfigError: not all splits, or a file outside of the folder.
    """
    if set(own) != set(SPLITS):
        raise ConfigError(where, f"the splits {', '.join(sorted(own))}", f"all of {', '.join(SPLITS)}")
    paths = {split: raw / own[split] for split in SPLITS}
    for split, path in paths.items():
        if not path.resolve().is_relative_to(raw.resolve()):
            raise ConfigError(f"{where}.{split}", f"found {own[split]}", "a file inside the folder `from`")
    return paths


def split_of(example: Any) -> str:
    """The split of an example of a file that has none: a function of the example alone, so twins stay together."""
    text = json.dumps(example.text if isinstance(example, BadRecord) else astuple(example), default=_digest)
    share = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8]) / 2**64
    if share < SHARES["train"]:
        return "train"
    return "validation" if share < SHARES["train"] + SHARES["validation"] else "test"


def chunks(
    source: Source, task: TextTask, *, chunk_bytes: int = CHUNK_BYTES, longest: int = LONGEST_RECORD
) -> Iterator[tuple[bytes, Where]]:
    """Whole records, about `chunk_bytes` at a time. A stream's record longer than `longest` is cut at a blank.

    Raises:
        DataError: a record is longer than `longest` (bytes), and the task is no stream.
    """
    held, line, first = b"", source.line, True
    with source.path.open("rb") as file:
        begin = 3 if source.begin == 0 and file.read(3) == b"\xef\xbb\xbf" else source.begin
        file.seek(begin)
        left = source.end - begin
        while left > 0:
            block = file.read(min(chunk_bytes, left))
            left -= len(block)
            held = (held + block).replace(b"\r\n", b"\n")
            if not block:
                raise DataError(source.name, "the file became shorter while it was read", "a file at rest")
            cut = len(held) if not left else held.rfind(task.RECORD_END) + len(task.RECORD_END)
            if left and cut < len(task.RECORD_END):
                cut = _inside(held, task, longest, f"{source.name}:{line}")
            if cut:
                yield held[:cut], Where(source.name, line, first, not left)
                line, first, held = line + held.count(b"\n", 0, cut), False, held[cut:]


def present(raw: Path) -> list[Path]:
    """The files with raw data in a folder."""
    return sorted(p for p in raw.rglob("*") if p.is_file() and p.name not in NOT_DATA)


def _digest(value: Any) -> str:
    """An array or bytes, as something that JSON can hold."""
    return hashlib.sha256(value if isinstance(value, bytes) else np.ascontiguousarray(value).tobytes()).hexdigest()


def _inside(held: bytes, task: TextTask, longest: int, where: str) -> int:
    """Where to cut a record whose end is not in sight; 0 to read on."""
    if len(held) <= longest:
        return 0
    if not task.STREAM:
        mark = "an empty line" if task.RECORD_END == b"\n\n" else "a line end"
        raise DataError(where, f"no end of the record within {longest} bytes", f"{mark} after each record")
    return held.rfind(b" ") + 1 or _character_end(held)


def _character_end(held: bytes) -> int:
    """The last place that is not within a UTF-8 character or a CRLF."""
    cut = len(held) - 1
    for _ in range(3):
        cut -= cut > 0 and held[cut] & 0b1100_0000 == 0b1000_0000
    return cut


def _whole(raw: Path, path: Path, split: str | None) -> Source:
    if not path.is_file():
        present = ", ".join(sorted(p.name for p in raw.glob("*") if p.name not in NOT_DATA)) or "nothing"
        raise DataError(str(path), f"missing; there is {present}", f"the {split} file, or other names in data.files")
    if path.stat().st_size == 0:
        raise DataError(str(path), "an empty file", "at least one record")
    return Source(path, path.relative_to(raw).as_posix(), split, 0, path.stat().st_size)


def _by_position(one: Source) -> list[Source]:
    parts, begin, line, share = [], 0, 1, 0.0
    for split in SPLITS:
        share += SHARES[split]
        end = one.end if split == SPLITS[-1] else max(begin, _border(one.path, int(share * one.end)))
        parts.append(Source(one.path, one.name, split, begin, end, line))
        line += _line_ends(one.path, begin, end)
        begin = end
    return parts


def _border(path: Path, position: int) -> int:
    """The next line end from a position on; where none is near, the next blank, or the next character."""
    with path.open("rb") as file:
        file.seek(position)
        near = file.read(CHUNK_BYTES)
    for mark in (b"\n", b" "):
        if mark in near:
            return position + near.index(mark) + 1
    rest = near.lstrip(bytes(range(0b1000_0000, 0b1100_0000)))
    return position + len(near) - len(rest)


def _line_ends(path: Path, begin: int, end: int) -> int:
    total = 0
    with path.open("rb") as file:
        file.seek(begin)
        while begin < end and (block := file.read(min(CHUNK_BYTES, end - begin))):
            total += block.count(b"\n")
            begin += len(block)
    return total
