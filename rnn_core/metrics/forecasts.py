"""Scores of forecasts: of points (sMAPE, MASE, OWA) and of distributions (CRPS by quantiles, coverage); and Naive2.

Makridakis et al. 2020 (The M4 Competition: 100,000 time series and 61 forecasting methods) for the first; Gneiting and
Raftery 2007 (Strictly proper scoring rules) for the second. All sums are float64. h is a forecast's number of steps, m
the season's: both in steps of the series.
"""

import math

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

SEASONAL_TEST = 1.645
"""Standard errors that the autocorrelation at lag m must exceed: 90 %, two-sided."""


def smape(actual: Array, forecast: Array) -> Array:
    """200 |y - f| / (|y| + |f|) of each step, 0 where both are 0; its mean is the symmetric percentage error."""
    error, size = np.abs(actual - forecast), np.abs(actual) + np.abs(forecast)
    return 200 * np.divide(error, size, out=np.zeros_like(error), where=size != 0)


def seasonal_error(history: Array, season: int) -> float:
    """Mean |y_t - y_t-m| of a history: what the seasonal naive misses within the sample, the unit of MASE.

    NaN values are gaps: a difference that lacks one is left out. NaN where there is no difference at all.
    """
    errors = np.abs(history[season:] - history[:-season])
    errors = errors[~np.isnan(errors)]
    return float(errors.mean()) if len(errors) else math.nan


def owa(smape_mean: float, mase_mean: float, naive2_smape: float, naive2_mase: float) -> float:
    """The mean of sMAPE and MASE, each relative to that of Naive2 on the same forecasts."""
    return (smape_mean / naive2_smape + mase_mean / naive2_mase) / 2


def pinball(actual: Array, quantiles: Array, levels: Array) -> Array:
    """The loss of each quantile: tau (y - q) where y lies above q, else (1 - tau) (q - y).

    Args:
        actual: (...).
        quantiles: (..., Q).
        levels: tau, (Q,).
    """
    error = actual[..., None] - quantiles
    return np.maximum(levels * error, (levels - 1) * error)


def crps(actual: Array, quantiles: Array, levels: Array) -> Array:
    """Twice the mean pinball loss over the levels, (...): the continuous ranked probability score, whose integral over
    all levels is taken at the given ones. In the unit of the data; with the one level 0.5 it is |y - f|.
    """
    return 2 * pinball(actual, quantiles, levels).mean(axis=-1)


def covered(actual: Array, low: Array, high: Array) -> NDArray[np.bool_]:
    """Whether each step lies in its interval, ends included."""
    inside: NDArray[np.bool_] = (low <= actual) & (actual <= high)
    return inside


def seasonal_naive(history: Array, season: int, steps: int) -> Array:
    """The last season again and again; the last value where the history is shorter than a season."""
    season = season if len(history) >= season else 1
    return np.resize(history[-season:], steps)


def naive2(history: Array, season: int, steps: int) -> Array:
    """The naive forecast of the seasonally adjusted series, seasonalised again where the series is seasonal.

    As the M4 competition computed it: a 90 % test of the autocorrelation at lag m, then the classical multiplicative
    decomposition. With m = 1 it is the last value.
    """
    if not is_seasonal(history, season):
        return np.full(steps, history[-1])
    factors = seasonal_factors(history, season)
    adjusted = history[-1] / factors[(len(history) - 1) % season]
    return adjusted * factors[(len(history) + np.arange(steps)) % season]


def is_seasonal(history: Array, season: int) -> bool:
    """The test of Naive2: |r_m| > 1.645 sqrt((1 + 2 sum_{i<m} r_i^2) / n); False within three seasons."""
    if season == 1 or len(history) < 3 * season:
        return False
    centred = history - history.mean()
    power = float(centred @ centred)
    if power == 0:
        return False
    r = np.array([centred[lag:] @ centred[:-lag] for lag in range(1, season + 1)]) / power
    limit = SEASONAL_TEST * math.sqrt((1 + 2 * float((r[:-1] ** 2).sum())) / len(history))
    return abs(float(r[-1])) > limit


def seasonal_factors(history: Array, season: int) -> Array:
    """The m factors of the classical multiplicative decomposition, of mean 1; index t mod m for step t.

    The trend is a centred moving average over one season (its two ends count half where m is even).
    """
    weights = np.ones(season) if season % 2 else np.array([0.5, *np.ones(season - 1), 0.5])
    trend = np.convolve(history, weights / season, "valid")
    half = season // 2
    ratio = history[half : half + len(trend)] / trend
    phase = (half + np.arange(len(trend))) % season
    means = np.bincount(phase, ratio, season) / np.bincount(phase, minlength=season)
    return means / means.mean()
