"""Accuracy and macro F1, against scikit-learn."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, confusion_matrix, f1_score

from rnn_core.metrics import classes

CLASSES = 4


@given(st.lists(st.tuples(st.integers(0, CLASSES - 1), st.integers(0, CLASSES - 1)), min_size=1, max_size=30))
def test_as_in_scikit_learn(pairs: list[tuple[int, int]]) -> None:
    labels, answered = (np.array(side) for side in zip(*pairs, strict=True))
    counts = classes.confusion(labels, answered, CLASSES)
    np.testing.assert_array_equal(counts, confusion_matrix(labels, answered, labels=range(CLASSES)))
    assert classes.accuracy(counts) == pytest.approx(100 * accuracy_score(labels, answered))
    occurring = sorted({*labels, *answered})
    expected = f1_score(labels, answered, labels=occurring, average="macro", zero_division=0)
    assert classes.macro_f1(counts) == pytest.approx(100 * expected)
