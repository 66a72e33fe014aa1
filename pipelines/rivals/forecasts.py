"""Simple forecasts of a single series: the seasonal naive one, and the automatic methods of `statsforecast`.

AutoETS: exponential smoothing chosen by AICc (Hyndman and Khandakar 2008). AutoTheta: Fiorucci et al. 2016. MSTL:
season and trend by LOESS (Bandara et al. 2021), the adjusted series by AutoETS. Each is fitted once, before a series'
first origin, as a network is; at later origins the fitted model reads on.
"""

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnn_core.metrics.forecasts import seasonal_naive

Array = NDArray[np.float64]
SEASONAL_NAIVE = "seasonal_naive"
MODELS: dict[str, Callable[[Any, int], Any]] = {
    "auto_ets": lambda models, season: models.AutoETS(season_length=season),
    "auto_theta": lambda models, season: models.AutoTheta(season_length=season),
    "mstl_ets": lambda models, season: models.MSTL(season, trend_forecaster=models.AutoETS(model="ZZN")),
}
"""From the library's module and the steps of a season."""
RIVALS = (SEASONAL_NAIVE, *MODELS)
LONGEST = {"auto_ets": 24, "auto_theta": 24}
"""A season of more steps is none to these methods."""
LEAST = 10
"""Values beyond a season that a model is fitted to."""


def forecasts(
    name: str, values: Array, origins: Sequence[int], season: int, steps: int, levels: Sequence[float]
) -> Array:
    """Quantiles of the next steps at each origin, (origins, steps, levels).

    The seasonal naive ones, all equal, where a method finds no model: a constant, or little more than a season.

    Args:
        name: one of RIVALS.
        values: without gaps.
        origins: how many values are seen at each, rising.
    """
    season = 1 if season > LONGEST.get(name, season) else season
    first = values[: origins[0]]
    if name == SEASONAL_NAIVE or len(first) < season + LEAST or np.ptp(first) == 0:
        points = np.stack([seasonal_naive(values[:origin], season, steps) for origin in origins])
        return np.repeat(points[:, :, None], len(levels), axis=2)
    return _by_library(MODELS[name], values, origins, season, steps, levels)


def _by_library(
    model: Callable[[Any, int], Any],
    values: Array,
    origins: Sequence[int],
    season: int,
    steps: int,
    levels: Sequence[float],
) -> Array:
    from statsforecast import models  # here: its import takes seconds, and an answer to a user does not need it

    widths = sorted({_width(level) for level in levels} - {0})
    names = ["mean" if level == 0.5 else f"{'lo' if level < 0.5 else 'hi'}-{_width(level)}" for level in levels]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fitted = model(models, season).fit(y=values[: origins[0]])
        found = [fitted.predict(h=steps, level=widths)]
        found += [fitted.forward(y=values[:origin], h=steps, level=widths) for origin in origins[1:]]
    return np.stack([np.stack([one[name] for name in names], axis=1) for one in found])


def _width(level: float) -> int:
    """Percent of the interval that the quantile is an end of."""
    return round(100 * abs(2 * level - 1))
