"""A string of labels for a whole sequence of steps, nobody saying which step says which: CTC.

Graves et al. 2006 (Connectionist temporal classification): each step says one of V - 1 labels or the blank; a path is
such a saying for all steps, and stands for the string that is left when repeats are joined and blanks dropped. The
probability of a string is the sum over all its paths.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rnn_core.lanes import Window
from rnn_core.products import linear
from rnn_core.readouts import Sequences, by_lane, sequences

BLANK = 0
"""Its number among the classes; labels count from 1."""


class CTCHead(nn.Module):
    """p(class v) at a step = softmax(W h + b)_v; p(string) = sum over its paths of the product over the steps."""

    def __init__(self, hidden_size: int, num_classes: int):
        """
        Args:
            hidden_size: H of the hidden states that come in.
            num_classes: V, the blank among them.
        """
        super().__init__()
        bound = hidden_size**-0.5
        self.weight = nn.Parameter(torch.empty(num_classes, hidden_size).uniform_(-bound, bound))
        # Zero: what is common is learnt from the data, not drawn.
        self.bias = nn.Parameter(torch.zeros(num_classes))

    def loss_of(self, window: Window, hidden_TBH: Tensor) -> tuple[Tensor, int]:
        """-log p of each sequence's string, in nats, summed, and how many labels these strings have.

        The field `labels_NL` (int64) holds the strings, `label_counts_N` how many labels of each row count, and
        `row_TB`, at the first step of each sequence, which row is its own.
        """
        where = sequences(window.starts_TB, window.valid_TB)
        rows_N = where.at_first(window.fields["row_TB"])
        labels_NL = window.fields["labels_NL"].index_select(0, rows_N)
        counts_N = window.fields["label_counts_N"].index_select(0, rows_N)
        count = int(counts_N.sum())
        if not len(rows_N):
            return self._logits(hidden_TBH[:0]).sum() + 0 * hidden_TBH.sum(), 0
        log_p_TNV = padded(self.log_probabilities(hidden_TBH, where), where)
        loss = F.ctc_loss(log_p_TNV, labels_NL, where.lengths_N, counts_N, blank=BLANK, reduction="sum")
        return loss, count

    def log_probabilities(self, hidden_TBH: Tensor, where: Sequences) -> Tensor:
        """log_p_SV of the steps of all sequences, one sequence after another, float32 at least."""
        logits_SV = self._logits(by_lane(hidden_TBH).index_select(0, where.steps_S))
        return logits_SV.to(torch.promote_types(logits_SV.dtype, torch.float32)).log_softmax(1)

    def predict(self, window: Window, hidden_TBH: Tensor) -> list[Tensor]:
        """log_p_TV of each sequence of the window, lane by lane and in each lane in their order."""
        where = sequences(window.starts_TB, window.valid_TB)
        return list(self.log_probabilities(hidden_TBH, where).split(where.lengths_N.tolist()))

    def _logits(self, hidden: Tensor) -> Tensor:
        return linear(hidden, self.weight, self.bias)


def padded(x_SV: Tensor, where: Sequences) -> Tensor:
    """x_TNV: each sequence in a column of its own, zeros after its last step."""
    ends_N = where.lengths_N.cumsum(0)
    sequence_S = torch.searchsorted(ends_N, torch.arange(len(x_SV), device=x_SV.device), right=True)
    step_S = torch.arange(len(x_SV), device=x_SV.device) - (ends_N - where.lengths_N)[sequence_S]
    x_TNV = x_SV.new_zeros(int(where.lengths_N.max()), len(ends_N), x_SV.shape[1])
    return x_TNV.index_put((step_S, sequence_S), x_SV)
