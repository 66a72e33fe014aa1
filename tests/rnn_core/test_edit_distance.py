"""Edit distance and alignment against the recursion of their definition."""

from functools import cache

from hypothesis import given
from hypothesis import strategies as st

from rnn_core.metrics.edit_distance import alignment, distance

TEXTS = st.text("ab ", max_size=7)


@cache
def by_definition(right: str, found: str) -> int:
    if not right or not found:
        return len(right) + len(found)
    changed = by_definition(right[:-1], found[:-1]) + (right[-1] != found[-1])
    return min(changed, by_definition(right[:-1], found) + 1, by_definition(right, found[:-1]) + 1)


@given(TEXTS, TEXTS)
def test_distance_is_that_of_the_definition(right: str, found: str) -> None:
    assert distance(right, found) == by_definition(right, found)
    assert distance(right.split(), found.split()) == distance(found.split(), right.split())


@given(TEXTS, TEXTS)
def test_an_alignment_costs_the_distance_and_keeps_both_sides(right: str, found: str) -> None:
    pairs = alignment(right, found)
    assert sum(a != b for a, b in pairs) == distance(right, found)
    assert "".join(a for a, _ in pairs if a is not None) == right
    assert "".join(b for _, b in pairs if b is not None) == found


def test_which_edits() -> None:
    assert alignment("abc", "adc") == [("a", "a"), ("b", "d"), ("c", "c")]
    assert alignment(["one", "two"], ["two"]) == [("one", None), ("two", "two")]
    assert alignment("", "x") == [(None, "x")]
