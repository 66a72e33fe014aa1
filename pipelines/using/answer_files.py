"""Answers as a file: JSON lines, CSV or Parquet, by its ending; whole under its name, or not there.

In tables, what is neither a text nor a number is JSON text: its shape may differ from row to row.
"""

import contextlib
import csv
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow import parquet

from pipelines import files
from rnn_core.errors import ConfigError

Row = dict[str, Any]
Write = Callable[[Row], None]
ROWS = 1024
"""Rows of a Parquet file that are held before they are written."""


@contextlib.contextmanager
def writer(path: Path) -> Iterator[Write]:
    """A function that takes the rows one by one; all of them have the keys of the first.

    Raises:
        ConfigError: another ending.
    """
    with files.whole_file(path) as aside, WRITERS[check(path)](aside) as write:
        yield write


def check(path: Path) -> str:
    """The file's ending.

    Raises:
        ConfigError: it is none that can be written.
    """
    if path.suffix not in WRITERS:
        raise ConfigError("--output", f"found {path}", f"a file that ends in {', '.join(WRITERS)}")
    return path.suffix


@contextlib.contextmanager
def _json_lines(path: Path) -> Iterator[Write]:
    with path.open("w", encoding="utf-8") as file:
        yield lambda row: print(json.dumps(row, ensure_ascii=False), file=file)


@contextlib.contextmanager
def _csv(path: Path) -> Iterator[Write]:
    with path.open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        heads: list[list[str]] = []

        def write(row: Row) -> None:
            if not heads:
                heads.append(list(row))
                rows.writerow(heads[0])
            rows.writerow([_flat(row[name]) for name in heads[0]])

        yield write


@contextlib.contextmanager
def _parquet(path: Path) -> Iterator[Write]:
    held: list[Row] = []
    with contextlib.ExitStack() as stack:
        tables: list[parquet.ParquetWriter] = []

        def flush() -> None:
            if held:
                if not tables:
                    schema = pa.schema([(name, _type(value)) for name, value in held[0].items()])
                    tables.append(stack.enter_context(parquet.ParquetWriter(path, schema)))
                tables[0].write_batch(pa.RecordBatch.from_pylist(held, schema=tables[0].schema))
                held.clear()

        def write(row: Row) -> None:
            held.append({name: _flat(value) for name, value in row.items()})
            if len(held) == ROWS:
                flush()

        yield write
        flush()


WRITERS = {".jsonl": _json_lines, ".csv": _csv, ".parquet": _parquet}


def _flat(value: Any) -> Any:
    """Numbers as floats: one task's may be whole in one row and not in the next."""
    if isinstance(value, bool | str):
        return value
    return float(value) if isinstance(value, int | float) else json.dumps(value, ensure_ascii=False)


def _type(value: Any) -> pa.DataType:
    return {bool: pa.bool_(), float: pa.float64()}.get(type(value), pa.string())
