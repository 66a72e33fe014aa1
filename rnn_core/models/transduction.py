"""Many to many, lengths differ: one sequence of tokens is read whole, another one said.

Sutskever et al. 2014 (Sequence to sequence learning with neural networks) and Cho et al. 2014 for encoder and decoder;
Bahdanau et al. 2015 and Luong et al. 2015 for attention to the encoder's states (`rnn_core/models/decoder.py`); Press
and Wolf 2017 for one matrix of embeddings and output weights; Gal and Ghahramani 2016 for dropout of words.
"""

import dataclasses
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from rnn_core import decoding
from rnn_core.arrow import Columns
from rnn_core.attention import Memory
from rnn_core.buckets import Buckets
from rnn_core.config import check_rates, check_whole
from rnn_core.decoding import SearchConfig
from rnn_core.dropout import Draws
from rnn_core.errors import ConfigError
from rnn_core.lanes import Assemble, Positions, Window, Windows, padding_begins
from rnn_core.layers import Stack, StackConfig
from rnn_core.models.decoder import Decoder, DecoderConfig, DecoderState

PADDING, BEGIN, END = 0, 1, 2
"""Ids of tokens that no text has, in source and target."""
SOURCE_MASK, TARGET_MASK = 0, 1
"""Numbers of the draws that hide words; the masks of the stacks follow."""


@dataclass(frozen=True, kw_only=True)
class EncoderConfig:
    hidden_size: int
    """Of each of the two directions."""
    num_layers: int

    def __post_init__(self) -> None:
        check_whole("model.encoder", hidden_size=self.hidden_size, num_layers=self.num_layers)


@dataclass(frozen=True, kw_only=True)
class Config(DecoderConfig):
    """`hidden_size` and `num_layers` are the decoder's, all other keys of its stack the encoder's too."""

    encoder: EncoderConfig
    tie: Literal["none", "target", "all"]
    """Which share one matrix: nothing; embeddings of the target and output weights; these and the source's."""
    word_dropout: float
    """Share of the words that training hides, on both sides."""
    label_smoothing: float
    search: SearchConfig

    def __post_init__(self) -> None:
        super().__post_init__()
        check_rates("model", word_dropout=self.word_dropout, label_smoothing=self.label_smoothing)
        if self.search.coverage_penalty and self.attention is None:
            found = f"found {self.search.coverage_penalty} without attention"
            raise ConfigError("model.search.coverage_penalty", found, "0, or model.attention")


@dataclass(frozen=True, kw_only=True)
class Sizes:
    vocabulary: int
    """Tokens of source and target together."""


class Model(nn.Module):
    """source_SB and tokens_TB -> hidden_TBO, where O is the embedding size if weights are tied."""

    def __init__(self, config: Config, sizes: Sizes):
        super().__init__()
        self.config, self.num_classes = config, sizes.vocabulary
        tied = config.tie != "none"
        self.embedding = _embedding(config, sizes, tied)
        self.source_embedding = self.embedding if config.tie == "all" else _embedding(config, sizes, False)
        # Rows of length 1 keep the first logits small; a cell reads N(0, 1) best.
        self.scale = config.embedding_size**0.5 if tied else 1.0
        self.source_scale = self.scale if config.tie == "all" else 1.0
        self.encoder = Stack(_encoder(config), config.embedding_size, bidirectional=True, first_mask=TARGET_MASK + 1)
        self.output_size = config.embedding_size if tied else config.hidden_size
        self.decoder = Decoder(config, self.encoder.output_size, self.output_size, first_mask=self.encoder.next_mask)
        self.tied_weight = self.embedding.weight if tied else None

    def forward(self, window: Window, carry: Any) -> tuple[Tensor, Any]:
        draws = window.draws if self.training else None
        tokens_TB = self._hide(window.fields["tokens_TB"], TARGET_MASK, draws)
        o_TBO, _ = self.decoder(self.embedding(tokens_TB) * self.scale, self.encode(window.fields, draws), draws)
        return o_TBO, carry

    def encode(self, fields: Any, draws: Draws | None = None) -> Memory:
        """The window's sources, as the decoder attends to them."""
        source_SB = self._hide(fields["source_SB"], SOURCE_MASK, draws)
        x_SBE = self.source_embedding(source_SB) * self.source_scale
        h_SBM, _ = self.encoder(x_SBE, fields["source_starts_SB"], (), draws)
        return self.decoder.remember(h_SBM.transpose(0, 1).contiguous(), fields["source_valid_SB"].t())

    def start(self, memory: Memory) -> DecoderState:
        """The state (B, 1, ...) before the first step of a search."""
        return self.decoder.start(memory).map(lambda tensor: tensor[:, None])

    def step(
        self, tokens_BK: Tensor, memory: Memory, state: DecoderState
    ) -> tuple[Tensor, Tensor | None, DecoderState]:
        """hidden_BKO, attention weights_BKS and the next state of a search, after these tokens."""
        return self.decoder.step(self.embedding(tokens_BK) * self.scale, memory, state)

    def attended(self, window: Window) -> Tensor | None:
        """weights_BTS of attention while the window's targets are said; None without attention."""
        x_TBE = self.embedding(window.fields["tokens_TB"]) * self.scale
        weights_BTS: Tensor | None = self.decoder(x_TBE, self.encode(window.fields), None)[1]
        return weights_BTS

    def initial_carry(self, lanes: int) -> Any:
        """Nothing: whole pairs stand in a window."""
        return ()

    def _hide(self, tokens_TB: Tensor, number: int, draws: Draws | None) -> Tensor:
        if draws is None or not self.config.word_dropout:
            return tokens_TB
        hidden_TB = draws.uniform(number, len(tokens_TB)).t() < self.config.word_dropout
        return tokens_TB.masked_fill(hidden_TB, PADDING)


def _embedding(config: Config, sizes: Sizes, tied: bool) -> nn.Embedding:
    embedding = nn.Embedding(sizes.vocabulary, config.embedding_size)
    nn.init.normal_(embedding.weight, std=config.embedding_size**-0.5 if tied else 1.0)
    return embedding


def _encoder(config: Config) -> StackConfig:
    shared = {field.name: getattr(config, field.name) for field in dataclasses.fields(StackConfig)}
    return StackConfig(**shared | dataclasses.asdict(config.encoder))


def filling(columns: Columns, *, lanes: int, window: int, seed: int | None, carries: bool) -> Buckets:
    """Pairs of like lengths side by side.

    Raises:
        ConfigError: `carries` is True: each pair is whole, nothing can be carried.
    """
    if carries:
        raise ConfigError("train.carry", "found true", "pairs are read whole: false")
    offsets = columns.offsets_of("target")
    sources_N = np.diff(columns.offsets_of("source"))
    return Buckets(offsets[:-1], np.diff(offsets), sources_N, lanes=lanes, window=window, seed=seed)


def assemble(columns: Columns) -> Assemble:
    """positions_TB -> tokens_TB (each step's last token), targets_TB, and the pairs' source_SB with its marks."""
    targets, sources = columns.values_of("target"), columns.values_of("source")
    target_offsets, source_offsets = columns.offsets_of("target"), columns.offsets_of("source")

    def fields(positions_TB: Positions) -> dict[str, Tensor]:
        valid_TB = positions_TB >= 0
        safe_TB = np.maximum(positions_TB, 0)
        tokens_TB = np.where(valid_TB, targets[np.maximum(safe_TB - 1, 0)], PADDING)
        tokens_TB[0] = BEGIN
        rows_B = np.searchsorted(target_offsets, safe_TB[0], side="right") - 1
        lengths_B = np.where(valid_TB[0], np.diff(source_offsets)[rows_B], 0)
        places_S1 = np.arange(max(1, int(lengths_B.max())))[:, None]
        source_valid_SB = places_S1 < lengths_B
        source_SB = np.where(
            source_valid_SB, sources[np.where(source_valid_SB, source_offsets[rows_B] + places_S1, 0)], PADDING
        )
        starts_SB = padding_begins(source_valid_SB)
        starts_SB[0] = True
        return {
            "tokens_TB": torch.from_numpy(tokens_TB.astype(np.int64)),
            "targets_TB": torch.from_numpy(targets[safe_TB].astype(np.int64)),
            "source_SB": torch.from_numpy(source_SB.astype(np.int64)),
            "source_starts_SB": torch.from_numpy(starts_SB),
            "source_valid_SB": torch.from_numpy(source_valid_SB),
        }

    return fields


def answers(network: Any, window: Window) -> list[list[int]]:
    """The network's answer to each lane's source, by the search of its settings; [] where a lane holds no pair.

    Args:
        network: of this kind, in evaluation.
    """
    memory = network.model.encode(window.fields)
    # Hardly a sentence is twice as long in another language; a loop that never ends would be.
    longest_B = torch.where(window.valid_TB[0], 2 * window.fields["source_valid_SB"].sum(0) + 10, 0)
    return decoding.search(
        decoding.steps(network.model, network.head),
        memory,
        network.model.start(memory),
        begin=BEGIN,
        end=END,
        longest_B=longest_B,
        config=network.model.config.search,
    )


def losses(network: Any, window: Window, hidden_TBO: Tensor) -> list[float]:
    """Of each lane's right target, the mean over its tokens, in nats."""
    log_p_TBV = network.head.predict(hidden_TBO).log_softmax(2)
    right_TB = log_p_TBV.gather(2, window.fields["targets_TB"][:, :, None]).squeeze(2)
    mean_B = right_TB.masked_fill(~window.valid_TB, 0).sum(0) / window.valid_TB.sum(0).clamp(min=1)
    found: list[float] = (-mean_B).tolist()
    return found


def pad_shares(windows: Windows) -> dict[str, float]:
    """Of the steps of an epoch, on either side."""
    filling = windows.filling
    assert isinstance(filling, Buckets)
    return {"pad_share": filling.pad_share, "source_pad_share": filling.source_pad_share}
