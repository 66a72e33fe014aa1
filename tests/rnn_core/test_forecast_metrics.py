"""Scores of forecasts: values worked out by hand, and properties that the definitions imply."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from rnn_core.metrics import forecasts
from rnn_core.metrics.forecasts import crps, naive2, pinball, seasonal_naive

LEVELS = np.arange(1, 10) / 10


def array(*values: float) -> np.ndarray:
    return np.array(values, np.float64)


def test_smape_by_hand() -> None:
    found = forecasts.smape(array(100, 0, -10, 3), array(50, 0, 10, 3))
    np.testing.assert_allclose(found, [200 * 50 / 150, 0, 200, 0])


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=9), st.floats(1e-3, 1e3))
def test_smape_is_bounded_and_knows_no_unit(values: list[float], unit: float) -> None:
    actual, forecast = array(*values), array(*values[::-1])
    found = forecasts.smape(actual, forecast)
    assert ((found >= 0) & (found <= 200 + 1e-9)).all()
    np.testing.assert_allclose(forecasts.smape(unit * actual, unit * forecast), found, rtol=1e-9, atol=1e-9)


def test_seasonal_error_by_hand() -> None:
    assert forecasts.seasonal_error(array(1, 3, 2, 6), 1) == pytest.approx((2 + 1 + 4) / 3)
    assert forecasts.seasonal_error(array(1, 3, 2, 6), 2) == pytest.approx((1 + 3) / 2)
    assert math.isnan(forecasts.seasonal_error(array(1, 3), 2))


def test_the_winner_of_m4_has_its_published_owa() -> None:
    """Smyl's hourly and weekly errors beside those of Naive2, as the competition published them."""
    assert forecasts.owa(9.328, 0.893, 18.383, 2.395) == pytest.approx(0.440, abs=5e-4)
    assert forecasts.owa(7.817, 2.356, 9.161, 2.777) == pytest.approx(0.851, abs=5e-4)


def test_pinball_by_hand() -> None:
    found = pinball(array(10, 10), np.array([[8.0, 12.0], [10.0, 11.0]]), array(0.1, 0.9))
    np.testing.assert_allclose(found, [[0.2, 0.2], [0.0, 0.1]])


def test_the_true_quantiles_have_the_least_loss() -> None:
    drawn = np.random.default_rng(1).gamma(2.0, 3.0, 20_000)
    true = stats.gamma(2.0, scale=3.0).ppf(LEVELS)
    best = pinball(drawn, np.tile(true, (len(drawn), 1)), LEVELS).mean(0)
    for wrong in (true * 1.2, true - 0.7):
        assert (best < pinball(drawn, np.tile(wrong, (len(drawn), 1)), LEVELS).mean(0)).all()


def test_crps_comes_near_to_that_of_the_normal_distribution() -> None:
    """Gneiting and Raftery 2007, equation 21: y (2 Phi(y) - 1) + 2 phi(y) - 1 / sqrt(pi)."""
    levels = (np.arange(2_000) + 0.5) / 2_000
    for y in (-1.5, 0.0, 0.4):
        exact = y * (2 * stats.norm.cdf(y) - 1) + 2 * stats.norm.pdf(y) - 1 / math.sqrt(math.pi)
        assert crps(array(y), stats.norm.ppf(levels)[None], levels)[0] == pytest.approx(exact, abs=1e-4)


def test_crps_of_the_median_alone_is_the_absolute_error() -> None:
    np.testing.assert_allclose(crps(array(3, 5), np.array([[1.0], [9.0]]), array(0.5)), [2, 4])


def test_an_interval_has_its_ends() -> None:
    assert forecasts.covered(array(1, 2, 3.1), array(1, 0, 0), array(2, 2, 3)).tolist() == [True, True, False]


def test_seasonal_naive_repeats_the_last_season() -> None:
    assert seasonal_naive(array(1, 2, 3, 4, 5), 3, 7).tolist() == [3, 4, 5, 3, 4, 5, 3]
    assert seasonal_naive(array(1, 2), 3, 3).tolist() == [2, 2, 2]


@pytest.mark.parametrize("season", [4, 7])
def test_naive2_finds_a_season_and_the_level_of_the_last_value(season: int) -> None:
    factors = np.linspace(0.6, 1.4, season)
    history = 50 * factors[np.arange(8 * season + 2) % season]
    expected = 50 * factors[(len(history) + np.arange(10)) % season]
    np.testing.assert_allclose(forecasts.seasonal_factors(history, season), factors, rtol=1e-12)
    np.testing.assert_allclose(naive2(history, season, 10), expected, rtol=1e-12)


def test_naive2_of_what_has_no_season_is_the_last_value() -> None:
    noise = np.random.default_rng(5).normal(10, 1, 400)
    assert naive2(noise, 24, 3).tolist() == [noise[-1]] * 3
    assert naive2(np.full(100, 5.0), 4, 2).tolist() == [5, 5]
    assert naive2(array(1, 2, 3), 4, 2).tolist() == [3, 3]
    assert naive2(noise, 1, 1).tolist() == [noise[-1]]


@given(st.integers(2, 12), st.integers(0, 5))
def test_factors_have_the_mean_1(season: int, seed: int) -> None:
    history = np.random.default_rng(seed).uniform(1, 9, 5 * season + seed)
    assert forecasts.seasonal_factors(history, season).mean() == pytest.approx(1)
