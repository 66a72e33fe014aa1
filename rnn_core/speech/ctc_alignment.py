"""Which steps of a sequence say which label of a known string: the likeliest of its paths (Viterbi)."""

import numpy as np
from numpy.typing import NDArray

BLANK = 0
"""As in `rnn_core.heads.ctc`."""


def steps_needed(labels: NDArray[np.integer]) -> int:
    """Fewest steps of a path of the string: one a label, and a blank between two that are the same."""
    return len(labels) + int((labels[1:] == labels[:-1]).sum())


def align(log_p_TV: NDArray[np.floating], labels_L: NDArray[np.integer]) -> NDArray[np.int64]:
    """place_T: number of the label that the likeliest path of the string says at each step, -1 for blanks.

    Args:
        log_p_TV: at least `steps_needed(labels_L)` steps.
    """
    assert len(log_p_TV) >= steps_needed(labels_L), "a path for each string"
    # Blank, label, blank, label, ... blank; a path goes on by none, one or (over a blank) two of these states.
    classes_S = np.full(2 * len(labels_L) + 1, BLANK)
    classes_S[1::2] = labels_L
    skips_S = np.zeros(len(classes_S), bool)
    skips_S[3::2] = labels_L[1:] != labels_L[:-1]
    score_S = np.full(len(classes_S), -np.inf)
    score_S[:2] = log_p_TV[0, classes_S[:2]]
    moves_TS = np.zeros((len(log_p_TV), len(classes_S)), np.int64)
    for t in range(1, len(log_p_TV)):
        one_S, two_S = np.full((2, len(classes_S)), -np.inf)
        one_S[1:], two_S[2:] = score_S[:-1], np.where(skips_S[2:], score_S[:-2], -np.inf)
        choices_3S = np.stack([score_S, one_S, two_S])
        moves_TS[t] = choices_3S.argmax(0)
        score_S = choices_3S.max(0) + log_p_TV[t, classes_S]
    state = len(classes_S) - 1
    if len(labels_L) and score_S[state - 1] > score_S[state]:
        state -= 1
    place_T = np.empty(len(log_p_TV), np.int64)
    for t in reversed(range(len(log_p_TV))):
        place_T[t] = state // 2 if state % 2 else -1
        state -= moves_TS[t, state]
    return place_T
