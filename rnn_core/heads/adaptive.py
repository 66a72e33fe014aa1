"""One class of V at each step, for large V: adaptive softmax.

Grave et al. 2017 (Efficient softmax approximation for GPUs). The classes, ordered by falling frequency, are cut at
`cutoffs` into a shortlist and clusters. The shortlist and one class for each cluster stand in a first softmax; a
class of cluster i is found by a second one within it, whose input is H / 4^i wide:

    p(v) = softmax(W_0 h + b)_v                                            v in the shortlist
    p(v) = softmax(W_0 h + b)_cluster(v) softmax(W_i P_i h)_v              v in cluster i
"""

import itertools

import torch
from torch import Tensor, nn

from rnn_core.errors import ConfigError
from rnn_core.heads.cross_entropy import cross_entropy
from rnn_core.heads.steps import StepHead, counted
from rnn_core.products import linear

NARROWING = 4
"""How many times narrower each cluster's input is than that of the one before (the paper's choice)."""


class AdaptiveHead(StepHead):
    """The loss is that of `nn.AdaptiveLogSoftmaxWithLoss(head_bias=True)`; gradients of all clusters are dense."""

    def __init__(self, hidden_size: int, num_classes: int, cutoffs: tuple[int, ...] | None):
        """
        Args:
            hidden_size: H of the hidden states that come in.
            num_classes: V; class ids fall in frequency.
            cutoffs: the first class of each cluster, rising.

        Raises:
            ConfigError: the cutoffs are missing, do not rise, or lie outside 1..V-1.
        """
        super().__init__()
        allowed = f"rising whole numbers from 1 to {num_classes - 1}, the first word of each cluster"
        if not cutoffs:
            raise ConfigError("model.cutoffs", f"found {cutoffs} with model.head: adaptive", allowed)
        bounds = (0, *cutoffs, num_classes)
        if any(a >= b for a, b in itertools.pairwise(bounds)):
            raise ConfigError("model.cutoffs", f"found {list(cutoffs)}", allowed)
        self.cutoffs = cutoffs
        sizes = [b - a for a, b in itertools.pairwise(bounds[1:])]
        widths = [max(1, hidden_size // NARROWING**i) for i in range(1, len(bounds) - 1)]
        self.weight = _weight(cutoffs[0] + len(sizes), hidden_size)
        # Zero: what is common is learnt from the data, not drawn.
        self.bias = nn.Parameter(torch.zeros(cutoffs[0] + len(sizes)))
        self.narrow = nn.ParameterList(_weight(width, hidden_size) for width in widths)
        self.inner = nn.ParameterList(_weight(size, width) for size, width in zip(sizes, widths, strict=True))

    def loss(self, hidden_TBH: Tensor, targets_TB: Tensor, valid_TB: Tensor) -> tuple[Tensor, int]:
        """As `SoftmaxHead.loss`."""
        hidden_NH, targets_N, count = counted(hidden_TBH, targets_TB, valid_TB)
        cutoffs = torch.tensor(self.cutoffs, device=targets_N.device)
        cluster_N = torch.bucketize(targets_N, cutoffs, right=True)
        first_N = torch.where(cluster_N > 0, self.cutoffs[0] - 1 + cluster_N, targets_N)
        loss = cross_entropy(hidden_NH, self.weight, self.bias, first_N)
        for number, (begin, narrow, inner) in enumerate(self._clusters(), 1):
            rows_M = (cluster_N == number).nonzero().squeeze(1)
            x_MD = linear(hidden_NH.index_select(0, rows_M), narrow, None)
            loss = loss + cross_entropy(x_MD, inner, None, targets_N.index_select(0, rows_M) - begin)
        return loss, count

    def predict(self, hidden: Tensor) -> Tensor:
        """log p_..V of hidden_..H with any leading dimensions."""
        first = linear(hidden, self.weight, self.bias).log_softmax(-1)
        shortlist, clusters = first.split((self.cutoffs[0], len(self.cutoffs)), -1)
        parts = [shortlist]
        for (_, narrow, inner), cluster in zip(self._clusters(), clusters.split(1, -1), strict=True):
            parts.append(cluster + linear(linear(hidden, narrow, None), inner, None).log_softmax(-1))
        return torch.cat(parts, -1)

    def _clusters(self) -> list[tuple[int, Tensor, Tensor]]:
        """First class, P_i and W_i of each cluster."""
        return list(zip(self.cutoffs, self.narrow, self.inner, strict=True))


def _weight(rows: int, columns: int) -> nn.Parameter:
    bound = columns**-0.5
    return nn.Parameter(torch.empty(rows, columns).uniform_(-bound, bound))
