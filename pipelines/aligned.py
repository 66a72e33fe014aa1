"""Files of text whose lines belong together, such as a language each, in chunks of equally many whole lines.

Text is normalised on the way as in `chunks`; a side may be compressed (`.gz`).
"""

import contextlib
import gzip
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

from pipelines import files
from pipelines.chunks import present
from pipelines.tasks import AlignedTask, Where
from rnn_core.errors import DataError


@dataclass(frozen=True)
class Aligned:
    """The sides of one split, or of all where `split` is None."""

    paths: tuple[Path, ...]
    names: tuple[str, ...]
    split: str | None

    @property
    def size(self) -> int:
        """Bytes, as they are when they are read."""
        return sum(map(_size, self.paths))

    def checksums(self) -> dict[str, str]:
        return {name: files.sha256(path) for name, path in zip(self.names, self.paths, strict=True)}


def parts(raw: Path, task: AlignedTask, dataset: str, stems: Mapping[str, Path] | None, data: Any) -> list[Aligned]:
    """The sides of each split: those of `stems`, else of the data set that the task knows. A folder with no more files
    than sides is split by example.

    Raises:
        DataError: a file is missing or empty.
    """
    sides, found = task.sides(data), present(raw)
    if stems is None and len(found) == len(sides):
        return [Aligned(*_sides(raw, _stem(found, sides), sides), None)]
    stems = stems or task.raw_files(raw, dataset)
    return [Aligned(*_sides(raw, stem, sides), split) for split, stem in stems.items()]


def chunks(part: Aligned, *, chunk_bytes: int, longest: int) -> Iterator[tuple[tuple[bytes, ...], Where]]:
    """Equally many whole lines of each side, about `chunk_bytes` of all sides together, each with its line end.

    Raises:
        DataError: a line is longer than `longest` (bytes), a side has fewer lines than another, or is no gzip file.
    """
    with contextlib.ExitStack() as stack:
        opened = [stack.enter_context(_open(path)) for path in part.paths]
        line, first = 1, True
        rows = _rows(part, opened, longest)
        held = _take(rows, chunk_bytes)
        while held:
            following = _take(rows, chunk_bytes)
            yield tuple(map(b"".join, zip(*held, strict=True))), Where(part.names[0], line, first, not following)
            line, first, held = line + len(held), False, following


def _take(rows: Iterator[list[bytes]], chunk_bytes: int) -> list[list[bytes]]:
    held, size = [], 0
    for row in rows:
        held.append(row)
        size += sum(map(len, row))
        if size >= chunk_bytes:
            break
    return held


def _rows(part: Aligned, opened: list[IO[bytes]], longest: int) -> Iterator[list[bytes]]:
    """Line n of each side, normalised."""
    number = 0
    while True:
        number += 1
        lines = [_line(file, f"{name}:{number}", longest) for file, name in zip(opened, part.names, strict=True)]
        if not any(lines):
            return
        if not all(lines):
            ended, going = (part.names[lines.index(line)] for line in (b"", next(filter(None, lines))))
            found = f"it ends after line {number - 1}, and {going} goes on"
            raise DataError(ended, found, "files of equally many lines: line n of each is one record")
        if number == 1:
            lines = [line.removeprefix(b"\xef\xbb\xbf") for line in lines]
        yield [line.rstrip(b"\r\n") + b"\n" for line in lines]


def _line(file: IO[bytes], where: str, longest: int) -> bytes:
    try:
        line = file.readline(longest + 1)
    except (OSError, EOFError) as error:
        raise DataError(where, f"no whole gzip file ({error})", "a whole file") from error
    if len(line) > longest:
        raise DataError(where, f"no end of the record within {longest} bytes", "a line end after each record")
    return line


def _open(path: Path) -> IO[bytes]:
    return cast(IO[bytes], gzip.open(path) if path.suffix == ".gz" else path.open("rb"))


def _sides(raw: Path, stem: Path, sides: tuple[str, ...]) -> tuple[tuple[Path, ...], tuple[str, ...]]:
    """Paths and names of the sides of a stem; DataError where one is missing or empty."""
    paths = []
    for side in sides:
        plain = stem.with_name(f"{stem.name}.{side}")
        path = next((p for p in (plain, plain.with_name(plain.name + ".gz")) if p.is_file()), None)
        if path is None:
            there = ", ".join(sorted(p.name for p in stem.parent.glob("*"))) or "nothing"
            raise DataError(str(plain), f"missing; there is {there}", "the file of that side, or it with .gz")
        if path.stat().st_size == 0:
            raise DataError(str(path), "an empty file", "at least one record")
        paths.append(path)
    return tuple(paths), tuple(path.relative_to(raw).as_posix() for path in paths)


def _stem(found: list[Path], sides: tuple[str, ...]) -> Path:
    """The stem of a folder's only files."""
    return found[0].with_name(found[0].name.removesuffix(".gz").rpartition(".")[0])


def _size(path: Path) -> int:
    """Uncompressed bytes; of a gzip file as its last four bytes say, which is what progress needs."""
    if path.suffix != ".gz":
        return path.stat().st_size
    with path.open("rb") as file:
        file.seek(-4, 2)
        return int.from_bytes(file.read(4), "little")
