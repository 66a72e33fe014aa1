"""The sample corpus of sales: its exact scores against sums over all hidden paths, and against simulation."""

import itertools

import numpy as np
import pytest
from scipy import stats

from pipelines import files, samples
from pipelines.samples import sales_forecast
from pipelines.samples.sales_forecast import HORIZON, LEVELS, SHOP, TEST, Shops
from rnn_core.metrics.forecasts import crps

TINY = Shops(
    sizes=(2.0, 5.0), weeks=((0.5,) * 6 + (2.0,),), lifts=(1.0, 2.0), demands=(0.5, 1.5), spread=0.2, keep_demand=0.8
)
DAYS = np.arange(4)


def pmf(count: int, mean: float, spread: float) -> float:
    return float(stats.nbinom(1 / spread, 1 / (1 + spread * mean)).pmf(count))


def mean_of(process: Shops, kind: tuple, demand: float, day: int, promoted: int) -> float:
    size, week, lift = kind
    return size * week[day % 7] * lift**promoted * demand


def posterior(process: Shops, sales: list[int], promotions: list[int]) -> dict:
    """P(kind, demand today | all sales), by a sum over all that could have been."""
    weights: dict = {}
    for kind in itertools.product(process.sizes, process.weeks, process.lifts):
        for path in itertools.product(process.demands, repeat=len(sales)):
            p = 1.0
            for before, after in itertools.pairwise(path):
                p *= process.keep_demand if before == after else 1 - process.keep_demand
            for day, (count, promoted, demand) in enumerate(zip(sales, promotions, path, strict=True)):
                p *= pmf(count, mean_of(process, kind, demand, day, promoted), process.spread)
            weights[(*kind, path[-1])] = weights.get((*kind, path[-1]), 0.0) + p
    total = sum(weights.values())
    return {state: weight / total for state, weight in weights.items()}


@pytest.mark.parametrize("sales", [[0, 3, 1, 9], [4, 4, 0, 0]])
def test_filter_equals_the_sum_over_all_hidden_paths(sales: list[int]) -> None:
    promotions = [0, 1, 1, 0]
    means = TINY.means(DAYS, np.array([promotions]))
    f = TINY.filtered(TINY.likelihoods(np.array([sales]), means))
    for days in range(1, 5):
        expected = posterior(TINY, sales[:days], promotions[:days])
        np.testing.assert_allclose(f[0, days - 1], [expected[state] for state in TINY.states], atol=1e-12)


def test_quantiles_are_those_of_the_mixture() -> None:
    promotions = np.array([[0, 1, 1, 0, 1, 0]])
    means = TINY.means(np.arange(6), promotions)
    f = TINY.filtered(TINY.likelihoods(np.array([[2, 7, 5, 1]]), means[:, :4]))[0, -1]
    found = TINY.quantiles(f[None], means[0, 4:], LEVELS)[0]
    for ahead in (1, 2):
        later = f @ np.linalg.matrix_power(TINY.transitions, ahead)
        cumulated, count, quantiles = 0.0, -1, []
        for level in LEVELS:
            while cumulated < level:
                count += 1
                day = means[0, 3 + ahead]
                cumulated += sum(w * pmf(count, mean, TINY.spread) for w, mean in zip(later, day, strict=True))
            quantiles.append(count)
        assert found[ahead - 1].tolist() == quantiles


def test_sales_follow_the_process() -> None:
    promotions, sales = TINY.draw(4_000, 3, np.random.default_rng(2))
    today, tomorrow = promotions[:, 1], promotions[:, 2]
    assert abs(tomorrow[today == 1].mean() - sales_forecast.PROMOTION[1]) < 0.1
    assert abs(tomorrow[today == 0].mean() - sales_forecast.PROMOTION[0]) < 0.02
    first = [pmf(count, mean_of(TINY, kind, d, 0, 0), 0.2) for *kind, d in TINY.states for count in range(4)]
    expected = np.array(first).reshape(-1, 4).mean(0)
    seen = np.bincount(sales[:, 0], minlength=4)[:4] / len(sales)
    np.testing.assert_allclose(seen, expected, atol=0.03)


def test_no_forecast_beats_the_best_on_average() -> None:
    promotions, sales = SHOP.draw(60, TEST + 140, np.random.default_rng(5))
    best, memoryless = sales_forecast.scores(SHOP, promotions, sales)
    naive = []
    for history in sales.astype(float):
        for origin in range(140, 140 + TEST - HORIZON + 1, HORIZON):
            wide = np.quantile(history[:origin].reshape(-1, 7), LEVELS, axis=0).T
            naive.append(crps(history[origin : origin + 7], wide, LEVELS))
    assert best.mean() < 0.8 * np.mean(naive)
    assert best.mean() < 0.6 * memoryless.mean()


def test_limits_lie_far_apart(tmp_path) -> None:
    samples.generate("sales_forecast", tmp_path)
    limits = files.read_json(tmp_path / "limits.json")
    assert (limits["metric"], limits["direction"]) == ("crps", "min")
    assert limits["best_possible"] < 0.6 * limits["best_memoryless"]
    lines = (tmp_path / "sales.csv").read_text().splitlines()
    assert lines[0] == "shop,date,sales,promotion"
    assert len(lines) == 1 + sales_forecast.SHOPS * sales_forecast.DAYS
