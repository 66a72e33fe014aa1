"""A language model that is counted, not trained: the next label by how often it followed the last few ones.

Witten and Bell 1991 (The zero-frequency problem): with c(h) followers of a history h, d(h) of them different,

    p(v | h) = (c(h v) + d(h) p(v | h without its first label)) / (c(h) + d(h)),    p(v | nothing before) begins uniform
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

START, END = "\x02", "\x03"
"""Before the first label of a string and after its last one."""


def grams(string: str, order: int) -> Iterator[str]:
    """The end and each label of a string, each after 0, 1, ... `order` - 1 of those before."""
    whole = START * (order - 1) + string + END
    for last in range(order - 1, len(whole)):
        yield from (whole[last - before : last + 1] for before in range(order))


class NGrams:
    """log p of the next label, as `rnn_core.speech.ctc_decoding.LanguageModel`; a state is the history."""

    def __init__(self, counts: Mapping[str, int], *, order: int, labels: Sequence[str]):
        """
        Args:
            counts: how often each of `grams` occurred.
            order: labels of the longest gram.
            labels: one character for each label; the class of the first one is 1.
        """
        self._order, self._classes = order, [END, *labels]
        self._followers: dict[str, Counter[str]] = {}
        for gram, count in counts.items():
            self._followers.setdefault(gram[:-1], Counter())[gram[-1]] = count
        self._known: dict[str, NDArray[np.float64]] = {}

    def __call__(
        self, states: Sequence[Any], labels: Sequence[int | None]
    ) -> tuple[NDArray[np.float64], Sequence[Any]]:
        after = [self._history(state, label) for state, label in zip(states, labels, strict=True)]
        return np.log(np.stack([self.next(history) for history in after])), after

    def next(self, history: str) -> NDArray[np.float64]:
        """p_V of what follows; column 0 is the end."""
        if history not in self._known:
            shorter_V = self.next(history[1:]) if history else np.full(len(self._classes), 1 / len(self._classes))
            followers = self._followers.get(history, Counter())
            counts_V = np.array([followers[label] for label in self._classes], np.float64)
            self._known[history] = (counts_V + len(followers) * shorter_V) / max(1, counts_V.sum() + len(followers))
            if not followers:
                self._known[history] = shorter_V
        return self._known[history]

    def _history(self, state: str | None, label: int | None) -> str:
        if state is None or label is None:
            return START * (self._order - 1)
        return (state + self._classes[label])[1:]
