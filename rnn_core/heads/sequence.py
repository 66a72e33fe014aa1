"""One class of V for a whole sequence: read-out, softmax and cross-entropy."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from rnn_core.heads.cross_entropy import cross_entropy
from rnn_core.lanes import Window
from rnn_core.products import linear
from rnn_core.readouts import READ_OUTS, ReadOut, sequences


class SequenceHead(nn.Module):
    """p(class v) of a sequence = softmax(W r + b)_v, where r is read out of its hidden states."""

    def __init__(
        self, hidden_size: int, num_classes: int, read_out: ReadOut, *, bidirectional: bool, smoothing: float = 0.0
    ):
        """
        Args:
            hidden_size: H of the hidden states that come in.
            num_classes: V.
            read_out: a name in READ_OUTS.
            bidirectional: the second half of the features was read in reverse.
            smoothing: share of the target that goes to all classes alike, in training.
        """
        super().__init__()
        self.read_out, self.bidirectional, self.smoothing = read_out, bidirectional, smoothing
        bound = hidden_size**-0.5
        self.weight = nn.Parameter(torch.empty(num_classes, hidden_size).uniform_(-bound, bound))
        # Zero: what is common is learnt from the data, not drawn.
        self.bias = nn.Parameter(torch.zeros(num_classes))

    def loss_of(self, window: Window, hidden_TBH: Tensor) -> tuple[Tensor, int]:
        """Cross-entropy in nats, summed over the sequences, and how many these are.

        The class of a sequence stands at its first step in the field `label_TB` (int64).
        """
        where = sequences(window.starts_TB, window.valid_TB)
        r_NH = READ_OUTS[self.read_out](hidden_TBH, where, self.bidirectional)
        labels_N = where.at_first(window.fields["label_TB"])
        if self.training and self.smoothing:
            logits_NV = linear(r_NH, self.weight, self.bias)
            return functional.cross_entropy(logits_NV, labels_N, reduction="sum", label_smoothing=self.smoothing), len(
                labels_N
            )
        return cross_entropy(r_NH, self.weight, self.bias, labels_N), len(labels_N)

    def predict(self, window: Window, hidden_TBH: Tensor) -> Tensor:
        """logits_NV of the window's sequences, lane by lane and in each lane in their order."""
        where = sequences(window.starts_TB, window.valid_TB)
        return linear(READ_OUTS[self.read_out](hidden_TBH, where, self.bidirectional), self.weight, self.bias)
