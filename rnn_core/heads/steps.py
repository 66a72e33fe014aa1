"""Which steps of a window a head reads."""

from torch import Tensor


def counted(hidden_TBH: Tensor, targets_TB: Tensor, valid_TB: Tensor) -> tuple[Tensor, Tensor, int]:
    """hidden_NH and targets_N of the N valid steps, and N. What stands at other steps gets no gradient.

    Args:
        hidden_TBH: hidden states.
        targets_TB: int64, the right class of each valid step; anything elsewhere.
        valid_TB: bool.
    """
    hidden_NH, targets_N = hidden_TBH.flatten(0, 1), targets_TB.flatten()
    count = int(valid_TB.sum())
    if count < valid_TB.numel():
        rows_N = valid_TB.flatten().nonzero().squeeze(1)
        hidden_NH, targets_N = hidden_NH.index_select(0, rows_N), targets_N.index_select(0, rows_N)
    return hidden_NH, targets_N, count
