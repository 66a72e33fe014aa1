"""Tables of time series as series on a regular grid of times: three layouts of CSV, one result.

    long   a row is one time of one series: columns for the series' name, the time, the value and covariates
    table  a row is one time, each column a series
    rows   a row is a whole series: its name, then its values from the first to the last; no times

Order in the file means nothing where there are times: rows are sorted, a time that lacks is a gap, whose value is NaN.
What cannot be read is told and left out: a row (long, table), or a series (rows).
"""

import csv
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
MISSING = ("", "NA", "NaN", "nan", "null")
"""What stands for a value that is not there."""


@dataclass(frozen=True, kw_only=True)
class Layout:
    """Which columns a table has, and how far apart its times are."""

    layout: Literal["long", "table", "rows"]
    time: str | None = None
    """Column of the time; None takes the rows in their order."""
    date_format: str = "%Y-%m-%d"
    step_hours: int = 24
    """From one time of a series to the next."""
    series: str | None = None
    """`long` only: column of the series' name; None where the file is one series."""
    value: str = "value"
    """`long` only."""
    known: tuple[str, ...] = ()
    """`long` only: covariates that are known ahead."""
    past: tuple[str, ...] = ()
    """`long` only: covariates that are known for the past only."""
    static: tuple[str, ...] = ()
    """`long` only: categories of a series; the first row's count."""

    @property
    def step(self) -> timedelta:
        return timedelta(hours=self.step_hours)

    def __post_init__(self) -> None:
        if self.step_hours < 1:
            raise ValueError(f"step_hours is {self.step_hours}, a whole number from 1 on is wanted")
        if self.layout != "long" and (self.series, self.known, self.past, self.static) != (None, (), (), ()):
            raise ValueError(f"layout {self.layout} has neither series, known, past nor static columns")


@dataclass(frozen=True)
class Series:
    """n values on a regular grid. Covariates of times ahead may follow: `known` has n rows or more."""

    name: str
    where: str
    """file:line of its first row."""
    begin: datetime | None
    """Time of the first value."""
    values: Array
    known: Array
    """(n or more, K); NaN in gaps."""
    past: Array
    """(n, C); NaN in gaps."""
    static: tuple[str, ...]


@dataclass(frozen=True)
class Unreadable:
    """A row or a series that was left out."""

    where: str
    found: str
    allowed: str
    text: str


@dataclass(frozen=True)
class _Row:
    where: str
    line: str
    time: datetime | None
    value: float
    numbers: tuple[float, ...]
    static: tuple[str, ...]


def read(lines: Sequence[str], layout: Layout, where: str, first_line: int = 1) -> Iterator[Series | Unreadable]:
    """The series of a file's lines, in the order in which they first occur, and what was left out.

    Args:
        lines: with the header, without line ends.
        where: the file's name.
        first_line: number of the header's line.
    """
    header = next(csv.reader(lines[:1]), [])
    if layout.layout == "rows":
        yield from (_whole(fields, line, at) for fields, line, at in _fields(lines[1:], where, first_line + 1))
        return
    table = layout.layout == "table"
    wanted = [layout.time, *([] if table else [layout.series, layout.value, *layout.known, *layout.past])]
    missing = [name for name in (*wanted, *layout.static) if name is not None and name not in header]
    if missing:
        yield Unreadable(f"{where}:{first_line}", f"no column `{missing[0]}`", "a header that names it", "")
        return
    rows: dict[str, list[_Row]] = {}
    for fields, line, at in _fields(lines[1:], where, first_line + 1):
        try:
            if len(fields) != len(header):
                raise ValueError(f"{len(fields)} columns", f"{len(header)}, as in the header")
            named = dict(zip(header, fields, strict=True))
            for name, row in _table_row(named, layout, at, line) if table else [_long_row(named, layout, at, line)]:
                rows.setdefault(name, []).append(row)
        except ValueError as error:
            found, allowed = error.args if len(error.args) == 2 else (str(error), "a number, or nothing")
            yield Unreadable(at, found, allowed, line)
    for name, some in rows.items():
        yield from _on_grid(name, some, layout)


def joined(parts: Iterable[Series]) -> Series:
    """Series of one name, one after another, as one."""
    first, *others = parts
    for other in others:
        pairs = ((first.values, other.values), (first.known, other.known), (first.past, other.past))
        values, known, past = (np.concatenate(pair) for pair in pairs)
        first = replace(first, values=values, known=known, past=past)
    return first


def times(series: Series, layout: Layout, first: int, count: int) -> tuple[str, ...]:
    """`count` steps of its grid from number `first` (counted from 0) on: their times as its file writes them, or their
    numbers, from 1 on, where it has none."""
    steps = range(first, first + count)
    if series.begin is None:
        return tuple(str(step + 1) for step in steps)
    return tuple((series.begin + step * layout.step).strftime(layout.date_format) for step in steps)


def _fields(lines: Sequence[str], where: str, first_line: int) -> Iterator[tuple[list[str], str, str]]:
    for number, line in enumerate(lines, first_line):
        if line.strip():
            yield next(csv.reader([line])), line, f"{where}:{number}"


def _whole(fields: list[str], line: str, at: str) -> Series | Unreadable:
    """A series of the layout `rows`: empty cells at the end of a row are no values."""
    while fields[1:] and fields[-1].strip() in MISSING:
        fields = fields[:-1]
    try:
        values = np.array([_number(field) for field in fields[1:]])
    except ValueError as error:
        return Unreadable(at, error.args[0], "a number, or nothing", line)
    empty = np.zeros((len(values), 0))
    return Series(fields[0], at, None, values, empty, empty, ())


def _long_row(named: dict[str, str], layout: Layout, at: str, line: str) -> tuple[str, _Row]:
    numbers = tuple(_number(named[name]) for name in (*layout.known, *layout.past))
    static = tuple(named[name] for name in layout.static)
    name = named[layout.series] if layout.series else "series"
    return name, _Row(at, line, _time(named, layout), _number(named[layout.value]), numbers, static)


def _table_row(named: dict[str, str], layout: Layout, at: str, line: str) -> list[tuple[str, _Row]]:
    time = _time(named, layout)
    values = {name: _number(field) for name, field in named.items() if name != layout.time}
    return [(name, _Row(at, line, time, value, (), ())) for name, value in values.items()]


def _time(named: dict[str, str], layout: Layout) -> datetime | None:
    if layout.time is None:
        return None
    try:
        return datetime.strptime(named[layout.time], layout.date_format)
    except ValueError:
        raise ValueError(f"{layout.time} {named[layout.time]!r}", f"a time like {layout.date_format}") from None


def _number(field: str) -> float:
    if field.strip() in MISSING:
        return math.nan
    try:
        value = float(field)
    except ValueError:
        raise ValueError(f"{field!r}", "a number, or nothing") from None
    if not math.isfinite(value):
        raise ValueError(f"{field!r}", "a finite number, or nothing")
    return value


def _on_grid(name: str, rows: list[_Row], layout: Layout) -> Iterator[Series | Unreadable]:
    """The rows of one series at their places; rows after the last value tell covariates of the time ahead."""
    begin = min((row.time for row in rows if row.time is not None), default=None)
    placed: dict[int, _Row] = {}
    for number, row in enumerate(rows):
        place, off = number, timedelta(0)
        if begin is not None and row.time is not None:
            place, off = divmod(row.time - begin, layout.step)
        if off:
            found = f"a time {off} past a step of {name}"
            yield Unreadable(row.where, found, f"a step every {layout.step_hours} hours from {begin}", row.line)
        elif place in placed:
            allowed = f"each time once; it stands at {placed[place].where} first"
            yield Unreadable(row.where, f"a second row of that time of {name}", allowed, row.line)
        else:
            placed[place] = row
    seen = [place for place, row in placed.items() if not math.isnan(row.value)]
    if not seen:
        yield Unreadable(rows[0].where, f"no value of {name}", "at least one", rows[0].line)
        return
    steps, num_known = max(placed) + 1, len(layout.known)
    values, numbers = np.full(steps, np.nan), np.full((steps, num_known + len(layout.past)), np.nan)
    for place, row in placed.items():
        values[place], numbers[place] = row.value, row.numbers
    end = max(seen) + 1
    known, past = numbers[:, :num_known], numbers[:end, num_known:]
    yield Series(name, placed[min(placed)].where, begin, values[:end], known, past, placed[min(placed)].static)
