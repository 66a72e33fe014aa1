"""Which word stands for which: IBM model 1 (Brown et al. 1993: The mathematics of statistical machine translation).

    P(target | source) = product over t of  sum over s of  p(target_t | source_s) / S

by expectation maximisation from pairs of sentences, without a null word. No order, no context: the field's plainest
translator, and what a recurrent one is to be worth more than.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Ids = NDArray[np.int64]


def best_words(sources: Sequence[Ids], targets: Sequence[Ids], rounds: Sequence[int]) -> dict[int, dict[int, int]]:
    """After each of these rounds: for each word of the sources the target word that it most probably becomes.

    Args:
        sources, targets: the words of each pair of sentences, as numbers from 0 on; none is empty.
        rounds: of expectation maximisation, rising.
    """
    width = 1 + max(int(target.max()) for target in targets)
    # Each word of a target with each of its source, target by target: the source's words of one stand together.
    joint = [
        np.tile(source, len(t)) * width + np.repeat(t, len(source)) for source, t in zip(sources, targets, strict=True)
    ]
    sizes = [np.full(len(target), len(source)) for source, target in zip(sources, targets, strict=True)]
    kinds_P, which_N = np.unique(np.concatenate(joint), return_inverse=True)
    sizes_M = np.concatenate(sizes)
    begins_M = np.cumsum(sizes_M) - sizes_M
    source_P, target_P = np.divmod(kinds_P, width)
    p_P, found = np.ones(len(kinds_P)), {}
    for number in range(1, rounds[-1] + 1):
        p_N = p_P[which_N]
        share_N = p_N / np.repeat(np.add.reduceat(p_N, begins_M), sizes_M)
        counts_P = np.bincount(which_N, share_N)
        p_P = counts_P / np.bincount(source_P, counts_P)[source_P]
        if number in rounds:
            # The last one of each source in this order is its most probable; of equal ones that of the lowest number.
            order_P = np.lexsort((-target_P, p_P, source_P))
            found[number] = dict(zip(source_P[order_P].tolist(), target_P[order_P].tolist(), strict=True))
    return found
