"""Made-up daily sales of small shops, with the exact best quantiles of every forecast.

The process. A shop draws once, for good, how large it is (SIZES), which days of the week are its busy ones (a row of
WEEKS), and by how much a promotion lifts its sales (LIFTS). A hidden demand, low or high, changes seldom. The sales of
a day are a count from a negative binomial distribution with

    mean = size * week[day of the week] * lift^promotion * demand          variance = mean + SPREAD mean^2

Promotions come and go in runs of some days and are known ahead, as is the day of the week.

Why it is a sequence problem. One day's count says next to nothing of five hidden things: large shop on a quiet day, or
small one on a busy day with a promotion? All days of a shop together settle what stays, and the last dozen of them
whether demand is high just now. So evidence must be carried from a shop's first day on, far beyond any window.

The exact scores. State s = (size, week, lift, demand) is one of finitely many, a Markov chain with transitions T that
change the demand only. With e_t(y) the probability of a count in each state on day t (the forward algorithm),

    P(s_t | y_1..t) = f_t    where f_t = (f_t-1 T) e_t(y_t) / normalised,    f_0 T = uniform
    P(y_t+k | y_1..t) = sum_s (f_t T^k)(s) e_t+k(. | s)

The quantiles of this mixture have the least pinball loss of all forecasts, at each level, so the mean over the levels
(the CRPS of `rnn_core.metrics.forecasts`) cannot be beaten. Without memory, f_t is uniform(s) e_t(y_t) / normalised:
the present count and day, and nothing before.
"""

import datetime
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipelines import files
from rnn_core.metrics.forecasts import crps

Array = NDArray[np.float64]
SEED = 1
SHOPS, DAYS, HORIZON = 200, 420, 7
TEST, EVERY = 28, 7
"""Days of the newest part, and from one origin to the next: as `data.test` in params.yaml."""
LEVELS = np.arange(1, 10) / 10
FIRST_DAY = datetime.date(2024, 1, 1)

SIZES = (6.0, 15.0, 40.0)
WEEKS = (
    (0.5, 0.5, 0.5, 0.6, 1.0, 2.1, 1.8),
    (1.6, 1.5, 1.4, 1.3, 0.8, 0.2, 0.2),
    (0.7, 1.6, 0.7, 0.7, 1.6, 0.7, 1.0),
)
LIFTS = (1.0, 2.5)
DEMANDS = (0.6, 1.4)
SPREAD = 0.05
KEEP_DEMAND = 0.97
"""Probability that tomorrow's demand is today's."""
PROMOTION = (0.05, 0.75)
"""Probability of a promotion tomorrow, without and with one today."""


@dataclass(frozen=True, kw_only=True)
class Shops:
    """The process: everything that `generate` draws from and the scores are computed from."""

    sizes: tuple[float, ...]
    weeks: tuple[tuple[float, ...], ...]
    lifts: tuple[float, ...]
    demands: tuple[float, ...]
    spread: float
    keep_demand: float

    @cached_property
    def states(self) -> list[tuple[float, tuple[float, ...], float, float]]:
        """The demand changes fastest in their order."""
        return list(product(self.sizes, self.weeks, self.lifts, self.demands))

    @cached_property
    def transitions(self) -> Array:
        """T, shape (states, states); its stationary distribution is uniform."""
        count = len(self.demands)
        off = (1 - self.keep_demand) / max(count - 1, 1)
        demand = np.full((count, count), off) + np.eye(count) * (self.keep_demand - off)
        return np.asarray(np.kron(np.eye(len(self.states) // count), demand), np.float64)

    def means(self, days: NDArray[np.int64], promotions_ND: NDArray[np.int64]) -> Array:
        """Of the sales of N shops on these days in each state, (N, days, states)."""
        sizes, weeks, lifts, demands = (np.array(part) for part in zip(*self.states, strict=True))
        means_NDS: Array = sizes * weeks.T[days % 7] * lifts ** promotions_ND[:, :, None] * demands
        return means_NDS

    def draw(self, shops: int, days: int, rng: np.random.Generator) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """promotions_ND and sales_ND of shops from their first day on, a Monday."""
        promotions_ND = np.zeros((shops, days), np.int64)
        kinds_N = rng.integers(len(self.states) // len(self.demands), size=shops) * len(self.demands)
        demands_ND = np.zeros((shops, days), np.int64)
        demands_ND[:, 0] = rng.integers(len(self.demands), size=shops)
        for day in range(1, days):
            before_N = promotions_ND[:, day - 1]
            promotions_ND[:, day] = rng.random(shops) < np.array(PROMOTION)[before_N]
            moved_N = rng.random(shops) >= self.keep_demand
            steps_N = rng.integers(1, len(self.demands), size=shops)
            demands_ND[:, day] = (demands_ND[:, day - 1] + moved_N * steps_N) % len(self.demands)
        means_NDS = self.means(np.arange(days), promotions_ND)
        mean_ND = np.take_along_axis(means_NDS, (kinds_N[:, None] + demands_ND)[:, :, None], 2)[:, :, 0]
        shape = 1 / self.spread
        return promotions_ND, rng.negative_binomial(shape, shape / (shape + mean_ND))

    def likelihoods(self, sales_ND: NDArray[np.int64], means_NDS: Array) -> Array:
        """e_t(y_t) of each state, (N, days, states), up to a factor that is equal for all states."""
        shape = 1 / self.spread
        logs = sales_ND[:, :, None] * np.log(means_NDS / (means_NDS + shape)) - shape * np.log(means_NDS + shape)
        return np.exp(logs - logs.max(axis=2, keepdims=True))

    def filtered(self, likelihoods_NDS: Array) -> Array:
        """f_t of each day, (N, days, states)."""
        f_NS, found = np.full(likelihoods_NDS[:, 0].shape, 1 / len(self.states)), []
        for day in range(likelihoods_NDS.shape[1]):
            f_NS = _normalised(f_NS @ self.transitions * likelihoods_NDS[:, day])
            found.append(f_NS)
        return np.stack(found, axis=1)

    def probabilities(self, means_S: Array) -> Array:
        """Of the counts 0, 1, 2, ... in states of these means, (states, counts), as far as any is likely."""
        shape, largest = 1 / self.spread, means_S.max()
        counts = np.arange(1, int(largest + 12 * np.sqrt(largest + self.spread * largest**2)) + 30)
        ways = np.concatenate([[0.0], np.cumsum(np.log((counts - 1 + shape) / counts))])
        odds_S1 = np.log(means_S / (shape + means_S))[:, None]
        none_S1 = shape * np.log(shape / (shape + means_S))[:, None]
        return np.exp(none_S1 + ways + odds_S1 * np.arange(len(counts) + 1))

    def quantiles(self, f_KS: Array, means_DS: Array, levels: Array) -> Array:
        """Of the days behind one whose states are distributed by each of K `f`: (K, days, levels)."""
        found = np.empty((len(f_KS), len(means_DS), len(levels)))
        for day, means_S in enumerate(means_DS):
            f_KS = f_KS @ self.transitions
            for k, cumulated in enumerate(np.cumsum(f_KS @ self.probabilities(means_S), axis=1)):
                found[k, day] = np.searchsorted(cumulated, levels)
        return found


SHOP = Shops(sizes=SIZES, weeks=WEEKS, lifts=LIFTS, demands=DEMANDS, spread=SPREAD, keep_demand=KEEP_DEMAND)


def scores(process: Shops, promotions_ND: NDArray[np.int64], sales_ND: NDArray[np.int64]) -> Array:
    """CRPS of all test forecasts, (2, forecasts, HORIZON): with all of a shop's past, and without memory."""
    days = sales_ND.shape[1]
    means_NDS = process.means(np.arange(days), promotions_ND)
    likelihoods_NDS = process.likelihoods(sales_ND, means_NDS)
    with_memory_NDS, without_NDS = process.filtered(likelihoods_NDS), _normalised(likelihoods_NDS)
    found = []
    for shop in range(len(sales_ND)):
        for origin in range(days - TEST, days - HORIZON + 1, EVERY):
            ahead = slice(origin, origin + HORIZON)
            f_KS = np.stack([with_memory_NDS[shop, origin - 1], without_NDS[shop, origin - 1]])
            best = process.quantiles(f_KS, means_NDS[shop, ahead], LEVELS)
            found.append(crps(sales_ND[shop, ahead].astype(np.float64), best, LEVELS))
    return np.stack(found, axis=1)


def generate(folder: Path) -> None:
    """Write `sales.csv` (shop, date, sales, promotion) and
    `limits.json`."""
    promotions_ND, sales_ND = SHOP.draw(SHOPS, DAYS, np.random.default_rng(SEED))
    dates = [(FIRST_DAY + datetime.timedelta(days=day)).isoformat() for day in range(DAYS)]
    lines = [
        f"shop-{shop:03d},{date},{sold},{promoted}"
        for shop in range(SHOPS)
        for date, sold, promoted in zip(dates, sales_ND[shop], promotions_ND[shop], strict=True)
    ]
    text = "".join(f"{line}\n" for line in ["shop,date,sales,promotion", *lines])
    (folder / "sales.csv").write_text(text, encoding="utf-8")
    best, memoryless = scores(SHOP, promotions_ND, sales_ND).mean(axis=(1, 2))
    limits = {
        "metric": "crps",
        "direction": "min",
        "best_possible": round(float(best), 6),
        "best_memoryless": round(float(memoryless), 6),
    }
    files.write_json(folder / "limits.json", limits)


def _normalised(weights: Array) -> Array:
    return weights / weights.sum(axis=-1, keepdims=True)
