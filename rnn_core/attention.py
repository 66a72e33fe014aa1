"""Attention: for each query a weighted mean of a memory, of whatever that is made: a sentence read, parts of an image.

With query q, memory m_1..m_S and weights a_s = softmax over s of e_s, the context is c = sum_s a_s m_s, where

    additive          e_s = v tanh(W_m m_s + W_q q + b)     Bahdanau et al. 2015 (Neural machine translation by jointly
                                                            learning to align and translate)
    multiplicative    e_s = q W_m m_s                       Luong et al. 2015 (Effective approaches to attention-based
                                                            neural machine translation), their "general"

With coverage, how much place s has been attended to so far, u_s, takes part (Tu et al. 2016: Modeling coverage for
neural machine translation): w_u u_s is added inside the tanh, or the number w_u u_s to the product.

What depends on the memory alone is worked out once, by `remember`. Queries of one memory lie side by side, B lanes of
T queries each: the steps of a target that is known, or the hypotheses of a beam, which so share one memory.
Multiplicative scores of all of them are one product; additive ones hold B T S A numbers on their way.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from rnn_core.config import check_whole
from rnn_core.errors import ConfigError
from rnn_core.products import Linear


@dataclass(frozen=True, kw_only=True)
class AttentionConfig:
    """The keys of `model.attention`."""

    score: Literal["additive", "multiplicative"]
    size: int | None = None
    """A, of the additive score; the other has the query's size."""
    coverage: bool = False

    def __post_init__(self) -> None:
        if (self.size is None) != (self.score == "multiplicative"):
            found = f"found {self.size} with score: {self.score}"
            raise ConfigError("model.attention.size", found, "a whole number with additive, null with multiplicative")
        if self.size is not None:
            check_whole("model.attention", size=self.size)


class Memory(NamedTuple):
    """What is attended to, with what the scores need of it."""

    values_BSM: Tensor
    keys_BSA: Tensor
    """W_m m_s, and b where there is one."""
    valid_BS: Tensor
    """bool, False where there is padding: its weight is exactly 0. All places of a lane without any weigh the same."""


class Attention(nn.Module, ABC):
    """Contexts and weights from queries and a memory."""

    query_size: int
    """H."""
    memory_size: int
    """M."""
    coverage: bool
    """Whether coverage is to be given."""

    @abstractmethod
    def keys(self, values_BSM: Tensor) -> Tensor:
        """keys_BSA."""

    @abstractmethod
    def scores(self, query_BTH: Tensor, keys_BSA: Tensor, coverage_BTS: Tensor | None) -> Tensor:
        """e_BTS."""

    def remember(self, values_BSM: Tensor, valid_BS: Tensor) -> Memory:
        return Memory(values_BSM, self.keys(values_BSM), valid_BS)

    def forward(self, query_BTH: Tensor, memory: Memory, coverage_BTS: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """context_BTM and weights_BTS.

        Args:
            query_BTH: T queries of each lane.
            memory: from `remember`.
            coverage_BTS: the sum of the weights before each query; wanted if and only if `coverage`.
        """
        assert self.coverage == (coverage_BTS is not None), "coverage is given where it is used"
        # Small products, and sums that decide what is read: of full precision under autocast too.
        with torch.autocast("cpu", enabled=False):
            scores_BTS = self.scores(query_BTH, memory.keys_BSA, coverage_BTS)
            # The lowest number, not minus infinity: a lane that is all padding has weights, and no NaN.
            lowest = torch.finfo(scores_BTS.dtype).min
            weights_BTS = scores_BTS.masked_fill(~memory.valid_BS[:, None], lowest).softmax(2)
            return weights_BTS @ memory.values_BSM, weights_BTS


class Additive(Attention):
    def __init__(self, query_size: int, memory_size: int, size: int, *, coverage: bool = False):
        """
        Args:
            query_size, memory_size, size: H, M and A.
        """
        super().__init__()
        self.query_size, self.memory_size, self.coverage = query_size, memory_size, coverage
        self.of_memory, self.of_query = Linear(memory_size, size), Linear(query_size, size, bias=False)
        self.v_A = nn.Parameter(torch.empty(size).uniform_(-(size**-0.5), size**-0.5))
        if coverage:
            self.u_A = nn.Parameter(torch.zeros(size))

    def keys(self, values_BSM: Tensor) -> Tensor:
        return self.of_memory(values_BSM)

    def scores(self, query_BTH: Tensor, keys_BSA: Tensor, coverage_BTS: Tensor | None) -> Tensor:
        sum_BTSA = keys_BSA[:, None] + self.of_query(query_BTH)[:, :, None]
        if coverage_BTS is not None:
            sum_BTSA = sum_BTSA + coverage_BTS[..., None] * self.u_A
        return sum_BTSA.tanh() @ self.v_A


class Multiplicative(Attention):
    def __init__(self, query_size: int, memory_size: int, *, coverage: bool = False):
        """
        Args:
            query_size, memory_size: H, which is A too, and M.
        """
        super().__init__()
        self.query_size, self.memory_size, self.coverage = query_size, memory_size, coverage
        self.of_memory = Linear(memory_size, query_size, bias=False)
        if coverage:
            self.u = nn.Parameter(torch.zeros(()))

    def keys(self, values_BSM: Tensor) -> Tensor:
        return self.of_memory(values_BSM)

    def scores(self, query_BTH: Tensor, keys_BSA: Tensor, coverage_BTS: Tensor | None) -> Tensor:
        product_BTS = query_BTH @ keys_BSA.transpose(1, 2)
        return product_BTS if coverage_BTS is None else product_BTS + self.u * coverage_BTS


def make(config: AttentionConfig, query_size: int, memory_size: int) -> Attention:
    """The attention of these settings, with fresh weights."""
    if config.size is None:
        return Multiplicative(query_size, memory_size, coverage=config.coverage)
    return Additive(query_size, memory_size, config.size, coverage=config.coverage)
