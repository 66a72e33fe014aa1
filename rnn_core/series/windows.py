"""Time series as windows: what a step sees of its past, what it is to foretell, and which steps stand where.

A step t of a series has seen the values up to t, and foretells the next h. Of its past it sees the values at the row's
`lags` (0 is the present one), wherever the window began; of the time ahead only the covariates that are known ahead.
"""

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rnn_core.arrow import Columns
from rnn_core.lanes import Positions, padding_begins

Floats = NDArray[np.float32]
SHOWN_BEFORE = 4
"""Horizons of values that are shown behind a forecast."""


class Series:
    """The rows of a split, each one series; from the positions of a window to its fields.

    Columns: values (NaN where missing), known (K a step, `horizon` steps past the last value), past (C a step), static
    (a category each), origins (how many values are seen where a forecast is asked for; none in training), units and
    naive2 (one and `horizon` an origin), lags and horizon (the same in all rows), series (its number in the sidecar).
    """

    def __init__(self, columns: Columns):
        self._columns, self._offsets = columns, columns.offsets_of("values")
        self._lengths = np.diff(self._offsets)
        self.horizon, self.lags = int(columns["horizon"][0]), columns["lags"][0].astype(np.int64)
        steps = int(self._lengths[0])
        self._num_known = len(columns["known"][0]) // (steps + self.horizon)
        self._num_past = len(columns["past"][0]) // steps
        self._origins = columns["origins"].values.astype(np.int64)
        rows_O = np.repeat(np.arange(len(self._lengths)), np.diff(columns["origins"].offsets))
        self.origins_O: Positions = self._offsets[rows_O] + self._origins - 1
        """The position of each origin's last seen value."""
        self.rows_O = rows_O
        self._number_of = dict(zip(self.origins_O.tolist(), range(len(self.origins_O)), strict=True))

    @property
    def begins_N(self) -> Positions:
        """The position of each row's first value."""
        return self._offsets[:-1]

    @property
    def steps_N(self) -> Positions:
        """The steps of each row that a network reads: up to the last origin, or to the last value but one."""
        if not len(self.rows_O):
            return self._lengths - 1
        steps_N = np.zeros_like(self._lengths)
        np.maximum.at(steps_N, self.rows_O, self._origins)
        return steps_N

    def numbers(self, positions: Positions) -> Positions:
        """The number of the origin at each position, -1 where there is none."""
        found = [self._number_of.get(position, -1) for position in positions.ravel().tolist()]
        return np.array(found, np.int64).reshape(positions.shape)

    def fields(self, positions_TB: Positions) -> dict[str, Tensor]:
        """What a window's steps see and what comes after them; padding sees its row's first step.

        Returns:
            past_TBL: values at the lags; NaN where missing, or before the first one.
            targets_TBS: the next h values; NaN where missing, or past the last one of the row.
            known_TBSK: K covariates of the present step and of the next h: (T, B, h + 1, K).
            covariates_TBC: those known for the past only, of the present step.
            static_TBE: int64, categories.
            age_TB: steps since the row's first.
            series_TB: int64, the row's number in the sidecar.
            origin_TB: int64, number of the origin that the step is, or -1; and
            num_origins: how many the split has.
            unit_TB, naive2_TBS: of that origin, what its errors are measured by; NaN at other steps.
            before_TBP: the values up to the present one, newest first, to be shown behind a forecast; only where there
                are origins.
        """
        safe_TB = np.maximum(positions_TB, 0)
        rows_TB = np.searchsorted(self._offsets, safe_TB, side="right") - 1
        begins_TB, ends_TB = self._offsets[rows_TB], self._offsets[rows_TB + 1]
        origin_TB = np.where(positions_TB >= 0, self.numbers(safe_TB), -1)
        fields = {
            "past_TBL": self._values(safe_TB[:, :, None] - self.lags, begins_TB, ends_TB),
            "targets_TBS": self._values(safe_TB[:, :, None] + 1 + np.arange(self.horizon), begins_TB, ends_TB),
            "known_TBSK": self._known(safe_TB - begins_TB, rows_TB),
            "covariates_TBC": self._past(safe_TB),
            "static_TBE": torch.from_numpy(self._static(rows_TB)),
            "age_TB": torch.from_numpy((safe_TB - begins_TB).astype(np.float32)),
            "series_TB": torch.from_numpy(self._columns["series"][rows_TB].astype(np.int64)),
            "origin_TB": torch.from_numpy(origin_TB),
            "num_origins": torch.tensor(len(self.origins_O)),
            "unit_TB": self._of_origins("units", origin_TB, 1)[:, :, 0],
            "naive2_TBS": self._of_origins("naive2", origin_TB, self.horizon),
        }
        if len(self.origins_O):
            before_TBP = safe_TB[:, :, None] - np.arange(SHOWN_BEFORE * self.horizon)
            fields["before_TBP"] = self._values(before_TBP, begins_TB, ends_TB)
        return fields

    def _values(self, wanted_TBL: Positions, begins_TB: Positions, ends_TB: Positions) -> Tensor:
        there_TBL = (wanted_TBL >= begins_TB[:, :, None]) & (wanted_TBL < ends_TB[:, :, None])
        values_TBL = self._columns.values_of("values")[np.where(there_TBL, wanted_TBL, 0)]
        return torch.from_numpy(np.where(there_TBL, values_TBL, np.float32(np.nan)))

    def _known(self, steps_TB: Positions, rows_TB: Positions) -> Tensor:
        begins_TB11 = self._columns.offsets_of("known")[rows_TB][:, :, None, None]
        steps_TBS1 = (steps_TB[:, :, None] + np.arange(self.horizon + 1))[:, :, :, None]
        places = begins_TB11 + steps_TBS1 * self._num_known + np.arange(self._num_known)
        return torch.from_numpy(self._columns.values_of("known")[places])

    def _past(self, positions_TB: Positions) -> Tensor:
        places_TBC = positions_TB[:, :, None] * self._num_past + np.arange(self._num_past)
        return torch.from_numpy(self._columns.values_of("past")[places_TBC])

    def _of_origins(self, name: str, origin_TB: Positions, size: int) -> Tensor:
        """Rows of `size` numbers, one an origin."""
        rows = np.append(self._columns[name].values, np.full(size, np.nan, np.float32)).reshape(-1, size)
        return torch.from_numpy(rows[origin_TB])

    def _static(self, rows_TB: Positions) -> NDArray[np.int64]:
        static = self._columns["static"]
        return static.values.reshape(len(static), -1)[rows_TB].astype(np.int64)


class Tails:
    """Windows of the steps up to a chosen one of a series, nothing carried: one a lane, padded before the series.

    With a seed each epoch draws as many as there are steps in the data: every series equally often, ended anywhere.
    Without one the windows end at the given steps, in their order.

    Args:
        begins_N, steps_N: first position and steps of each series.
        ends_O: the last position of each window, and
        rows_O: its series; both for windows that are not drawn.
    """

    carries = False

    def __init__(
        self,
        begins_N: Positions,
        steps_N: Positions,
        ends_O: Positions,
        rows_O: Positions,
        *,
        lanes: int,
        window: int,
        seed: int | None,
    ):
        self.lanes, self.window, self._seed = lanes, window, seed
        self._begins_N, self._steps_N = begins_N, steps_N
        self._given = ends_O, rows_O
        wanted = len(ends_O) if seed is None else math.ceil(int(steps_N.sum()) / window)
        self.windows_per_epoch = math.ceil(wanted / lanes)
        self._drawn: tuple[int, Positions, Positions] | None = None

    def place(self, epoch: int, step: int, lanes: slice) -> tuple[Positions, NDArray[np.bool_]]:
        ends_O, rows_O = self._given if self._seed is None else self._draw(epoch, self._seed)
        here = slice(step * self.lanes, (step + 1) * self.lanes)
        ends_B, begins_B = ends_O[here][lanes], self._begins_N[rows_O[here][lanes]]
        # The last window of given ends may be short of lanes.
        missing = len(range(self.lanes)[lanes]) - len(ends_B)
        ends_B = np.append(ends_B, np.full(missing, -1))
        begins_B = np.append(begins_B, np.zeros(missing, np.int64))
        positions_TB = ends_B - np.arange(self.window)[::-1, None]
        positions_TB = np.where(positions_TB >= begins_B, positions_TB, -1)
        valid_TB = positions_TB >= 0
        return positions_TB, padding_begins(valid_TB) | padding_begins(~valid_TB)

    @property
    def pad_share(self) -> float:
        """Of given windows; of drawn ones, what is to be expected."""
        ends_O, rows_O = self._given
        if self._seed is None:
            seen = np.minimum(ends_O - self._begins_N[rows_O] + 1, self.window).sum()
            return 1 - float(seen) / (self.windows_per_epoch * self.lanes * self.window)
        return 1 - float(np.minimum(self._steps_N, self.window).mean()) / self.window

    def _draw(self, epoch: int, seed: int) -> tuple[Positions, Positions]:
        """The ends and series of an epoch's windows."""
        if self._drawn is None or self._drawn[0] != epoch:
            random = np.random.Generator(np.random.Philox(key=[seed, epoch]))
            count, total = len(self._steps_N), self.windows_per_epoch * self.lanes
            rounds = [random.permutation(count) for _ in range(math.ceil(total / count))]
            rows_O = np.concatenate(rounds)[:total]
            first_O = np.minimum(self.window, self._steps_N[rows_O]) - 1
            last_O = first_O + np.floor(random.random(total) * (self._steps_N[rows_O] - first_O)).astype(np.int64)
            self._drawn = epoch, self._begins_N[rows_O] + last_O, rows_O
        return self._drawn[1], self._drawn[2]
