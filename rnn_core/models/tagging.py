"""An output at every step: words, with their spelling, in; a tag for each out.

Ling et al. 2015 (Finding function in form) and Plank et al. 2016 for a bidirectional network over words and
characters. Each distinct word of a window is spelled once: the words' characters are packed into lanes of their own.
"""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from rnn_core.arrow import Columns
from rnn_core.config import check_rates, check_whole
from rnn_core.errors import ConfigError
from rnn_core.lanes import Assemble, Pack, Positions, Window, Windows
from rnn_core.layers import Stack, StackConfig
from rnn_core.text.spelling import PADDING, Spellings
from rnn_core.text.word_vectors import Vectors

UNKNOWN = 1
WORD_MASK = 0
"""Number of the draws that hide words; the stack's masks follow."""
SHARE_WINDOWS = 32
"""So many windows show how full the lanes of characters are."""


@dataclass(frozen=True, kw_only=True)
class CharacterConfig:
    cell: str
    embedding_size: int
    hidden_size: int
    """Of each of the two directions."""

    def __post_init__(self) -> None:
        check_whole("model.characters", embedding_size=self.embedding_size, hidden_size=self.hidden_size)


@dataclass(frozen=True, kw_only=True)
class Config(StackConfig):
    embedding_size: int
    bidirectional: bool
    word_dropout: float
    """Share of the words that training hides, so that spelling and context learn to do without."""
    min_count: int
    """Words rarer in training are known by their spelling only."""
    characters: CharacterConfig | None
    """None reads no spelling."""
    head: Literal["softmax", "crf"] = "softmax"
    """A name in `rnn_core.networks.HEADS`: each tag on its own, or all of a sentence together."""
    vectors: Vectors | None = None
    """Word vectors that the embedding begins with."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_whole("model", embedding_size=self.embedding_size)
        check_rates("model", word_dropout=self.word_dropout)


@dataclass(frozen=True, kw_only=True)
class Sizes:
    words: int
    """Words known, with padding and unknown; the ids from there on count as unknown."""
    characters: int
    tags: int


class Speller(nn.Module):
    """Characters of words, packed into lanes, to one vector a step: both directions' last states on its word."""

    def __init__(self, config: CharacterConfig, characters: int):
        super().__init__()
        self.embedding = nn.Embedding(characters, config.embedding_size, padding_idx=PADDING)
        plain = StackConfig(
            cell=config.cell, hidden_size=config.hidden_size, num_layers=1, input_dropout=0.0, dropout=0.0
        )
        self.stack = Stack(plain, config.embedding_size, bidirectional=True)

    def forward(self, fields: Any) -> Tensor:
        """spelling_TBH of the window's words."""
        x_SCE = self.embedding(fields["characters_SC"])
        h_SCH, _ = self.stack(x_SCE, fields["character_starts_SC"], (), None)
        forward, backward = h_SCH.flatten(0, 1).chunk(2, dim=1)
        return torch.cat([forward[fields["spelling_ends_TB"]], backward[fields["spelling_begins_TB"]]], dim=2)


class Model(nn.Module):
    """words_TB and their spelling -> hidden_TBH."""

    def __init__(self, config: Config, sizes: Sizes):
        super().__init__()
        self.sizes, self.word_dropout = sizes, config.word_dropout
        self.embedding = nn.Embedding(sizes.words, config.embedding_size, padding_idx=PADDING)
        self.speller = Speller(config.characters, sizes.characters) if config.characters else None
        spelling_size = 2 * config.characters.hidden_size if config.characters else 0
        input_size = config.embedding_size + spelling_size
        self.stack = Stack(config, input_size, bidirectional=config.bidirectional, first_mask=WORD_MASK + 1)
        self.output_size, self.num_classes, self.tied_weight = self.stack.output_size, sizes.tags, None

    def forward(self, window: Window, carry: Any) -> tuple[Tensor, Any]:
        draws = window.draws if self.training else None
        words_TB = window.fields["words_TB"]
        words_TB = words_TB.masked_fill(words_TB >= self.sizes.words, UNKNOWN)
        if draws is not None and self.word_dropout:
            hidden_TB = draws.uniform(WORD_MASK, len(words_TB)).t() < self.word_dropout
            words_TB = words_TB.masked_fill(hidden_TB & window.valid_TB, UNKNOWN)
        x_TBD = self.embedding(words_TB)
        if self.speller is not None:
            x_TBD = torch.cat([x_TBD, self.speller(window.fields)], dim=2)
        fresh = self.stack.initial_carry(words_TB.shape[1], x_TBD)
        h_TBH, _ = self.stack(x_TBD, window.starts_TB, fresh, draws)
        return h_TBH, carry

    def initial_carry(self, lanes: int) -> Any:
        """Nothing: whole sentences stand in a window."""
        return ()


def filling(columns: Columns, *, lanes: int, window: int, seed: int | None, carries: bool) -> Pack:
    """Whole sentences packed into lanes.

    Raises:
        ConfigError: `carries` is True: a sentence's tags depend on both its sides, nothing can be carried.
    """
    if carries:
        raise ConfigError("train.carry", "found true", "a tagger reads whole sentences: false")
    offsets = columns.offsets_of("words")
    return Pack(offsets[:-1], np.diff(offsets), lanes=lanes, window=window, seed=seed)


def assemble(columns: Columns) -> Assemble:
    """positions_TB -> words_TB, targets_TB, and the distinct words' characters in lanes of their own."""
    words, tags = columns.values_of("words"), columns.values_of("tags")
    spellings = Spellings(columns)

    def fields(positions_TB: Positions) -> dict[str, Tensor]:
        safe_TB, valid_TB = np.maximum(positions_TB, 0), positions_TB >= 0
        return {
            "words_TB": torch.from_numpy(np.where(valid_TB, words[safe_TB], PADDING).astype(np.int64)),
            "targets_TB": torch.from_numpy(tags[safe_TB].astype(np.int64)),
            **spellings.fields(positions_TB),
        }

    return fields


def pad_shares(windows: Windows) -> dict[str, float]:
    """Of the steps of an epoch, and of the characters' lanes in its first windows."""
    few = [windows(update).fields["characters_SC"] for update in range(min(windows.per_epoch, SHARE_WINDOWS))]
    padded = sum(int((characters_SC == PADDING).sum()) for characters_SC in few)
    share = padded / sum(characters_SC.numel() for characters_SC in few)
    return {"pad_share": windows.filling.pad_share, "character_pad_share": share}
