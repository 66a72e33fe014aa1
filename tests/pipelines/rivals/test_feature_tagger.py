"""The tagger without a network."""

import numpy as np

from pipelines.rivals.feature_tagger import FeatureTagger, features


def test_what_is_seen_of_a_word():
    first, second = features(["McDo", "9"])
    assert {"0:McDo", "-1:<edge>", "1:9", "2:<edge>", "begins:McD", "ends:o", "shape:XxXx", "lower:mcdo"} <= set(first)
    assert {"0:9", "-1:McDo", "shape:0", "begins:9", "ends:9", "neighbour:cDo"} <= set(second)


def test_neighbours_decide_and_spelling_serves_new_words():
    words = [["to", "run"], ["a", "run"], ["walked"], ["talked"]] * 20
    tags = np.array([0, 1, 2, 3, 1, 1] * 20)
    tagger = FeatureTagger(words, tags)
    assert tagger([["to", "run"], ["a", "run"], ["jumped"]]).tolist() == [0, 1, 2, 3, 1]
