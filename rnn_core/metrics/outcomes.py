"""Many forecasts and what came: all scores over them, and each forecast's and each step's own.

A value that is missing is left out. A forecast counts once in sMAPE, MASE and OWA, however many of its values are there
(as in the M4 competition); CRPS, coverage and the weighted quantile loss are means over values.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from rnn_core.metrics.forecasts import Array, covered, crps, owa, smape


@dataclass(frozen=True)
class Outcomes:
    """O forecasts of S steps at Q levels, among which are 0.1, 0.5 and 0.9."""

    quantiles_OSQ: Array
    targets_OS: Array
    """NaN where a value is missing."""
    units_O: Array
    """MASE's; NaN where a history is constant: such a forecast has no MASE, and is left out of it."""
    naive2_OS: Array
    levels: Sequence[float]

    @property
    def median_OS(self) -> Array:
        return self.quantiles_OSQ[:, :, list(self.levels).index(0.5)]

    @cached_property
    def smape_OS(self) -> Array:
        return smape(self.targets_OS, self.median_OS)

    @cached_property
    def mase_OS(self) -> Array:
        return np.abs(self.targets_OS - self.median_OS) / self.units_O[:, None]

    @cached_property
    def crps_OS(self) -> Array:
        return crps(self.targets_OS, self.quantiles_OSQ, np.array(self.levels))

    @cached_property
    def covered_OS(self) -> Array:
        """1 in the 80 % interval, 0 outside of it, NaN where a value is missing."""
        low, high = (self.quantiles_OSQ[:, :, list(self.levels).index(level)] for level in (0.1, 0.9))
        return np.where(np.isnan(self.targets_OS), np.nan, covered(self.targets_OS, low, high))

    def scores(self) -> dict[str, float]:
        """By name; percentages are 0 to 100. MASE and OWA only where a unit is known."""
        naive_smape = mean(smape(self.targets_OS, self.naive2_OS), 1)
        naive_mase = mean(np.abs(self.targets_OS - self.naive2_OS) / self.units_O[:, None], 1)
        size = average(np.abs(self.targets_OS))
        found = {
            "smape": average(mean(self.smape_OS, 1)),
            "crps": average(self.crps_OS),
            "weighted_quantile_loss": average(self.crps_OS) / max(size, np.finfo(float).tiny),
            "coverage_80": 100 * average(self.covered_OS),
        }
        mase_O = mean(self.mase_OS, 1)
        if np.isnan(mase_O).all():
            return found
        found["mase"] = average(mase_O)
        reference = average(naive_smape), average(naive_mase)
        return found | ({"owa": owa(found["smape"], found["mase"], *reference)} if min(reference) > 0 else {})

    def by_step(self) -> list[dict[str, float]]:
        """A row for each step ahead, over all forecasts."""
        return [
            {
                "step": step + 1,
                "smape": average(self.smape_OS[:, step]),
                "mase": average(self.mase_OS[:, step]),
                "crps": average(self.crps_OS[:, step]),
                "coverage_80": 100 * average(self.covered_OS[:, step]),
            }
            for step in range(self.targets_OS.shape[1])
        ]


def mean(values: Array, axis: int) -> Array:
    """Of what is there along an axis; NaN, and no warning, where nothing is."""
    there = ~np.isnan(values)
    count = there.sum(axis)
    total = np.where(there, values, 0.0).sum(axis)
    return np.divide(total, count, out=np.full(np.shape(total), np.nan), where=count > 0)


def average(values: Array) -> float:
    """Of all that is there."""
    return float(mean(values.ravel(), 0))
