"""An endless stream: at each step the next element is predicted from all before it.

Mikolov et al. 2010 (Recurrent neural network based language model); Zaremba et al. 2014 for the stack and where
dropout stands; Gal and Ghahramani 2016 for one mask a lane and window; Press and Wolf 2017 for tied weights; Merity et
al. 2017 (Regularizing and optimizing LSTM language models) for dropped words and penalties on what the layers say.
"""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from rnn_core.arrow import Columns
from rnn_core.config import check_amounts, check_rates, check_whole
from rnn_core.dropout import Draws
from rnn_core.lanes import Assemble, Positions, Stream, Window, Windows
from rnn_core.layers import Stack, StackConfig
from rnn_core.products import Linear
from rnn_core.text.word_vectors import Vectors


@dataclass(frozen=True, kw_only=True)
class Config(StackConfig):
    embedding_size: int
    tie: bool
    """One matrix for embeddings and output weights."""
    embedding_dropout: float = 0.0
    """Share of the vocabulary whose embeddings are zeros for a window."""
    activation_penalty: float = 0.0
    """alpha: on the mean square of what the network says, after dropout."""
    change_penalty: float = 0.0
    """beta: on the mean square of what changes in it from step to step."""
    head: Literal["softmax", "adaptive"] = "softmax"
    """A name in `rnn_core.networks.HEADS`."""
    cutoffs: tuple[int, ...] | None = None
    """`adaptive` only: the first word of each cluster."""
    vectors: Vectors | None = None
    """Word vectors that the embedding begins with."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_whole("model", embedding_size=self.embedding_size)
        check_rates("model", embedding_dropout=self.embedding_dropout)
        check_amounts("model", activation_penalty=self.activation_penalty, change_penalty=self.change_penalty)
        if self.head == "adaptive" and self.tie:
            raise ValueError("tie is true with head: adaptive, whose clusters have weights of other widths")
        if self.head != "adaptive" and self.cutoffs is not None:
            raise ValueError(f"cutoffs are given with head: {self.head}, wanted is head: adaptive")


@dataclass(frozen=True, kw_only=True)
class Sizes:
    vocabulary: int


class Model(nn.Module):
    """tokens_TB -> hidden_TBH, where H is the embedding size if weights are tied."""

    def __init__(self, config: Config, sizes: Sizes):
        super().__init__()
        self.embedding = nn.Embedding(sizes.vocabulary, config.embedding_size)
        # As output weights, rows of length 1 keep the first logits small; as inputs alone, a cell reads N(0, 1) best.
        nn.init.normal_(self.embedding.weight, std=config.embedding_size**-0.5 if config.tie else 1.0)
        self.stack = Stack(config, config.embedding_size)
        self.num_classes = sizes.vocabulary
        self.tied_weight = self.embedding.weight if config.tie else None
        self.output_size = config.embedding_size if config.tie else self.stack.output_size
        self.project: nn.Module = nn.Identity()
        if self.output_size != self.stack.output_size:
            self.project = Linear(self.stack.output_size, self.output_size)
        self._embedding_dropout = config.embedding_dropout
        self._penalties = config.activation_penalty, config.change_penalty
        self.penalised = any(self._penalties)

    def forward(self, window: Window, carry: Any) -> tuple[Tensor, Any]:
        draws = window.draws if self.training else None
        x_TBE = self._embedded(window.fields["tokens_TB"], draws)
        h_TBH, carry = self.stack(x_TBE, window.starts_TB, carry, draws)
        return self.project(h_TBH), carry

    def initial_carry(self, lanes: int) -> Any:
        return self.stack.initial_carry(lanes, self.embedding.weight)

    def penalty(self, window: Window, hidden_TBH: Tensor) -> Tensor:
        """Sum over the valid steps of alpha |h_t|^2 / H + beta |h_t - h_t-1|^2 / H, no difference over a mark.

        Merity et al. 2017 (Revisiting activation regularization for language RNNs). They take the differences before
        dropout; after it, with a mask that lasts the window, their mean is 1 / (1 - rate) times that.
        """
        alpha, beta = self._penalties
        square_TB = alpha * hidden_TBH.square().mean(2)
        change_TB = beta * (hidden_TBH[1:] - hidden_TBH[:-1]).square().mean(2)
        apart_TB = window.starts_TB[1:] | ~window.valid_TB[1:]
        return square_TB.masked_fill(~window.valid_TB, 0).sum() + change_TB.masked_fill(apart_TB, 0).sum()

    def _embedded(self, tokens_TB: Tensor, draws: Draws | None) -> Tensor:
        """x_TBE; a dropped word is a row of zeros wherever it stands in the window."""
        x_TBE = self.embedding(tokens_TB)
        if draws is None or not self._embedding_dropout:
            return x_TBE
        words = len(self.embedding.weight), 1
        mask_V1 = draws.weight_mask(self.stack.next_mask, words, self._embedding_dropout, self.embedding.weight)
        return x_TBE * mask_V1[tokens_TB]


def filling(columns: Columns, *, lanes: int, window: int, seed: int | None, carries: bool) -> Stream:
    """The stream as lanes: a sequence of n tokens has n-1 steps, each predicting the next token.

    Args:
        seed: orders the sequences of the stream anew each epoch (a single one stays as it is).
    """
    offsets = columns.offsets_of("tokens")
    begins_N = offsets[:-1][columns["first"]]
    lengths_N = np.diff(np.append(begins_N, offsets[-1])) - 1
    some_N = lengths_N > 0
    return Stream(begins_N[some_N], lengths_N[some_N], lanes=lanes, window=window, seed=seed, carries=carries)


def assemble(columns: Columns) -> Assemble:
    """positions_TB -> tokens_TB and targets_TB."""
    tokens = columns.values_of("tokens")

    def fields(positions_TB: Positions) -> dict[str, Tensor]:
        safe_TB = np.maximum(positions_TB, 0)
        return {
            "tokens_TB": torch.from_numpy(tokens[safe_TB].astype(np.int64)),
            "targets_TB": torch.from_numpy(tokens[safe_TB + 1].astype(np.int64)),
        }

    return fields


def pad_shares(windows: Windows) -> dict[str, float]:
    """Of the steps of an epoch."""
    return {"pad_share": windows.filling.pad_share}
