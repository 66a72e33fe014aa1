"""Which steps of a window a head reads."""

from typing import Any

from torch import Tensor

from rnn_core.looking import may_look

NOTHING = -1
"""The target of a step that counts for nothing, where nobody may look which ones these are, to leave them out."""


def counted(hidden_TBH: Tensor, targets_TB: Tensor, valid_TB: Tensor) -> tuple[Tensor, Tensor, Any]:
    """hidden_NH and targets_N of the N valid steps, and N. What stands at other steps gets no gradient.

    Where the CPU may not wait for the marks (`rnn_core/looking.py`) all steps come, those that are not valid with the
    target NOTHING, and N is a tensor.

    Args:
        hidden_TBH: hidden states.
        targets_TB: int64, the right class of each valid step; anything elsewhere.
        valid_TB: bool.
    """
    hidden_NH, targets_N = hidden_TBH.flatten(0, 1), targets_TB.flatten()
    if not may_look():
        nothing_N = ~valid_TB.flatten()
        return hidden_NH.masked_fill(nothing_N[:, None], 0), targets_N.masked_fill(nothing_N, NOTHING), valid_TB.sum()
    count = int(valid_TB.sum())
    if count < valid_TB.numel():
        rows_N = valid_TB.flatten().nonzero().squeeze(1)
        hidden_NH, targets_N = hidden_NH.index_select(0, rows_N), targets_N.index_select(0, rows_N)
    return hidden_NH, targets_N, count
