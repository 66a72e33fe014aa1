"""Dynamic time warping: how far two sequences of features are apart when each may dwell where the other hurries.

Sakoe and Chiba 1978 (Dynamic programming algorithm optimization for spoken word recognition), without a slope
constraint: the cheapest path through the table of Euclidean distances, from both beginnings to both ends, by steps of
one in either sequence or in both, over the sum of the lengths. All templates are worked on at once, diagonal by
diagonal, as a cell needs only the two diagonals before its own.

    N  templates    T  steps of the query    L  steps of the longest template
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Steps = NDArray[np.float32]
TABLE_CELLS = 1 << 22
"""Of the distances in memory at once."""


class Templates:
    """Sequences (steps, D) that queries are compared with."""

    def __init__(self, templates: Sequence[Steps]):
        """
        Args:
            templates: each with at least one step, all of one D.
        """
        self._lengths_N = np.array([len(template) for template in templates])
        # By length, so that those worked on together are padded little.
        self._order_N = np.argsort(self._lengths_N, kind="stable")
        self._templates = templates

    def costs(self, query_TD: Steps) -> NDArray[np.float64]:
        """costs_N: how far each template is from the query, a mean distance of their steps."""
        costs_N = np.empty(len(self._order_N))
        at = 0
        while at < len(self._order_N):
            some = self._order_N[at : at + self._batch(at, len(query_TD))]
            costs_N[some] = _costs(query_TD, [self._templates[i] for i in some])
            at += len(some)
        return costs_N / (len(query_TD) + self._lengths_N)

    def _batch(self, at: int, steps: int) -> int:
        """How many templates from `at` on fit the memory."""
        count = len(self._order_N) - at
        while count > 1:
            longest = int(self._lengths_N[self._order_N[at + count - 1]])
            if count * steps * (steps + longest) <= TABLE_CELLS:
                break
            count = (count + 1) // 2
        return count


def _costs(query_TD: Steps, templates: Sequence[Steps]) -> NDArray[np.float32]:
    """Of the cheapest path to the end of each template."""
    lengths_N = np.array([len(template) for template in templates])
    count, steps, longest = len(templates), len(query_TD), int(lengths_N.max())
    skewed_NTK = np.full((count, steps, steps + longest), np.inf, np.float32)
    for n, template_LD in enumerate(templates):
        distances_TL = _distances(query_TD, template_LD)
        for t in range(steps):
            # Cell (t, l) stands in column t + l, that of its diagonal.
            skewed_NTK[n, t, t : t + len(template_LD)] = distances_TL[t]
    none_N1 = np.full((count, 1), np.inf, np.float32)
    before_NT, last_NT = np.full((2, count, steps), np.inf, np.float32)
    ends_N = np.empty(count, np.float32)
    for k in range(steps + longest - 1):
        cheapest_NT = np.minimum(last_NT, np.minimum(_down(last_NT, none_N1), _down(before_NT, none_N1)))
        if k == 0:
            cheapest_NT[:, 0] = 0
        before_NT, last_NT = last_NT, skewed_NTK[:, :, k] + cheapest_NT
        ended_N = lengths_N - 1 + steps - 1 == k
        ends_N[ended_N] = last_NT[ended_N, -1]
    return ends_N


def _down(cost_NT: NDArray[np.float32], none_N1: NDArray[np.float32]) -> NDArray[np.float32]:
    """The cost one step earlier in the query."""
    return np.concatenate([none_N1, cost_NT[:, :-1]], 1)


def _distances(query_TD: Steps, template_LD: Steps) -> NDArray[np.float32]:
    squares_TL = (query_TD**2).sum(1)[:, None] + (template_LD**2).sum(1) - 2 * query_TD @ template_LD.T
    return np.sqrt(np.maximum(squares_TL, 0))
