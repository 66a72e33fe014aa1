"""The n-gram model: probabilities, and the formula by a plain loop."""

from collections import Counter, defaultdict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.rivals.kneser_ney import KneserNey

texts = st.lists(st.integers(0, 4), min_size=2, max_size=60).map(lambda words: np.array(words, np.int64))


def by_loop(words, order, vocabulary, text):
    """p of each word of `text` by the formula in the module's docstring, gram by gram."""
    words, order = tuple(words), min(order, len(words))
    counts, begins = {}, {n: words[:n] for n in range(1, order)}
    for n in range(1, order + 1):
        here = Counter(words[i : i + n] for i in range(len(words) - n + 1))
        if n < order:
            longer = {words[i : i + n + 1] for i in range(len(words) - n)}
            here = Counter(gram[1:] for gram in longer)
            here[begins[n]] = max(1, here[begins[n]])
        counts[n] = here
    discounts = {}
    for n, here in counts.items():
        one, two, three, four = (max(1, sum(c == k for c in here.values())) for k in (1, 2, 3, 4))
        y = one / (one + 2 * two)
        raw = [1 - 2 * y * two / one, 2 - 3 * y * three / two, 3 - 4 * y * four / three]
        discounts[n] = [min(max(d, 0.05), k - 0.05) for k, d in enumerate(raw, 1)]
    after = {n: defaultdict(dict) for n in counts}
    for n, here in counts.items():
        for gram, count in here.items():
            after[n][gram[:-1]][gram[-1]] = count

    def p(history, word):
        shorter = p(history[1:], word) if history else 1 / vocabulary
        n = len(history) + 1
        followers = after[n].get(history, {})
        if not followers:
            return shorter
        total, d = sum(followers.values()), discounts[n]
        given = sum(d[min(c, 3) - 1] for c in followers.values())
        count = followers.get(word, 0)
        return (max(0, count - (d[min(count, 3) - 1] if count else 0)) + given * shorter) / total

    return [p(tuple(text[max(0, i - order + 1) : i]), word) for i, word in enumerate(text)]


@given(words=texts, text=texts, order=st.integers(1, 4))
def test_the_formula(words, text, order):
    found = np.exp(KneserNey(words, order=order, vocabulary=5)(text))
    np.testing.assert_allclose(found, by_loop(words, order, 5, tuple(text)), rtol=1e-9)


@given(words=texts, text=texts, order=st.integers(1, 4))
def test_probabilities_add_up_to_one(words, text, order):
    model = KneserNey(words, order=order, vocabulary=7)  # two of the words never occur
    total = sum(np.exp(model(np.append(text, word))[-1]) for word in range(7))
    assert total == pytest.approx(1)


def test_a_known_text_is_foretold():
    words = np.tile(np.arange(5), 40)
    assert np.exp(KneserNey(words, order=3, vocabulary=5)(words[:50]))[2:].min() > 0.9
