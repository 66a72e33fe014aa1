"""Packing: equal to the greedy rule taken word for word, item by item; rows without gaps."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rnn_core.packing import pack, ranges


def greedy(lengths, capacity):
    """The items of each row: the longest left, then the longest that still fits, the first of equals."""
    left, rows = list(range(len(lengths))), []
    while left:
        rows.append([])
        room = capacity
        while fitting := [item for item in left if lengths[item] <= room]:
            item = max(fitting, key=lambda item: (lengths[item], -item))
            left.remove(item)
            rows[-1].append(item)
            room -= lengths[item]
    return rows


@given(st.lists(st.integers(1, 12), min_size=1, max_size=60), st.integers(12, 40))
@settings(max_examples=100, deadline=None)
def test_it_is_the_greedy_rule(lengths, capacity):
    packing = pack(np.array(lengths), capacity)
    rows = [packing.items_N[packing.rows_N == row].tolist() for row in range(packing.num_rows)]
    assert rows == greedy(lengths, capacity)
    assert (np.diff(packing.rows_N) >= 0).all()
    columns = [np.cumsum([0] + [lengths[item] for item in row[:-1]]).tolist() for row in rows]
    assert packing.columns_N.tolist() == [column for row in columns for column in row]


def test_rows_are_filled_to_the_brim_where_they_can():
    packing = pack(np.array([5, 5, 4, 3, 2, 1]), 10)
    assert packing.items_N.tolist() == [0, 1, 2, 3, 4, 5]
    assert packing.rows_N.tolist() == [0, 0, 1, 1, 1, 1]
    assert packing.columns_N.tolist() == [0, 5, 0, 4, 7, 9]


@pytest.mark.parametrize(("lengths", "told"), [([3, 0], "at least one step"), ([3, 11], "fits a row")])
def test_what_no_row_can_hold_is_an_error_of_ours(lengths, told):
    with pytest.raises(AssertionError, match=told):
        pack(np.array(lengths), 10)


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 5)), max_size=20))
def test_ranges(pairs):
    begins, lengths = np.array(pairs, np.int64).reshape(-1, 2).T
    wanted = [step for begin, length in pairs for step in range(begin, begin + length)]
    assert ranges(begins, lengths).tolist() == wanted
