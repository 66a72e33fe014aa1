"""Series as windows: what a step sees and foretells, against a loop; where windows of their own stand."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rnn_core import arrow
from rnn_core.lanes import Stream
from rnn_core.models import forecasting
from rnn_core.series.windows import Series
from tests.rnn_core.forecasting_data import HORIZON, LAGS, row_of, series_of, windows_of


def test_fields_against_a_loop() -> None:
    columns = series_of([9, 5], origins=[(4, 6), (2,)])
    rows = [columns["values"][0], columns["values"][1]]
    places = [(0, 0), (0, 5), (1, 0), (0, 8), (1, 4), (1, 1)]
    positions_TB = np.array([row * 9 + step for row, step in places]).reshape(3, 2)
    fields = Series(columns).fields(positions_TB)
    for number, (row, step) in enumerate(places):
        t, b = divmod(number, 2)
        values = rows[row]

        def at(index: int, values: np.ndarray = values) -> float:
            return float(values[index]) if 0 <= index < len(values) else np.nan

        np.testing.assert_equal(fields["past_TBL"][t, b].numpy(), [at(step - lag) for lag in LAGS])
        np.testing.assert_equal(fields["targets_TBS"][t, b].numpy(), [at(step + k) for k in range(1, HORIZON + 1)])
        ahead = [(step + k) / 100 for k in range(HORIZON + 1)]
        np.testing.assert_allclose(fields["known_TBSK"][t, b, :, 0].numpy(), ahead, rtol=1e-6)
        np.testing.assert_allclose(fields["covariates_TBC"][t, b].numpy(), [step / 100 + 7], rtol=1e-6)
        assert fields["age_TB"][t, b] == step
    assert fields["origin_TB"].tolist() == [[-1, 1], [-1, -1], [-1, 2]]
    assert fields["unit_TB"][0, 1] == 2
    assert fields["unit_TB"][0, 0].isnan()
    assert fields["naive2_TBS"][2, 1].tolist() == [5] * HORIZON
    assert int(fields["num_origins"]) == 3


def test_padding_is_no_origin() -> None:
    fields = Series(series_of([5], origins=[(1,)])).fields(np.array([[-1], [0]]))
    assert fields["origin_TB"].tolist() == [[-1], [0]]


def test_steps_go_to_the_last_origin_or_to_the_last_value_but_one() -> None:
    assert Series(series_of([9, 5])).steps_N.tolist() == [8, 4]
    assert Series(series_of([9, 5], origins=[(4, 6), ()])).steps_N.tolist() == [6, 0]


def test_windows_of_their_own_end_at_the_origins() -> None:
    columns = series_of([9, 5], origins=[(4, 6), (2,)])
    windows = windows_of(columns, lanes=2, window=5, carries=False)
    assert windows.per_epoch == 2
    first, last = windows(0), windows(1)
    assert first.fields["origin_TB"][-1].tolist() == [0, 1]
    assert first.valid_TB.tolist() == [[False, True]] + [[True, True]] * 4
    assert first.starts_TB.tolist() == [[True, True], [True, False], *[[False, False]] * 3]
    assert last.fields["origin_TB"][-1].tolist() == [2, -1]
    assert not last.valid_TB[:, 1].any()


@settings(deadline=None, max_examples=30)
@given(st.lists(st.integers(2, 12), min_size=1, max_size=6), st.integers(1, 4), st.integers(1, 5), st.integers(0, 3))
def test_drawn_windows_stay_in_their_series(lengths: list[int], lanes: int, window: int, epoch: int) -> None:
    columns = series_of(lengths)
    filling = forecasting.filling(columns, lanes=lanes, window=window, seed=3, carries=False)
    series, rows = Series(columns), []
    for step in range(filling.windows_per_epoch):
        positions_TB, starts_TB = filling.place(epoch, step, slice(0, lanes))
        again, _ = filling.place(epoch, step, slice(0, lanes))
        np.testing.assert_equal(positions_TB, again)
        for positions_T, starts_T in zip(positions_TB.T, starts_TB.T, strict=True):
            seen = positions_T[positions_T >= 0]
            row = int(np.searchsorted(series.begins_N, seen[-1], side="right")) - 1
            assert (np.diff(seen) == 1).all()
            assert series.begins_N[row] <= seen[0]
            assert seen[-1] < series.begins_N[row] + lengths[row] - 1
            assert len(seen) == min(window, lengths[row] - 1)
            assert starts_T[window - len(seen)]
            assert starts_T.sum() == 1 + (len(seen) < window)
            rows.append(row)
    counts = np.bincount(rows, minlength=len(lengths))
    assert counts.max() - counts.min() <= 1


def test_workers_divide_the_lanes() -> None:
    columns = series_of([20, 9, 14])
    filling = forecasting.filling(columns, lanes=5, window=4, seed=1, carries=False)
    whole, _ = filling.place(2, 0, slice(0, 5))
    parts = [filling.place(2, 0, part)[0] for part in (slice(0, 2), slice(2, 5))]
    np.testing.assert_equal(np.concatenate(parts, axis=1), whole)


def test_a_carried_stream_reads_whole_series() -> None:
    filling = forecasting.filling(series_of([9, 5]), lanes=1, window=6, seed=None, carries=True)
    assert isinstance(filling, Stream)
    positions = np.concatenate([filling.place(0, step, slice(0, 1))[0] for step in range(2)])[:, 0]
    assert positions.tolist() == [*range(8), *range(9, 13)]


@pytest.mark.parametrize("split_at", [None, 1])
def test_rows_of_several_batches(split_at: int | None) -> None:
    rows = [row_of(np.arange(6) + 10 * i, origins=(3,), number=i) for i in range(2)]
    batches = [rows] if split_at is None else [rows[:split_at], rows[split_at:]]
    made = [arrow.to_batch(some, "forecasting") for some in batches]
    fields = Series(arrow.Columns(made, made[0].schema, {})).fields(np.array([[8]]))
    assert fields["past_TBL"].flatten().tolist() == [12, 11, 10, pytest.approx(np.nan, nan_ok=True)]
    assert torch.equal(fields["series_TB"], torch.tensor([[1]]))
