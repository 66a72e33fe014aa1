"""The forecasting kind: nothing ahead is seen, any unit gives the same forecast, paths are what a slow loop draws."""

import numpy as np
import pytest
import torch

from rnn_core import arrow, bptt, optim
from rnn_core.errors import ConfigError
from rnn_core.models import forecasting
from rnn_core.series.rollout import forecasts
from rnn_core.series.scaling import Scaling, ScalingConfig
from tests.rnn_core.forecasting_data import HORIZON, LAGS, network_of, row_of, series_of, windows_of

LEVELS = (0.1, 0.5, 0.9)
KINDS = [
    ("student_t", "direct", None),
    ("quantile", "direct", {"scale": "spread", "level": 1, "season": 1}),
    ("negative_binomial", "paths", {"scale": "global", "level": 1, "season": 0}),
    ("student_t", "paths", {"scale": "level", "level": 3, "season": 2}),
]


def foretold(network, rows, *, carries=False, lanes=2, window=6, draws=20):
    columns = arrow.from_rows(rows, "forecasting")
    windows = windows_of(columns, lanes=lanes, window=window, carries=carries)
    carry = network.initial_carry(lanes)
    found = list(forecasts(network, windows, carry, levels=LEVELS, draws=draws, seed=4))
    return {one.number: one.quantiles_SQ for one in found}


def two_rows(values):
    return [row_of(values[0], origins=(6, 8)), row_of(values[1], origins=(5,), number=2)]


def values(seed=0):
    random = np.random.default_rng(seed)
    return [random.gamma(3.0, 4.0, length).round() for length in (12, 9)]


@pytest.mark.parametrize("carries", [True, False])
@pytest.mark.parametrize(("head", "output", "scaling"), KINDS)
def test_what_comes_after_the_origin_changes_no_forecast(head, output, scaling, carries) -> None:
    network = network_of(head, output, scaling=scaling)
    lanes = 1 if carries else 2
    before = foretold(network, two_rows(values()), carries=carries, lanes=lanes)
    changed = [v.copy() for v in values()]
    changed[0][8:] += 100
    changed[1][5:] = np.nan
    rows = two_rows(changed)
    for row, origin in zip(rows, (8, 5), strict=True):
        row["past"][origin:] = 99.0
        row["known"][origin + HORIZON :] = 99.0
        row["naive2"] = row["naive2"] + 50
    after = foretold(network, rows, carries=carries, lanes=lanes)
    assert sorted(before) == [0, 1, 2]
    assert all(torch.equal(before[number], after[number]) for number in (1, 2))
    changed[0][7] += 3  # the last seen value does count
    assert not torch.equal(before[1], foretold(network, two_rows(changed), carries=carries, lanes=lanes)[1])


@pytest.mark.parametrize(("head", "output", "scaling"), KINDS)
def test_an_origin_has_its_own_draws(head, output, scaling) -> None:
    network = network_of(head, output, scaling=scaling)
    together = foretold(network, two_rows(values()), lanes=3)
    alone = foretold(network, two_rows(values()), lanes=1)
    for number, q_SQ in together.items():
        torch.testing.assert_close(alone[number], q_SQ, rtol=1e-5, atol=1e-4)


def test_a_carried_state_reads_the_whole_series() -> None:
    network = network_of("quantile")
    rows = [row_of(values()[0], origins=(6, 9))]
    carried = foretold(network, rows, carries=True, lanes=1, window=4)
    whole = foretold(network, rows, lanes=1, window=9)
    for number, q_SQ in carried.items():
        torch.testing.assert_close(whole[number], q_SQ, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("unit", [1e-3, 1e5])
@pytest.mark.parametrize("scale", ["level", "spread"])
def test_a_series_in_another_unit_has_the_same_forecast(unit: float, scale: str) -> None:
    network = network_of("quantile", scaling={"scale": scale, "level": 2, "season": 2})
    with torch.no_grad():  # the size of the level is an input of its own: take it away
        network.model.scaling.unit = 1e-9
        here = foretold(network, [row_of(values()[0], origins=(8,))])[0]
        network.model.scaling.unit = 1e-9 * unit
        there = foretold(network, [row_of(values()[0] * unit, origins=(8,))])[0]
    torch.testing.assert_close(there / unit, here, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("constant", [0.0, 7.0, -3.0])
@pytest.mark.parametrize("scale", ["level", "spread", "global"])
def test_a_constant_series_has_a_finite_loss_and_forecast(constant: float, scale: str) -> None:
    network = network_of("student_t", scaling={"scale": scale, "level": 2, "season": 1})
    windows = windows_of(
        arrow.from_rows([row_of(np.full(9, constant))], "forecasting"), lanes=1, window=8, carries=True
    )
    hidden_TBH, _ = network(windows(0), network.initial_carry(1))
    loss, _ = network.loss(windows(0), hidden_TBH)
    loss.backward()
    assert loss.isfinite()
    assert all(p.grad.isfinite().all() for p in network.parameters() if p.grad is not None)
    assert foretold(network, [row_of(np.full(9, constant), origins=(6,))])[0].isfinite().all()


def test_gaps_are_read_as_nothing_and_learnt_as_nothing() -> None:
    network, gappy = network_of("student_t"), values()[0]
    gappy[[0, 3, 4, 9]] = np.nan
    windows = windows_of(arrow.from_rows([row_of(gappy)], "forecasting"), lanes=1, window=11, carries=True)
    hidden_TBH, _ = network(windows(0), network.initial_carry(1))
    loss, count = network.loss(windows(0), hidden_TBH)
    loss.backward()
    assert loss.isfinite()
    assert 0 < count <= 11
    assert all(p.grad.isfinite().all() for p in network.parameters())


def test_season_level_and_damping_by_hand() -> None:
    past_11L = torch.tensor([[[10.0, 20.0, 4.0, 6.0]]])
    fields = {"past_TBL": past_11L}
    plain = Scaling(ScalingConfig(scale="level", level=2, season=2), LAGS, 3, 1.0)
    base_S, scale, _ = plain.placed(fields, past_11L)
    assert base_S.flatten().tolist() == [20, 10, 20]
    assert scale.item() == 15
    config = ScalingConfig(scale="level", level=2, season=2, adjusted=True, damping=0.5)
    base_S, _, _ = Scaling(config, LAGS, 3, 1.0).placed(fields, past_11L)
    assert base_S.flatten().tolist() == [(20 * 3 + 15) / 2, (10 * 3 + 15) / 2, (20 * 3 + 15) / 2]
    spread = Scaling(ScalingConfig(scale="spread", level=1, season=1), LAGS, 2, 1.0)
    base_S, scale, _ = spread.placed(fields, past_11L)
    assert base_S.flatten().tolist() == [10, 10]
    assert scale.item() == pytest.approx((10 + 16 + 2) / 3)


@pytest.mark.parametrize(
    ("scaling", "found"),
    [
        ({"scale": "level", "level": 9, "season": 0}, "scaling.level: found 9, and data.lags without 4"),
        ({"scale": "level", "level": 1, "season": 7}, "scaling.season: found 7, and data.lags without 4"),
        ({"scale": "level", "level": 2, "season": 3, "adjusted": True}, "scaling.season: .* without 4"),
    ],
)
def test_lags_that_do_not_reach_are_named(scaling, found) -> None:
    with pytest.raises(ConfigError, match=found):
        network_of(scaling=scaling)


def test_levels_belong_to_quantiles() -> None:
    with pytest.raises(ConfigError, match="levels"):
        network_of("student_t", levels=(0.1, 0.9))


def test_training_lowers_the_loss_in_windows_of_their_own_and_in_a_stream() -> None:
    for carries in (True, False):
        network = network_of("quantile", static_dropout=0.2, dropout=0.1)
        windows = windows_of(series_of([40, 30, 25]), lanes=3, window=8, carries=carries, seed=2)
        optimizer = optim.optimizer(optim.OptimizerConfig(name="adamw", rate=0.02), network.parameters())
        state = bptt.TrainState(network=network, optimizer=optimizer, carry=network.initial_carry(3))
        steps = bptt.fit(state, windows, rate=lambda update: 0.02, clip=1.0)
        losses = [next(steps).loss for _ in range(60)]
        assert np.mean(losses[-10:]) < 0.8 * np.mean(losses[:10])


def test_every_kind_has_its_pad_share() -> None:
    windows = windows_of(series_of([9, 5], origins=[(2,), ()]), lanes=2, window=4, carries=False)
    assert forecasting.pad_shares(windows)["pad_share"] == pytest.approx(1 - 2 / 8)
