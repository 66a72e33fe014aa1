"""Intervals of a difference hold the true one as often as they say; pairs and blocks count."""

import numpy as np
import pytest

from pipelines.promotion import bootstrap


def mean_of(values_U):
    return lambda counts_U: float(counts_U @ values_U / counts_U.sum())


def compared(own_U, other_U, level=0.95, draws=400, direction="max"):
    return bootstrap.compare(mean_of(own_U), mean_of(other_U), len(own_U), direction, level=level, draws=draws)


def test_intervals_hold_the_true_difference_as_often_as_they_say():
    random, held = np.random.default_rng(0), 0
    for _ in range(300):
        difficulty_U = random.normal(0, 3, 100)
        own_U, other_U = (difficulty_U + mean + random.exponential(1, 100) - 1 for mean in (0.3, 0.0))
        found = compared(own_U, other_U, level=0.9, draws=200)
        held += found.low <= 0.3 <= found.high
    assert held / 300 == pytest.approx(0.9, abs=0.05)


def test_equal_models_are_called_better_no_more_often_than_the_level_allows():
    random = np.random.default_rng(1)
    called = [compared(*random.normal(size=(2, 60)), draws=200).better for _ in range(300)]
    assert np.mean(called) < 0.06


def test_what_is_hard_for_both_models_does_not_widen_the_interval():
    random = np.random.default_rng(2)
    difficulty_U = random.normal(0, 10, 200)
    own_U, other_U = difficulty_U + 0.3 + random.normal(0, 0.5, 200), difficulty_U + random.normal(0, 0.5, 200)
    paired = compared(own_U, other_U)
    assert paired.better
    assert not compared(own_U, random.permutation(other_U)).better
    assert paired.own - paired.other == pytest.approx(own_U.mean() - other_U.mean())


def test_steps_that_follow_from_each_other_are_drawn_in_blocks():
    """Single steps of a stream would count the same luck many times over."""
    random = np.random.default_rng(3)
    steps = random.normal(size=20_000)
    for step in range(1, len(steps)):
        steps[step] += 0.95 * steps[step - 1]
    single = compared(steps, np.zeros(len(steps)))
    blocks = compared(steps.reshape(-1, 500).mean(1), np.zeros(40))
    assert blocks.high - blocks.low > 3 * (single.high - single.low)


@pytest.mark.parametrize(("direction", "better"), [("max", False), ("min", True)])
def test_better_is_what_the_metric_says(direction, better):
    own_U = np.random.default_rng(4).normal(1, 0.5, 50)
    assert compared(own_U, own_U + 1, direction=direction).better is better
    assert not compared(own_U, own_U, direction=direction).better


def test_few_units_decide_nothing():
    own_U = np.full(bootstrap.FEWEST - 1, 2.0)
    assert not compared(own_U, own_U - 1).better
    assert compared(np.full(bootstrap.FEWEST, 2.0), np.ones(bootstrap.FEWEST)).better


def test_draws_without_a_score_are_left_out_and_the_same_draws_come_again():
    own_U = np.random.default_rng(5).normal(1, 1, 30)
    score = mean_of(own_U)
    holed = bootstrap.compare(
        lambda counts_U: score(counts_U) if counts_U[0] else float("nan"),
        mean_of(np.zeros(30)),
        30,
        "max",
        level=0.95,
        draws=300,
    )
    assert np.isfinite([holed.low, holed.high]).all()
    assert compared(own_U, np.zeros(30)) == compared(own_U, np.zeros(30))
