"""The counted language model: by hand, distributions that add up to one, and its place beside a search."""

from collections import Counter

import numpy as np
import pytest

from rnn_core.speech.ctc_decoding import Search
from rnn_core.speech.ngrams import END, START, NGrams, grams


def counted(strings: list[str], order: int = 3, labels: str = "abc") -> NGrams:
    counts: Counter[str] = Counter()
    for string in strings:
        counts.update(grams(string, order))
    return NGrams(counts, order=order, labels=labels)


def test_grams_of_a_string() -> None:
    assert list(grams("ab", 2)) == ["a", START + "a", "b", "ab", END, "b" + END]


def test_probabilities_by_hand() -> None:
    """Strings `ab` and `aa`: after nothing 6 symbols of 3 kinds (a 3, b 1, end 2), each of four classes 1/4 before."""
    model = counted(["ab", "aa"], order=2)
    unigram = np.array([2 + 3 / 4, 3 + 3 / 4, 1 + 3 / 4, 3 / 4]) / 9
    np.testing.assert_allclose(model.next(""), unigram)
    after_a = np.array([1, 1, 1, 0]) + 3 * unigram
    np.testing.assert_allclose(model.next("a"), after_a / 6)
    np.testing.assert_array_equal(model.next("c"), model.next(""))


def test_it_is_a_distribution_after_any_history() -> None:
    model = counted(["abc", "abba", "c", ""])
    for history in (START * 2, START + "a", "ab", "bb", "cc"):
        assert model.next(history).sum() == pytest.approx(1)
        assert (model.next(history) > 0).all()


def test_states_are_histories() -> None:
    model = counted(["abc"])
    log_p_NV, states = model([None, "ab"], [None, 3])
    assert states == [START * 2, "bc"]
    np.testing.assert_allclose(np.exp(log_p_NV), [model.next(START * 2), model.next("bc")])


def test_a_search_leans_on_it_where_the_sound_is_open() -> None:
    p_TV = np.array([[0.02, 0.94, 0.02, 0.02], [0.02, 0.02, 0.47, 0.49]])
    assert Search(width=8)(np.log(p_TV)) == [1, 3]
    told = Search(width=8, language_model=counted(["ab"] * 9 + ["ac"]), weight=1.0)
    assert told(np.log(p_TV)) == [1, 2]
