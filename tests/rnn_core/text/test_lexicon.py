"""IBM model 1 against a plain loop over sentences, and on pairs whose words are known."""

from collections import defaultdict

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from rnn_core.text.lexicon import best_words

SENTENCES = st.lists(st.integers(0, 5), min_size=1, max_size=4)


def plain(sources, targets, rounds):
    """p(target | source) after so many rounds, by dictionaries."""
    p = defaultdict(lambda: 1.0)
    for _ in range(rounds):
        counts, totals = defaultdict(float), defaultdict(float)
        for source, target in zip(sources, targets, strict=True):
            for t in target:
                norm = sum(p[s, t] for s in source)
                for s in source:
                    counts[s, t] += p[s, t] / norm
                    totals[s] += p[s, t] / norm
        p = {(s, t): count / totals[s] for (s, t), count in counts.items()}
    return p


@settings(max_examples=60)
@given(pairs=st.lists(st.tuples(SENTENCES, SENTENCES), min_size=1, max_size=6))
def test_the_best_words_are_those_of_a_plain_loop(pairs):
    sources, targets = zip(*pairs, strict=True)
    found = best_words([np.array(s) for s in sources], [np.array(t) for t in targets], (1, 4))
    for rounds, best in found.items():
        p = plain(sources, targets, rounds)
        assert best.keys() == {s for s, _ in p}
        for s, t in best.items():
            assert p[s, t] > max(p[other] for other in p if other[0] == s) - 1e-12


def test_words_are_told_apart_by_the_sentences_they_stand_in():
    rng = np.random.default_rng(0)
    sources = [rng.integers(0, 20, 6) for _ in range(300)]
    targets = [rng.permutation(source) + 100 for source in sources]
    assert best_words(sources, targets, (8,))[8] == {word: word + 100 for word in range(20)}
