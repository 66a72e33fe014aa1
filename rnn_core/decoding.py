"""From scores of the next token to a whole answer: greedily, or by beam search; batched over lanes.

Beam search keeps the K most probable beginnings of each lane. What a finished answer y of n tokens (its end counted)
to a memory of S places is worth is (Wu et al. 2016: Google's neural machine translation system, equation 14)

    s(y) = log P(y) / lp(n) + cp          lp(n) = ((5 + n) / 6)^alpha
                                          cp = beta sum_s log min(sum_t a_ts, 1)

with the attention weights a. A lane is done when no beginning that is left can come to more than its best answer: log P
can only fall, lp is largest at the greatest length, and cp is never above 0. Lanes that are done leave the batch.

A model takes part as a `Step`, so that this file knows none.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from rnn_core.config import check_whole
from rnn_core.errors import ConfigError

Tree = Any
"""Tuples (also named ones) of tensors and None."""
LEAST_ATTENTION = 1e-10
"""Of a place: a weight that vanishes would make the coverage penalty infinite."""


class Step(Protocol):
    def __call__(self, tokens_BK: Tensor, memory: Tree, state: Tree) -> tuple[Tensor, Tensor | None, Tree]:
        """The next step of K hypotheses in each of B lanes.

        Args:
            tokens_BK: int64, the last token of each.
            memory: a tree whose first dimension is the lane.
            state: a tree whose first two dimensions are lane and hypothesis.

        Returns: log P of each next token, BKV; attention weights BKS, None where there are none; the next state.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class SearchConfig:
    """The keys of `model.search`: how an answer is looked for."""

    width: int
    """K; 1 is greedy, and then the penalties must be 0."""
    length_penalty: float
    """alpha: 0 prefers short answers, 1 is about the mean log P of a token."""
    coverage_penalty: float
    """beta: above 0, an answer that leaves places without attention is worth less. Needs attention."""

    def __post_init__(self) -> None:
        check_whole("model.search", width=self.width)
        for name in ("length_penalty", "coverage_penalty"):
            value = getattr(self, name)
            if value < 0:
                raise ConfigError(f"model.search.{name}", f"found {value}", "a number from 0 on is wanted")
            if value and self.width == 1:
                raise ConfigError(f"model.search.{name}", f"found {value} with width: 1", "0 without a beam")


def steps(model: Any, head: Any) -> Step:
    """A network as a `Step`: its model's `step`, which gives hidden states in the place of scores, and its head."""

    def step(tokens_BK: Tensor, memory: Tree, state: Tree) -> tuple[Tensor, Tensor | None, Tree]:
        hidden_BKH, weights_BKS, state = model.step(tokens_BK, memory, state)
        return head.predict(hidden_BKH).log_softmax(-1), weights_BKS, state

    return step


def search(
    step: Step, memory: Tree, state: Tree, *, begin: int, end: int, longest_B: Tensor, config: SearchConfig
) -> list[list[int]]:
    """The answer to each lane's memory, without `begin` and `end`.

    Args:
        step: the model.
        memory, state: as `step` takes them, the state of one hypothesis a lane (B, 1, ...).
        begin, end: the tokens before the first step and after the last.
        longest_B: int64, tokens of an answer at most, without its end.
    """
    if config.width == 1:
        return greedy(step, memory, state, begin=begin, end=end, longest_B=longest_B)
    return beam(step, memory, state, begin=begin, end=end, longest_B=longest_B, config=config)


@torch.no_grad()
def greedy(step: Step, memory: Tree, state: Tree, *, begin: int, end: int, longest_B: Tensor) -> list[list[int]]:
    """As `search`: at each step the most probable token."""
    answers: list[list[int]] = [[] for _ in longest_B]
    tokens_B1, lanes_B = torch.full_like(longest_B, begin)[:, None], torch.arange(len(longest_B))
    for length in range(int(longest_B.max())):
        left_B = longest_B > length
        scores_BKV, _, state = step(tokens_B1, memory, state)
        tokens_B1 = scores_BKV.argmax(2)
        left_B &= tokens_B1[:, 0] != end
        rows = left_B.nonzero().squeeze(1)
        if len(rows) < len(left_B):
            memory, state, tokens_B1, longest_B = _lanes((memory, state, tokens_B1, longest_B), rows)
            lanes_B = lanes_B[rows.cpu()]
        for lane, token in zip(lanes_B.tolist(), tokens_B1[:, 0].tolist(), strict=True):
            answers[lane].append(token)
        if not len(rows):
            break
    return answers


@torch.no_grad()
def beam(
    step: Step, memory: Tree, state: Tree, *, begin: int, end: int, longest_B: Tensor, config: SearchConfig
) -> list[list[int]]:
    """As `search`: the best answer that a beam of `width` hypotheses finds; every hypothesis may end at every step."""
    live = _Live(memory, state, begin, longest_B, config.width)
    best_B = torch.full((len(longest_B),), -torch.inf, dtype=torch.float64)
    answers: list[list[int]] = [[] for _ in longest_B]
    while len(live.lanes_B):
        log_p_BKV, weights_BKS, state = step(live.tokens_BKT[:, :, -1], live.memory, live.state)
        live.attended(weights_BKS)
        log_p_BKV = live.log_p_BK[:, :, None] + log_p_BKV
        _end(live, log_p_BKV[:, :, end], best_B, answers, config)
        log_p_BKV[:, :, end] = -torch.inf
        log_p_BKV[live.longest_B < live.tokens_BKT.shape[2]] = -torch.inf
        live.extend(log_p_BKV, state)
        # The largest penalty divides a log P most, and what is not yet said takes nothing off it.
        bound_B = live.log_p_BK.amax(1) / _length_penalty(live.longest_B + 1, config.length_penalty)
        live.keep((bound_B > best_B[live.lanes_B].to(bound_B.device)).nonzero().squeeze(1))
    return answers


class _Live:
    """The hypotheses of the lanes that are not done."""

    def __init__(self, memory: Tree, state: Tree, begin: int, longest_B: Tensor, width: int):
        self.memory, self.longest_B, self.width = memory, longest_B, width
        self.state = _map(lambda tensor: tensor.expand(-1, width, *tensor.shape[2:]), state)
        self.lanes_B = torch.arange(len(longest_B))
        """Which lane of the batch each one is."""
        self.tokens_BKT = torch.full((len(longest_B), width, 1), begin, device=longest_B.device)
        # All are the same at first: but for one, they are out.
        self.log_p_BK = torch.full((len(longest_B), width), -torch.inf, device=longest_B.device)
        self.log_p_BK[:, 0] = 0
        self.attended_BKS: Tensor | None = None
        """The sum of the weights so far."""

    def attended(self, weights_BKS: Tensor | None) -> None:
        if weights_BKS is not None:
            self.attended_BKS = weights_BKS if self.attended_BKS is None else self.attended_BKS + weights_BKS

    def extend(self, log_p_BKV: Tensor, state: Tree) -> None:
        """Each lane goes on with the best of all its hypotheses, one token longer."""
        size = log_p_BKV.shape[2]
        self.log_p_BK, places_BK = log_p_BKV.flatten(1).topk(self.width, 1)
        from_BK = places_BK // size
        self.tokens_BKT, self.state, self.attended_BKS = _hypotheses(
            (self.tokens_BKT, state, self.attended_BKS), from_BK
        )
        self.tokens_BKT = torch.cat([self.tokens_BKT, places_BK[:, :, None] % size], 2)

    def keep(self, rows: Tensor) -> None:
        if len(rows) < len(self.lanes_B):
            everything = (self.memory, self.state, self.tokens_BKT, self.log_p_BK, self.longest_B, self.attended_BKS)
            everything = _lanes(everything, rows)
            self.memory, self.state, self.tokens_BKT, self.log_p_BK, self.longest_B, self.attended_BKS = everything
            self.lanes_B = self.lanes_B[rows.cpu()]


def _end(live: _Live, log_p_BK: Tensor, best_B: Tensor, answers: list[list[int]], config: SearchConfig) -> None:
    """All hypotheses ended here; `best_B` and `answers` take what is better than before.

    Args:
        log_p_BK: of each hypothesis with its end.
    """
    scores_BK = log_p_BK / _length_penalty(live.tokens_BKT.shape[2], config.length_penalty)
    if config.coverage_penalty:
        scores_BK = scores_BK + config.coverage_penalty * _coverage_penalty(live)
    scores_B, which_B = (tensor.cpu() for tensor in scores_BK.max(1))
    for row in (scores_B > best_B[live.lanes_B]).nonzero().squeeze(1).tolist():
        lane = int(live.lanes_B[row])
        best_B[lane] = scores_B[row]
        answers[lane] = live.tokens_BKT[row, which_B[row], 1:].tolist()


def _length_penalty(length: Any, alpha: float) -> Any:
    return ((5 + length) / 6) ** alpha


def _coverage_penalty(live: _Live) -> Tensor:
    """Without beta. Padding has exactly no attention, and counts for nothing."""
    if live.attended_BKS is None:
        raise ConfigError("model.search.coverage_penalty", "found above 0 without attention", "0, or model.attention")
    logs_BKS = live.attended_BKS.clamp(LEAST_ATTENTION, 1).log()
    return logs_BKS.masked_fill(live.attended_BKS == 0, 0).sum(2)


def _map(function: Callable[[Tensor], Tensor], tree: Tree) -> Tree:
    if tree is None or isinstance(tree, Tensor):
        return None if tree is None else function(tree)
    parts = [_map(function, part) for part in tree]
    return tree._make(parts) if hasattr(tree, "_make") else tuple(parts)


def _lanes(tree: Tree, rows: Tensor) -> Tree:
    return _map(lambda tensor: tensor.index_select(0, rows), tree)


def _hypotheses(tree: Tree, from_BK: Tensor) -> Tree:
    """Of each lane the hypotheses of these numbers."""

    def pick(tensor: Tensor) -> Tensor:
        lanes, width = from_BK.shape
        rows = from_BK + width * torch.arange(lanes, device=from_BK.device)[:, None]
        return tensor.flatten(0, 1).index_select(0, rows.flatten()).unflatten(0, (lanes, width))

    return _map(pick, tree)
