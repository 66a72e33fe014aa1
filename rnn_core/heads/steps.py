"""Heads whose loss is a sum over steps, and which steps of a window they read."""

from torch import Tensor, nn

from rnn_core.lanes import Window


class StepHead(nn.Module):
    """A head for which each valid step has its target, and counts."""

    def loss(self, hidden_TBH: Tensor, targets_TB: Tensor, valid_TB: Tensor) -> tuple[Tensor, int]:
        """Sum of the loss over the valid steps, and how many these are."""
        raise NotImplementedError

    def loss_of(self, window: Window, hidden_TBH: Tensor) -> tuple[Tensor, int]:
        """`loss` of a window whose field `targets_TB` holds the targets."""
        return self.loss(hidden_TBH, window.fields["targets_TB"], window.valid_TB)


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
