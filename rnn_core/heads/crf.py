"""One class of V at each step, those of a sequence chosen together: a conditional random field.

Lafferty et al. 2001 (Conditional random fields); Lample et al. 2016 (Neural architectures for named entity
recognition) for one over a recurrent network. For a sequence of n steps

    score(y) = s_y1 + sum_t (W h_t + b)_yt + sum_t A_yt-1,yt + e_yn        p(y) = exp(score(y)) / sum_y' exp(score(y'))

Sequences are what stands between two marks: no score goes over one, and padding belongs to none.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from rnn_core.heads.chains import Chains, Weights, expected, lay_out, likeliest
from rnn_core.lanes import Window
from rnn_core.products import linear


class CrfHead(nn.Module):
    """`weight`, `bias`: W and b; `first`, `between`, `last`: s, A and e."""

    def __init__(self, hidden_size: int, num_classes: int):
        """
        Args:
            hidden_size: H of the hidden states that come in.
            num_classes: V.
        """
        super().__init__()
        bound = hidden_size**-0.5
        self.weight = nn.Parameter(torch.empty(num_classes, hidden_size).uniform_(-bound, bound))
        # Zero: at first each step's class is its own, as with a softmax; what follows what is learnt from the data.
        self.bias, self.first, self.last = (nn.Parameter(torch.zeros(num_classes)) for _ in range(3))
        self.between = nn.Parameter(torch.zeros(num_classes, num_classes))

    def loss(self, hidden_TBH: Tensor, targets_TB: Tensor, valid_TB: Tensor, starts_TB: Tensor) -> tuple[Tensor, int]:
        """Sum over the sequences of -log p(targets), in nats, and how many valid steps they have.

        Args:
            hidden_TBH: hidden states.
            targets_TB: int64, the right class of each valid step; anything elsewhere.
            valid_TB: bool. What stands at other steps is not read, and gets no gradient.
            starts_TB: bool, True at the first step of each sequence.
        """
        chains, scores_MV = self._chains(hidden_TBH, valid_TB, starts_TB)
        targets_M = targets_TB.flatten()[chains.steps_M]
        loss = _Loss.apply(scores_MV, self.first, self.between, self.last, targets_M, chains)
        return loss, len(targets_M)

    def loss_of(self, window: Window, hidden_TBH: Tensor) -> tuple[Tensor, int]:
        """`loss` of a window whose field `targets_TB` holds the targets."""
        return self.loss(hidden_TBH, window.fields["targets_TB"], window.valid_TB, window.starts_TB)

    def predict(self, hidden: Tensor) -> Tensor:
        """scores_..V of each step alone, W h + b, of hidden_..H with any leading dimensions."""
        return linear(hidden, self.weight, self.bias)

    def decide(self, window: Window, hidden_TBH: Tensor) -> Tensor:
        """classes_TB, int64: those of the likeliest labelling of each sequence; 0 where there is padding."""
        chains, scores_MV = self._chains(hidden_TBH, window.valid_TB, window.starts_TB)
        return _put_back(likeliest(chains, scores_MV, self._weights()), chains, window.valid_TB)

    def marginals(self, window: Window, hidden_TBH: Tensor) -> Tensor:
        """p_TBV of each class at each step, whatever the classes of the others; 0 where there is padding."""
        chains, scores_MV = self._chains(hidden_TBH, window.valid_TB, window.starts_TB)
        chosen_MV = expected(chains, scores_MV, self._weights()).chosen_MV
        return _put_back(chosen_MV.to(scores_MV.dtype), chains, window.valid_TB)

    def _chains(self, hidden_TBH: Tensor, valid_TB: Tensor, starts_TB: Tensor) -> tuple[Chains, Tensor]:
        chains = lay_out(starts_TB, valid_TB)
        return chains, self.predict(hidden_TBH.flatten(0, 1).index_select(0, chains.steps_M))

    def _weights(self) -> Weights:
        return Weights(first_V=self.first, between_VV=self.between, last_V=self.last)


class _Loss(torch.autograd.Function):
    """The gradients (expected minus right) come with the loss, so backward only hands them out."""

    @staticmethod
    def forward(
        ctx: Any, scores_MV: Tensor, first_V: Tensor, between_VV: Tensor, last_V: Tensor, targets_M: Tensor, at: Chains
    ) -> Tensor:
        found = expected(at, scores_MV, Weights(first_V=first_V, between_VV=between_VV, last_V=last_V))
        starts, ends, ones_M = slice(at.sequences), at.mirror_M[: at.sequences], torch.ones_like(targets_M).double()
        pairs = targets_M[at.before_M], targets_M[at.sequences :]
        right = scores_MV.gather(1, targets_M[:, None]).sum(dtype=torch.float64)
        right += sum(
            part.sum(dtype=torch.float64)
            for part in (first_V[targets_M[starts]], between_VV[pairs], last_V[targets_M[ends]])
        )
        dscores_MV = found.chosen_MV.scatter_add_(1, targets_M[:, None], -ones_M[:, None])
        dbetween_VV = found.between_VV.index_put_(pairs, -ones_M[at.sequences :], accumulate=True)
        gradients = dscores_MV, dscores_MV[starts].sum(0), dbetween_VV, dscores_MV[ends].sum(0)
        ctx.save_for_backward(*(gradient.to(scores_MV.dtype) for gradient in gradients))
        return (found.log_sum - right).to(scores_MV.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dloss: Tensor) -> tuple[Tensor | None, ...]:
        return *(gradient * dloss for gradient in ctx.saved_tensors), None, None


def _put_back(rows: Tensor, chains: Chains, valid_TB: Tensor) -> Tensor:
    """Rows at their steps of the window, zeros elsewhere."""
    whole = rows.new_zeros(valid_TB.numel(), *rows.shape[1:])
    return whole.index_copy_(0, chains.steps_M, rows).view(*valid_TB.shape, *rows.shape[1:])
