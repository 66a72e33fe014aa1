"""An output at every step: words, with their spelling, in; a tag for each out.

Ling et al. 2015 (Finding function in form) and Plank et al. 2016 for a bidirectional network over words and
characters. Each distinct word of a window is spelled once: the words' characters are packed into lanes of their own.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from rnn_core.arrow import Columns
from rnn_core.config import check_rates, check_whole
from rnn_core.errors import ConfigError
from rnn_core.lanes import Assemble, Pack, Positions, Window, pack
from rnn_core.layers import Stack, StackConfig

PADDING, UNKNOWN = 0, 1
CHARACTER_WINDOW = 32
"""Steps of a lane of characters, unless a word of the window is longer."""
WORD_MASK = 0
"""Number of the draws that hide words; the stack's masks follow."""


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
    """Characters of words, packed into lanes, to one vector a word: both directions' last states."""

    def __init__(self, config: CharacterConfig, characters: int):
        super().__init__()
        self.embedding = nn.Embedding(characters, config.embedding_size, padding_idx=PADDING)
        plain = StackConfig(
            cell=config.cell, hidden_size=config.hidden_size, num_layers=1, input_dropout=0.0, dropout=0.0
        )
        self.stack = Stack(plain, config.embedding_size, bidirectional=True)

    def forward(self, fields: Any) -> Tensor:
        """spelling_NH of the window's N distinct words."""
        x_SCE = self.embedding(fields["characters_SC"])
        h_SCH, _ = self.stack(x_SCE, fields["character_starts_SC"], (), None)
        forward, backward = h_SCH.flatten(0, 1).chunk(2, dim=1)
        return torch.cat([forward[fields["word_ends_N"]], backward[fields["word_begins_N"]]], dim=1)


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
            spelling_NH = self.speller(window.fields)
            x_TBD = torch.cat([x_TBD, spelling_NH[window.fields["forms_TB"]]], dim=2)
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
    offsets = columns["words"].offsets
    return Pack(offsets[:-1], np.diff(offsets), lanes=lanes, window=window, seed=seed)


def assemble(columns: Columns) -> Assemble:
    """positions_TB -> words_TB, targets_TB, and the distinct words' characters in lanes of their own."""
    words, tags = columns["words"].values, columns["tags"].values
    spellings = _Spellings(columns)

    def fields(positions_TB: Positions) -> dict[str, Tensor]:
        safe_TB, valid_TB = np.maximum(positions_TB, 0), positions_TB >= 0
        distinct_N, forms_TB = np.unique(spellings.form_of_word[safe_TB], return_inverse=True)
        return {
            "words_TB": torch.from_numpy(np.where(valid_TB, words[safe_TB], PADDING).astype(np.int64)),
            "targets_TB": torch.from_numpy(tags[safe_TB].astype(np.int64)),
            "forms_TB": torch.from_numpy(forms_TB.reshape(positions_TB.shape)),
            **spellings.lanes(distinct_N),
        }

    return fields


class _Spellings:
    """The distinct spellings of a split, and which of them each word has."""

    def __init__(self, columns: Columns):
        characters, ends = columns["characters"], columns["ends"]
        # `ends` counts from each sentence's first character: make it count from the split's.
        sentence_of_word = np.repeat(np.arange(len(ends.offsets) - 1), np.diff(ends.offsets))
        ends_of_word = ends.values + characters.offsets[:-1][sentence_of_word]
        begins_of_word = np.concatenate([[0], ends_of_word[:-1]])
        self.form_of_word = np.empty(len(ends_of_word), np.int64)
        self._forms: list[NDArray[np.int32]] = []
        known: dict[bytes, int] = {}
        values = np.ascontiguousarray(characters.values)
        for word, (begin, end) in enumerate(zip(begins_of_word.tolist(), ends_of_word.tolist(), strict=True)):
            spelling = values[begin:end]
            form = known.setdefault(spelling.tobytes(), len(known))
            if form == len(self._forms):
                self._forms.append(spelling)
            self.form_of_word[word] = form

    def lanes(self, forms_N: NDArray[np.int64]) -> dict[str, Tensor]:
        """The characters of these forms packed into lanes, and where each form begins and ends there."""
        lengths_N = np.array([len(self._forms[form]) for form in forms_N])
        steps = max(CHARACTER_WINDOW, int(lengths_N.max()))
        rows = pack(lengths_N, steps)
        characters_SC = np.full((steps, len(rows)), PADDING, np.int64)
        starts_SC = np.zeros((steps, len(rows)), bool)
        begins_N, ends_N = np.zeros_like(forms_N), np.zeros_like(forms_N)
        for lane, row in enumerate(rows):
            step = 0
            for index in row:
                length = lengths_N[index]
                characters_SC[step : step + length, lane] = self._forms[forms_N[index]]
                starts_SC[step, lane] = True
                begins_N[index] = step * len(rows) + lane
                ends_N[index] = (step + length - 1) * len(rows) + lane
                step += length
            if step < steps:
                starts_SC[step, lane] = True
        return {
            "characters_SC": torch.from_numpy(characters_SC),
            "character_starts_SC": torch.from_numpy(starts_SC),
            "word_begins_N": torch.from_numpy(begins_N),
            "word_ends_N": torch.from_numpy(ends_N),
        }
