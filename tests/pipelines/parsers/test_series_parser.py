"""Tables of series in three layouts, and what cannot be read in them."""

import numpy as np
import pytest

from pipelines.parsers.series import Layout, Series, Unreadable, joined, read, times

LONG = Layout(
    layout="long",
    time="day",
    series="shop",
    value="sold",
    known=("promotion",),
    past=("rain",),
    static=("town",),
)
HEADER = "shop,day,sold,promotion,rain,town"


def long(*rows: str, layout: Layout = LONG, header: str = HEADER) -> list[Series | Unreadable]:
    return list(read([header, *rows], layout, "sales.csv"))


def test_long() -> None:
    a, b = long("a,2024-01-01,3,0,1.5,x", "b,2024-01-01,7,1,0,y", "a,2024-01-02,4,1,2.5,x")
    assert isinstance(a, Series)
    assert isinstance(b, Series)
    assert (a.name, a.values.tolist(), a.known.tolist(), a.past.tolist()) == ("a", [3, 4], [[0], [1]], [[1.5], [2.5]])
    assert (b.name, b.static, b.where) == ("b", ("y",), "sales.csv:3")
    assert times(a, LONG, 2, 2) == ("2024-01-03", "2024-01-04")


def test_times_out_of_order_are_sorted() -> None:
    (a,) = long("a,2024-01-03,5,0,0,x", "a,2024-01-01,3,0,0,x", "a,2024-01-02,4,0,0,x")
    assert isinstance(a, Series)
    assert a.values.tolist() == [3, 4, 5]
    assert str(a.begin) == "2024-01-01 00:00:00"


def test_a_missing_time_is_a_gap_and_so_is_an_empty_cell() -> None:
    (a,) = long("a,2024-01-01,3,1,0,x", "a,2024-01-03,,1,0,x", "a,2024-01-05,5,1,0,x")
    assert isinstance(a, Series)
    np.testing.assert_equal(a.values, [3, np.nan, np.nan, np.nan, 5])
    np.testing.assert_equal(a.known[:, 0], [1, np.nan, 1, np.nan, 1])


def test_rows_behind_the_last_value_tell_covariates_ahead() -> None:
    (a,) = long("a,2024-01-01,3,0,1,x", "a,2024-01-02,,1,,x", "a,2024-01-03,,0,,x")
    assert isinstance(a, Series)
    assert a.values.tolist() == [3]
    assert a.known[:, 0].tolist() == [0, 1, 0]
    assert a.past[:, 0].tolist() == [1]


@pytest.mark.parametrize(
    ("row", "found", "allowed"),
    [
        ("a,2024-01-02,4,0,0", "5 columns", "6, as in the header"),
        ("a,02.01.2024,4,0,0,x", "day '02.01.2024'", "a time like %Y-%m-%d"),
        ("a,2024-01-02,four,0,0,x", "'four'", "a number, or nothing"),
        ("a,2024-01-02,inf,0,0,x", "'inf'", "a finite number, or nothing"),
        ("a,2024-01-02,4,often,0,x", "'often'", "a number, or nothing"),
        ("a,2024-01-01,4,0,0,x", "a second row of that time of a", "each time once; it stands at sales.csv:2 first"),
    ],
)
def test_a_row_that_cannot_be_read_is_told_and_the_others_stay(row: str, found: str, allowed: str) -> None:
    results = long("a,2024-01-01,3,0,0,x", row, "a,2024-01-04,9,0,0,x")
    (bad,) = [result for result in results if isinstance(result, Unreadable)]
    (series,) = [result for result in results if isinstance(result, Series)]
    assert (bad.where, bad.found, bad.allowed, bad.text) == ("sales.csv:3", found, allowed, row)
    np.testing.assert_equal(series.values, [3, np.nan, np.nan, 9])


def test_a_time_between_two_steps_is_told() -> None:
    weekly = Layout(layout="long", time="day", series="shop", value="sold", step_hours=168)
    results = long("a,2024-01-01,3", "a,2024-01-09,4", "a,2024-01-15,5", layout=weekly, header="shop,day,sold")
    assert isinstance(results[0], Unreadable)
    assert results[0].found == "a time 1 day, 0:00:00 past a step of a"
    assert isinstance(results[1], Series)
    np.testing.assert_equal(results[1].values, [3, np.nan, 5])


def test_a_series_without_a_value_and_a_header_without_a_column() -> None:
    (bad,) = long("a,2024-01-01,,0,0,x")
    assert isinstance(bad, Unreadable)
    assert bad.found == "no value of a"
    (bad,) = long("a,2024-01-01,1", header="shop,day,sold")
    assert isinstance(bad, Unreadable)
    assert (bad.where, bad.found) == ("sales.csv:1", "no column `promotion`")


def test_table() -> None:
    layout = Layout(layout="table", time="hour", date_format="%Y-%m-%d %H:%M", step_hours=1)
    rows = ["hour,x,y", "2024-01-01 00:00,1,10", "2024-01-01 01:00,2,", "2024-01-01 02:00,3,30"]
    x, y = read(rows, layout, "t.csv")
    assert isinstance(x, Series)
    assert isinstance(y, Series)
    assert (x.name, x.values.tolist()) == ("x", [1, 2, 3])
    np.testing.assert_equal(y.values, [10, np.nan, 30])
    assert times(y, layout, 3, 1) == ("2024-01-01 03:00",)


def test_rows_as_in_m4() -> None:
    layout = Layout(layout="rows")
    a, bad, b = read(['"V1","V2","V3"', '"H1","5","6",""', '"H2","x"', '"H3","7","","8"'], layout, "m4.csv", 1)
    assert isinstance(a, Series)
    assert isinstance(b, Series)
    assert (a.name, a.values.tolist()) == ("H1", [5, 6])
    np.testing.assert_equal(b.values, [7, np.nan, 8])
    assert isinstance(bad, Unreadable)
    assert (bad.where, bad.found) == ("m4.csv:3", "'x'")
    assert joined([a, b]).values[:3].tolist() == [5, 6, 7]
    assert times(a, layout, 2, 2) == ("3", "4")


def test_layouts_that_contradict_themselves() -> None:
    with pytest.raises(ValueError, match="layout table has neither series"):
        Layout(layout="table", known=("x",))
    with pytest.raises(ValueError, match="step_hours is 0"):
        Layout(layout="long", step_hours=0)
