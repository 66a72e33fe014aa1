"""Sums and maxima over all labellings of many sequences at once: the recursions of a linear-chain model.

Lafferty et al. 2001 (Conditional random fields). A labelling y of a sequence of n steps has the score

    first(y_1) + sum_t scores_t(y_t) + sum_t between(y_t-1, y_t) + last(y_n)

The steps of a window's sequences are laid out by their place in their sequence, the longest sequence first. So a
recursion takes as many turns as the longest sequence has steps, each for all sequences that are as long, and none for
padding. M is the number of steps laid out, one a row.
"""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Chains:
    """Which step stands in which row: the first steps of all N sequences, then the second steps, and so on."""

    steps_M: Tensor
    """The step in each row, as an index into a window's T * B."""
    mirror_M: Tensor
    """Where a row's step stands if places are counted from the ends of the sequences; its own inverse."""
    before_M: Tensor
    """The row of the step before, for the rows from N on."""
    sizes: list[int]
    """Sequences that have a first step, a second step, and so on."""

    @property
    def sequences(self) -> int:
        """N."""
        return self.sizes[0] if self.sizes else 0


@dataclass(frozen=True, kw_only=True)
class Weights:
    """Scores that do not depend on the step; between_VV from row to column."""

    first_V: Tensor
    between_VV: Tensor
    last_V: Tensor


@dataclass(frozen=True, kw_only=True)
class Expected:
    """What holds of a labelling drawn with probability exp(score) / sum of exp(score), and that sum."""

    log_sum: Tensor
    """Of the sums of all sequences, float64."""
    chosen_MV: Tensor
    """Probability of each label at each step."""
    between_VV: Tensor
    """How often one label is expected to follow another, over all sequences."""


def lay_out(starts_TB: Tensor, valid_TB: Tensor) -> Chains:
    """The sequences of a window, by the marks where they begin; a lane's first step begins one, marked or not."""
    steps, lanes = valid_TB.shape
    valid_BT, begins_BT = valid_TB.t(), starts_TB.t().clone()
    begins_BT[:, 0] = True
    begins_BT[:, 1:] |= ~valid_BT[:, :-1]
    device = valid_TB.device
    steps_BT = torch.arange(steps, device=device) * lanes + torch.arange(lanes, device=device)[:, None]
    steps_M, begins_M = steps_BT[valid_BT], begins_BT[valid_BT]
    count, sequence_M, first_N = len(steps_M), begins_M.cumsum(0) - 1, begins_M.nonzero().squeeze(1)
    lengths_N = torch.diff(first_N, append=first_N.new_tensor([count]))
    rank_N = lengths_N.argsort(descending=True, stable=True).argsort()
    sizes_L = (len(first_N) - torch.bincount(lengths_N).cumsum(0))[:-1]
    offsets_L = sizes_L.cumsum(0) - sizes_L
    place_M = torch.arange(count, device=device) - first_N[sequence_M]
    row_M = offsets_L[place_M] + rank_N[sequence_M]
    mirrored_M = offsets_L[lengths_N[sequence_M] - 1 - place_M] + rank_N[sequence_M]
    rows = torch.arange(len(first_N), count, device=device)
    return Chains(
        steps_M=torch.empty_like(steps_M).index_copy_(0, row_M, steps_M),
        mirror_M=torch.empty_like(row_M).index_copy_(0, row_M, mirrored_M),
        before_M=rows - sizes_L[:-1].repeat_interleave(sizes_L[1:]),
        sizes=sizes_L.tolist(),
    )


@torch.no_grad()
def expected(chains: Chains, scores_MV: Tensor, weights: Weights) -> Expected:
    """By the forward and the backward recursion, both in one: the backward one is the forward one from the other end.

    Products of shares instead of sums of logarithms: each turn is one matrix product, after which the shares are made
    to add up to 1 again. In float64 they hold labels that are e^700 times less likely than others.
    """
    labels, sequences, mirror_M = scores_MV.shape[1], chains.sequences, chains.mirror_M
    first_V, between_VV, last_V = weights.first_V.double(), weights.between_VV.double(), weights.last_V.double()
    scores_MV = scores_MV.double()
    step_MV = (scores_MV - scores_MV.amax(1, keepdim=True)).exp()
    tops = [first_V.max(), between_VV.max(), last_V.max()]
    turn_VV = (between_VV - tops[1]).exp()
    ends_2V = torch.cat([first_V - tops[0], last_V - tops[2]]).exp()
    reached, shares, totals = _recursion(torch.cat([step_MV, step_MV[mirror_M]], 1), turn_VV, ends_2V, chains.sizes)
    until_MV, until_last_NV = shares[:, :labels], shares[mirror_M[:sequences], :labels]
    log_sum = totals[:, 0].log().sum() + (until_last_NV @ ends_2V[labels:]).log().sum() + scores_MV.amax(1).sum()
    log_sum += sequences * (tops[0] + tops[2]) + (len(scores_MV) - sequences) * tops[1]
    chosen_MV = until_MV * reached[mirror_M, labels:]
    norm_M1 = chosen_MV.sum(1, keepdim=True)
    from_MV, to_MV = (until_MV / norm_M1)[chains.before_M], shares[mirror_M[sequences:], labels:]
    return Expected(log_sum=log_sum, chosen_MV=chosen_MV / norm_M1, between_VV=turn_VV * (from_MV.t() @ to_MV))


def likeliest(chains: Chains, scores_MV: Tensor, weights: Weights) -> Tensor:
    """best_M: the labelling of the highest score (Viterbi 1967)."""
    sizes = chains.sizes
    parts = scores_MV.split(sizes)
    if not parts:
        return chains.steps_M
    best_NV, pointers = weights.first_V + parts[0], []
    for size, part_RV in zip(sizes[1:], parts[1:], strict=True):
        # Sequences that have ended stand behind, with the scores of their last step.
        reached_RV, from_RV = (best_NV[:size, :, None] + weights.between_VV).max(1)
        best_NV[:size] = reached_RV + part_RV
        pointers.append(from_RV)
    label_N = (best_NV + weights.last_V).argmax(1)
    labels = [label_N[: sizes[-1]].clone()]
    for size, before, from_RV in zip(sizes[:0:-1], sizes[-2::-1], reversed(pointers), strict=True):
        label_N[:size] = from_RV.gather(1, label_N[:size, None]).squeeze(1)
        labels.append(label_N[:before].clone())
    return torch.cat(labels[::-1])


def _recursion(steps_MW: Tensor, turn_VV: Tensor, ends_W: Tensor, sizes: list[int]) -> tuple[Tensor, Tensor, Tensor]:
    """Two recursions side by side, W = 2V: from the first steps by turn_VV, from the last ones by its transpose.

    Returns: shares_MW before and after the step's own factor, and totals_M2, by which the latter were divided.
    """
    both_WW = torch.block_diag(turn_VV, turn_VV.t())
    reached_MW, shares_MW = torch.empty_like(steps_MW), torch.empty_like(steps_MW)
    halves_M2V = shares_MW.view(-1, 2, len(turn_VV))
    totals_M21 = halves_M2V.new_empty(len(steps_MW), 2, 1)
    reached, shares, halves = reached_MW.split(sizes), shares_MW.split(sizes), halves_M2V.split(sizes)
    steps, totals = steps_MW.split(sizes), totals_M21.split(sizes)
    for turn, size in enumerate(sizes):
        if turn:
            torch.mm(shares[turn - 1][:size], both_WW, out=reached[turn])
        else:
            reached[0].copy_(ends_W)
        torch.mul(reached[turn], steps[turn], out=shares[turn])
        torch.sum(halves[turn], 2, keepdim=True, out=totals[turn])
        halves[turn].div_(totals[turn])
    return reached_MW, shares_MW, totals_M21.squeeze(2)
