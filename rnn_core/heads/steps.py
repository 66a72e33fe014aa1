"""Heads whose loss is a sum over steps, and which steps of a window they read."""

from typing import Any

from torch import Tensor, nn

from rnn_core.lanes import Window
from rnn_core.looking import may_look

NOTHING = -1
"""The target of a step that counts for nothing, where nobody may look which ones these are, to leave them out."""


class StepHead(nn.Module):
    """A head for which each valid step has its target, and counts."""

    def loss(self, hidden_TBH: Tensor, targets_TB: Tensor, valid_TB: Tensor) -> tuple[Tensor, int]:
        """Sum of the loss over the valid steps, and how many these are."""
        raise NotImplementedError

    def loss_of(self, window: Window, hidden_TBH: Tensor) -> tuple[Tensor, int]:
        """`loss` of a window whose field `targets_TB` holds the targets."""
        return self.loss(hidden_TBH, window.fields["targets_TB"], window.valid_TB)

    def predict(self, hidden: Tensor) -> Tensor:
        """Scores of all classes, of hidden_..H with any leading dimensions."""
        raise NotImplementedError

    def decide(self, window: Window, hidden_TBH: Tensor) -> Tensor:
        """classes_TB, int64: the likeliest at each step; anything where there is padding."""
        return self.predict(hidden_TBH).argmax(2)


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
