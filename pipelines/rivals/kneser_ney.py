"""The n-gram model that neural language models are measured against: modified Kneser-Ney, interpolated.

Chen and Goodman 1999 (An empirical study of smoothing techniques for language modeling), with h' the history h without
its first word:

    p(w | h) = max(0, c(h w) - D(c(h w))) / c(h) + g(h) p(w | h'),    p(w | nothing before) begins uniform

c counts occurrences for the longest grams and the different words before a gram for the shorter ones, g is what the
discounts have left over, and D takes three values (of counts 1, 2, and more) from how many counts there are of 1 to 4.
"""

from dataclasses import dataclass
from typing import cast

import numpy as np
from numpy.typing import NDArray

Ids = NDArray[np.int64]
Array = NDArray[np.float64]
UNSEEN = -1
"""The number of a gram that the training text does not have."""


@dataclass(frozen=True)
class _Order:
    """The grams of one length."""

    keys_G: Ids
    """(number of the history's gram) * words + (last word), rising; a gram's number is its place."""
    left_G: Array
    """Its count less the discount."""
    total_H: Array
    """Sum of the counts after each history."""
    given_H: Array
    """What the discounts took from them."""


class KneserNey:
    """log p of each word of a text, after those before it."""

    def __init__(self, words: Ids, *, order: int, vocabulary: int):
        """
        Args:
            words: the training text, numbers below `vocabulary`.
            order: words of the longest grams, at least 1.
        """
        self._vocabulary = vocabulary
        self._orders: list[_Order] = []
        grams = _grams(words, order, vocabulary)
        for length, (keys_G, gram_N, histories) in enumerate(grams):
            longer = grams[length + 1][1] if length + 1 < len(grams) else None
            count_G = _occurrences(gram_N, len(keys_G)) if longer is None else _before(gram_N, longer, len(keys_G))
            self._orders.append(_discounted(keys_G, count_G, histories, vocabulary))

    def __call__(self, words: Ids) -> Array:
        """log p of each word of another text; the first ones have short histories."""
        p_N = np.full(len(words), 1 / self._vocabulary)
        history_N = np.zeros(len(words), np.int64)
        for order in self._orders:
            key_N = history_N * self._vocabulary + words
            place_N = np.minimum(np.searchsorted(order.keys_G, key_N), len(order.keys_G) - 1)
            found_N = (order.keys_G[place_N] == key_N) & (history_N != UNSEEN)
            total_N = np.where(history_N != UNSEEN, order.total_H[history_N], 0)
            left_N = np.where(found_N, order.left_G[place_N], 0)
            known_N = total_N > 0
            mixed_N = (left_N + order.given_H[history_N] * p_N) / np.where(known_N, total_N, 1)
            p_N = np.where(known_N, mixed_N, p_N)
            history_N = np.concatenate([[UNSEEN], np.where(found_N, place_N, UNSEEN)[:-1]])
        return cast(Array, np.log(p_N))


def _grams(words: Ids, order: int, vocabulary: int) -> list[tuple[Ids, Ids, int]]:
    """Of each length: the different grams, the number of the one that ends at each place, how many histories."""
    found = []
    history_N, histories = np.zeros(len(words), np.int64), 1
    for _ in range(min(order, len(words))):
        key_N = np.where(history_N == UNSEEN, UNSEEN, history_N * vocabulary + words)
        keys_G, gram_N = np.unique(key_N, return_inverse=True)
        if keys_G[0] == UNSEEN:
            keys_G, gram_N = keys_G[1:], gram_N - 1
        found.append((keys_G, gram_N, histories))
        history_N, histories = np.concatenate([[UNSEEN], gram_N[:-1]]), len(keys_G)
    return found


def _occurrences(gram_N: Ids, grams: int) -> Ids:
    return np.bincount(gram_N[gram_N != UNSEEN], minlength=grams)


def _before(gram_N: Ids, longer_N: Ids, grams: int) -> Ids:
    """How many different words stand before each gram; 1 for the one that begins the text."""
    numbers, first = np.unique(longer_N, return_index=True)
    return np.maximum(1, np.bincount(gram_N[first[numbers != UNSEEN]], minlength=grams))


def _discounted(keys_G: Ids, count_G: Ids, histories: int, vocabulary: int) -> _Order:
    one, two, three, four = (max(1, int((count_G == times).sum())) for times in (1, 2, 3, 4))
    share = one / (one + 2 * two)
    steps = [1 - 2 * share * two / one, 2 - 3 * share * three / two, 3 - 4 * share * four / three]
    discounts = np.clip(steps, 0.05, [0.95, 1.95, 2.95])  # small texts: never nothing, never the whole count
    taken_G = discounts[np.minimum(count_G, 3) - 1]
    history_G = keys_G // vocabulary
    total_H, given_H = (
        np.bincount(history_G, weights=of_G, minlength=histories).astype(np.float64) for of_G in (count_G, taken_G)
    )
    return _Order(keys_G, count_G - taken_G, total_H, given_H)
