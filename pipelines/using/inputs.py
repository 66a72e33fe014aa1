"""What a user names as input of a prediction, as single inputs: a sentence, files, folders, tables, lines of stdin.

Which it is depends on what the task takes (`Task.INPUT`):

    text    the sentence itself; a text file (a line an input); CSV, JSON lines, Parquet or Arrow with a column `text`
    file    a wav, an image, ...; a table as above with a column `file`, of paths beside it or of contents
    table   a CSV file, which is one input; a table as above but CSV, with a column `table`

A folder is all files below it; `-` is a line of stdin an input, of which `file` and `table` take the path.
All of it is read as it is needed; what cannot be read is an error in its place.
"""

import csv
import itertools
import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa
from pyarrow import parquet

from pipelines.using.predictor import LARGEST, Given
from rnn_core.errors import DataError, UserError

Named = tuple[str, Given | UserError]
"""Where an input stands, and it; or why it cannot be had."""
Place = str | Path
"""A sentence, or a file that holds inputs."""
COLUMNAR = (".parquet", ".arrow", ".feather")
TABLES = (*COLUMNAR, ".jsonl", ".csv", ".tsv")
FILES = (*TABLES, ".txt", ".wav", ".flac", ".png", ".jpg", ".jpeg", ".bmp")
"""A single word that ends so is a file's name, and no sentence."""
ROWS = 256
"""Of a Parquet file that are in memory at once."""


def places(typed: Sequence[str], takes: str) -> list[Place]:
    """The arguments of a command as sentences and files, those of folders one by one.

    Raises:
        DataError: a file that is not there, or an empty folder.
    """
    if takes == "text" and not all(map(_is_path, typed)):
        return [" ".join(typed)]
    found: list[Place] = []
    for argument, path in zip(typed, map(Path, typed), strict=True):
        if not argument or not path.exists():
            allowed = f"the path of a {takes}, of a folder, or `-` for stdin"
            raise DataError(argument or "INPUT", "no such file", allowed)
        own = _below(path) if path.is_dir() else [path]
        if not own:
            raise DataError(str(path), "an empty folder", f"a folder with a {takes} at least")
        found += own
    return found


def read(place: Place, takes: str, column: str | None) -> Iterator[Named]:
    """The inputs of a sentence or a file, in their order.

    Args:
        column: of a table; None for the name of what the task takes.
    """
    if isinstance(place, str):
        yield "argument", place
    elif is_table(place, takes, column):
        yield from _rows(place, takes, column or takes)
    elif takes == "text":
        yield from _text_file(place)
    else:
        yield str(place), content(place, takes)


def lines(stream: BinaryIO, takes: str) -> Iterator[Named]:
    """A line an input: the text itself, or the path of a file."""
    for where, line in _lines(stream, "stdin"):
        yield (where, line) if takes == "text" or not isinstance(line, str) else (line, content(Path(line), takes))


def content(path: Path, takes: str) -> Given | UserError:
    """What stands in a file, or why it cannot be had; a table as text."""
    most = LARGEST[takes]
    try:
        with path.open("rb") as file:
            found = file.read(most + 1)
        if len(found) > most:
            return DataError(str(path), f"more than {most:,} bytes", "a smaller file")
        return found if takes == "file" else found.decode()
    except (OSError, ValueError) as error:
        return _unreadable(str(path), error, f"the path of a {takes}")


def is_table(path: Path, takes: str, column: str | None) -> bool:
    """Whether the file holds many inputs as rows, and is none itself."""
    if path.suffix not in TABLES or (path.suffix in (".csv", ".tsv") and takes == "table"):
        return False
    if path.suffix in (".csv", ".tsv") and takes == "file":
        try:
            with path.open("rb") as file:
                return (column or takes).encode() in file.readline(2**16).rstrip().replace(b"\t", b",").split(b",")
        except OSError:  # told where its contents are asked for
            return False
    return True


def _is_path(argument: str) -> bool:
    if not argument:  # to Path the working folder
        return False
    try:
        return Path(argument).exists() or (Path(argument).suffix.lower() in FILES and len(argument.split()) == 1)
    except OSError:  # longer than a name may be: a sentence
        return False


def _below(folder: Path) -> list[Path]:
    return sorted(p for p in folder.rglob("*") if p.is_file() and not p.name.startswith("."))


def _text_file(path: Path) -> Iterator[Named]:
    try:
        with path.open("rb") as file:
            if b"\0" in file.read(2**13):
                yield str(path), DataError(str(path), "bytes that are no text", "a text file, a sentence a line")
                return
            file.seek(0)
            yield from _lines(file, str(path))
    except OSError as error:
        yield str(path), _unreadable(str(path), error, "a text file")


def _lines(stream: BinaryIO, name: str) -> Iterator[Named]:
    """Decoded, without their ends. A line of any length takes bounded memory."""
    most = 4 * LARGEST["text"]
    for number in itertools.count(1):
        line = stream.readline(most + 1)
        if not line:
            return
        where = f"{name}:{number}"
        if len(line) > most:
            while line and not line.endswith(b"\n"):
                line = stream.readline(most)
            yield where, DataError(where, f"a line of more than {most:,} bytes", "an input a line")
            continue
        try:
            yield where, line.removeprefix(b"\xef\xbb\xbf").decode().rstrip("\r\n")
        except UnicodeDecodeError as error:
            yield where, _unreadable(where, error, "UTF-8 text")


def _rows(path: Path, takes: str, column: str) -> Iterator[Named]:
    readers = {".jsonl": _json_lines, ".csv": _csv, ".tsv": _csv}
    rows: Iterable[Any] = readers.get(path.suffix, _columnar)(path, column)
    number = 0
    try:
        for number, value in enumerate(rows, 1):
            where = f"{path}:{number}"
            yield where, value if isinstance(value, UserError) else _given(value, where, path.parent, takes, column)
    except (OSError, ValueError, csv.Error, pa.ArrowException) as error:
        where = f"{path}:{number + 1}"
        yield where, _unreadable(where, error, f"a whole {path.suffix} file")
    except DataError as error:
        yield str(path), error


def _given(value: Any, where: str, folder: Path, takes: str, column: str) -> Given | UserError:
    if takes == "file":
        if isinstance(value, str):
            return content(folder / value, takes)
        if isinstance(value, bytes):
            return value
    elif isinstance(value, str):
        return value
    allowed = "a path or the contents" if takes == "file" else "a text"
    return DataError(where, f"{column}: {value!r:.100}", allowed)


def _columnar(path: Path, column: str) -> Iterator[Any]:
    """A column's values, a part of the file at a time."""
    if path.suffix == ".parquet":
        with parquet.ParquetFile(path, memory_map=True) as table:
            _find(column, table.schema_arrow.names, path)
            for batch in table.iter_batches(ROWS, columns=[column]):
                yield from (value.as_py() for value in batch.column(0))
        return
    with pa.memory_map(str(path)) as source, pa.ipc.open_file(source) as table:
        index = _find(column, table.schema.names, path)
        for number in range(table.num_record_batches):
            yield from (value.as_py() for value in table.get_batch(number).column(index))


def _csv(path: Path, column: str) -> Iterator[Any]:
    csv.field_size_limit(4 * LARGEST["text"])
    with path.open(encoding="utf-8-sig", newline="") as file:
        table = csv.reader(file, delimiter="\t" if path.suffix == ".tsv" else ",", strict=True)
        index = _find(column, next(table, []), path)
        for row in table:
            yield row[index] if index < len(row) else None


def _json_lines(path: Path, column: str) -> Iterator[Any]:
    with path.open("rb") as file:
        for where, line in _lines(file, str(path)):
            try:
                yield json.loads(line)[column] if isinstance(line, str) else line
            except (ValueError, KeyError, TypeError) as error:
                found = f"no JSON object with `{column}`: {error}"
                yield DataError(where, found, f'a line such as {{"{column}": ...}}')


def _find(column: str, names: Sequence[str], path: Path) -> int:
    if column not in names:
        listed = ", ".join(names) or "none"
        raise DataError(str(path), f"no column `{column}`", f"there are: {listed}; `--column` names another one")
    return list(names).index(column)


def _unreadable(where: str, error: Exception, allowed: str) -> DataError:
    if isinstance(error, UnicodeDecodeError):
        return DataError(where, f"byte 0x{error.object[error.start]:02x} at {error.start + 1} is no UTF-8", allowed)
    reason = getattr(error, "strerror", None) or str(error).partition("\n")[0]
    return DataError(where, f"cannot be read: {reason}", allowed)
