"""Series cut by time: training values first, then those for validation, the newest for the test, with the origins of
forecasts and what their errors are measured by.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

import numpy as np

from pipelines.parsers.series import Array, Layout, Series, times
from rnn_core.errors import DataError
from rnn_core.metrics import forecasts

SPLITS = ("train", "validation", "test")
CALENDAR: dict[str, Callable[[datetime], float]] = {
    "hour": lambda time: (time.hour + time.minute / 60) / 24,
    "weekday": lambda time: (time.weekday() + time.hour / 24) / 7,
    "year": lambda time: (time.timetuple().tm_yday - 1 + time.hour / 24) / 365.25,
}
"""The place in a cycle, 0 to 1, by name; a year is the same place each year to a day."""


@dataclass(frozen=True, kw_only=True)
class Origins:
    """Where forecasts are asked for: in a part of a series at its end, one every so many steps."""

    last: int
    """Steps of the part: all forecasts lie within it."""
    every: int

    def __post_init__(self) -> None:
        if self.last < 1 or self.every < 1:
            raise ValueError(f"last is {self.last}, every is {self.every}, whole numbers from 1 on are wanted")

    def of(self, end: int, horizon: int) -> tuple[int, ...]:
        """How many values are seen at each origin, if the part ends behind `end` values; whole horizons only."""
        return tuple(range(end - self.last, end - horizon + 1, self.every))


@dataclass(frozen=True, kw_only=True)
class Cuts:
    """How all series of a data set are cut; the settings of a task have these keys."""

    table: Layout
    horizon: int
    """h, steps of a forecast."""
    season: int
    """m of MASE's unit and of Naive2."""
    calendar: tuple[Literal["hour", "weekday", "year"], ...]
    """Covariates known ahead that are made of the times: sine and cosine of the place in the day, week or year."""
    test: Origins
    validation: Origins

    def __post_init__(self) -> None:
        if self.horizon < 1 or self.season < 1:
            raise ValueError(f"horizon is {self.horizon}, season is {self.season}, whole numbers from 1 on are wanted")
        for name, origins in (("test", self.test), ("validation", self.validation)):
            if origins.last < self.horizon:
                raise ValueError(f"{name}.last is {origins.last}, at least the horizon, {self.horizon}, is wanted")
        if self.calendar and self.table.time is None:
            raise ValueError("calendar is given without table.time, the column of the times")


@dataclass(frozen=True)
class Example:
    """A series up to where one split ends, with the origins of that split."""

    name: str
    values: Array
    """NaN where missing."""
    known: Array
    """(n + h, K); NaN where nothing is known."""
    past: Array
    """(n, C); likewise."""
    static: tuple[str, ...]
    origins: tuple[int, ...]
    """How many values are seen at each."""
    units: tuple[float, ...]
    """MASE's unit, one an origin: of the history before the split's first one. NaN where that is constant."""
    naive2: Array
    """(origins, h)."""
    split: str
    ahead: tuple[str, ...]
    """The times of the h steps behind the last value; their numbers, from 1 on, where there are none."""
    records: int = 1


def examples(series: Series, cuts: Cuts) -> Iterator[Example]:
    """One for each split: the training values, then all up to the end of the validation, then all.

    Raises:
        DataError: the series is too short for that.
    """
    total = len(series.values)
    test = total - cuts.test.last
    ends = {"train": test - cuts.validation.last, "validation": test, "test": total}
    if ends["train"] < cuts.horizon + 1:
        least = cuts.test.last + cuts.validation.last + cuts.horizon + 1
        raise DataError(series.where, f"a series of {total} steps: {series.name}", f"at least {least}")
    known = with_calendar(series, cuts, total + cuts.horizon)
    for split in SPLITS:
        asked = {"train": None, "validation": cuts.validation, "test": cuts.test}[split]
        yield example(series, known, cuts, split, ends[split], asked.of(ends[split], cuts.horizon) if asked else ())


def example(series: Series, known: Array, cuts: Cuts, split: str, end: int, origins: Sequence[int]) -> Example:
    """The first `end` values of a series, for a split."""
    filled = without_gaps(series.values[:end])
    unit = forecasts.seasonal_error(series.values[: origins[0]], cuts.season) if origins else math.nan
    naive2 = [forecasts.naive2(filled[:origin], cuts.season, cuts.horizon) for origin in origins]
    return Example(
        name=series.name,
        values=series.values[:end],
        known=known[: end + cuts.horizon],
        past=series.past[:end],
        static=series.static,
        origins=tuple(origins),
        units=(unit if unit > 0 else math.nan,) * len(origins),
        naive2=np.array(naive2).reshape(len(origins), cuts.horizon),
        split=split,
        ahead=times(series, cuts.table, end, cuts.horizon),
    )


def with_calendar(series: Series, cuts: Cuts, steps: int) -> Array:
    """The covariates known ahead of the first `steps` steps, NaN where a file says nothing, and those of the times."""
    known = np.full((steps, series.known.shape[1]), np.nan)
    told = series.known[:steps]
    known[: len(told)] = told
    if not cuts.calendar or series.begin is None:
        return known
    grid = [series.begin + step * cuts.table.step for step in range(steps)]
    angles = 2 * np.pi * np.array([[CALENDAR[name](time) for name in cuts.calendar] for time in grid])
    return np.concatenate([known, np.sin(angles), np.cos(angles)], axis=1)


def without_gaps(values: Array) -> Array:
    """Each gap as the value before it; those at the beginning as the first value there is."""
    there = np.flatnonzero(~np.isnan(values))
    if not len(there):
        return np.zeros_like(values)
    before = np.searchsorted(there, np.arange(len(values)), side="right") - 1
    return values[there[np.maximum(before, 0)]]
