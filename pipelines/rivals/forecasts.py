"""Simple forecasts of a single series: the seasonal naive one, and the automatic methods of `statsforecast`.

AutoETS: exponential smoothing chosen by AICc (Hyndman and Khandakar 2008). AutoTheta: Fiorucci et al. 2016. MSTL:
season and trend by LOESS (Bandara et al. 2021), the adjusted series by AutoETS. Each is fitted to the history of each
origin anew, which a network is not: it stands here as strong as it can be.
"""

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnn_core.metrics.forecasts import seasonal_naive

Array = NDArray[np.float64]
Forecaster = Callable[[Array, int, int, Sequence[float]], Array]


def _naive(history: Array, season: int, steps: int, levels: Sequence[float]) -> Array:
    """Of points, so all quantiles are equal."""
    return np.repeat(seasonal_naive(history, season, steps)[:, None], len(levels), axis=1)


def _by_library(model: Callable[[Any, int], Any]) -> Forecaster:
    def forecast(history: Array, season: int, steps: int, levels: Sequence[float]) -> Array:
        from statsforecast import models

        widths = sorted({round(100 * abs(2 * level - 1)) for level in levels} - {0})
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = model(models, season).forecast(y=history, h=steps, level=widths)
        names = {level: f"{'lo' if level < 0.5 else 'hi'}-{round(100 * abs(2 * level - 1))}" for level in levels}
        return np.stack([found["mean" if level == 0.5 else names[level]] for level in levels], axis=1)

    return forecast


RIVALS: dict[str, Forecaster] = {
    "seasonal_naive": _naive,
    "auto_ets": _by_library(lambda models, season: models.AutoETS(season_length=season)),
    "auto_theta": _by_library(lambda models, season: models.AutoTheta(season_length=season)),
    "mstl_ets": _by_library(
        lambda models, season: models.MSTL(season_length=season, trend_forecaster=models.AutoETS(model="ZZN"))
    ),
}
"""name -> (history without gaps, steps of a season, steps ahead, levels) -> quantiles, (steps, levels).

A season of more than LONGEST steps is none to AutoETS and AutoTheta; MSTL wants two seasons of history.
"""
LONGEST = {"auto_ets": 24, "auto_theta": 24}


def forecast(name: str, history: Array, season: int, steps: int, levels: Sequence[float]) -> Array:
    """Quantiles of the next steps by one of RIVALS; the seasonal naive ones where it finds no model (a constant, or a
    history of less than two seasons)."""
    if season > LONGEST.get(name, season):
        season = 1
    if name != "seasonal_naive" and (len(history) < max(2 * season, 10) or np.ptp(history) == 0):
        name = "seasonal_naive"
    return RIVALS[name](history, season, steps, levels)
