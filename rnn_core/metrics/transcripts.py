"""How well transcripts are found: errors of words and of characters, whole ones, and what was taken for what.

An error rate is the edits that make the right transcripts of the found ones, over the words (or characters) of the
right ones; it may exceed 100 %. Sums of parts of the data add up to those of the whole.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from rnn_core.metrics.edit_distance import alignment, distance

SUMS = ("word_edits", "words", "character_edits", "characters", "right", "utterances")


def edits(right: str, found: str) -> NDArray[np.float64]:
    """By SUMS, of one utterance."""
    words, said = right.split(), found.split()
    counted = (distance(words, said), len(words), distance(right, found), len(right), right == found, 1)
    return np.array(counted, np.float64)


def rates(sums: Sequence[float]) -> dict[str, float]:
    """Percentages, from the sums by SUMS."""
    word_edits, words, character_edits, characters, right, utterances = sums
    return {
        "word_error_rate": 100 * word_edits / words,
        "character_error_rate": 100 * character_edits / characters,
        "accuracy": 100 * right / utterances,
    }


def confusion(right: Sequence[int], found: Sequence[int], classes: int) -> NDArray[np.float64]:
    """How often which class stood for which in a cheapest alignment; the last one more is that of nothing."""
    counts_VV = np.zeros((classes + 1, classes + 1))
    for a, b in alignment(right, found):
        counts_VV[classes if a is None else a, classes if b is None else b] += 1
    return counts_VV
