"""One class for a whole sequence: tokens, or frames of features, in; read out at the end or pooled over the steps.

Schuster and Paliwal 1997 for both directions, Gal and Ghahramani 2016 for hidden steps and locked masks. What a step is
made from is the encoder's to say; how steps become one vector, the head's (`rnn_core.readouts`).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor, nn

from rnn_core.arrow import Columns, Values
from rnn_core.config import check_rates, check_whole
from rnn_core.dropout import Draws
from rnn_core.errors import ConfigError
from rnn_core.lanes import Assemble, Pack, Positions, Window, Windows
from rnn_core.layers import Stack, StackConfig
from rnn_core.products import Linear
from rnn_core.readouts import ReadOut
from rnn_core.transfer import Start
from rnn_core.word_vectors import Vectors

PADDING, UNKNOWN = 0, 1
STEP_MASK = 0
"""Number of the draws that hide steps; the stack's masks follow."""


@dataclass(frozen=True, kw_only=True)
class Config(StackConfig):
    embedding_size: int | None
    """Of a token; of a frame's linear projection, null to take frames as they are."""
    bidirectional: bool
    read_out: ReadOut
    """The state after the last step (of each direction), the mean over the steps, or the maximum."""
    step_dropout: float
    """Share of the steps that training hides: a token becomes unknown, a frame zero."""
    min_count: int = 1
    """Tokens rarer in training are unknown."""
    token_scale: float = 1.0
    """Spread of fresh tokens' vectors. Few examples want a small one: a rare token moves little in training, and what
    it was drawn with is noise."""
    smoothing: float = 0.0
    """Share of the target that goes to all classes alike, in training (Szegedy et al. 2016)."""
    vectors: Vectors | None = None
    """Word vectors that the embedding begins with."""
    start: Start | None = None
    """A language model that embedding and forward layers begin with; before `vectors`."""
    head: ClassVar[str] = "sequence"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.embedding_size is not None:
            check_whole("model", embedding_size=self.embedding_size)
        check_rates("model", step_dropout=self.step_dropout, smoothing=self.smoothing)


@dataclass(frozen=True, kw_only=True)
class Sizes:
    input: Literal["tokens", "features"]
    """A name in ENCODERS."""
    size: int
    """Tokens known, with padding and unknown (the ids from there on count as unknown); or features of a frame."""
    classes: int


class Tokens(nn.Module):
    """tokens_TB -> x_TBE."""

    def __init__(self, config: Config, sizes: Sizes):
        super().__init__()
        if config.embedding_size is None:
            raise ConfigError("model.embedding_size", "found null", "a whole number: tokens are no features")
        self.output_size, self.known, self.dropout = config.embedding_size, sizes.size, config.step_dropout
        self.embedding = nn.Embedding(sizes.size, config.embedding_size, padding_idx=PADDING)
        with torch.no_grad():
            self.embedding.weight.mul_(config.token_scale)

    def forward(self, window: Window, draws: Draws | None) -> Tensor:
        tokens_TB = window.fields["tokens_TB"]
        tokens_TB = tokens_TB.masked_fill(tokens_TB >= self.known, UNKNOWN)
        if (hidden_TB := _hidden(window, draws, self.dropout)) is not None:
            tokens_TB = tokens_TB.masked_fill(hidden_TB, UNKNOWN)
        x_TBE: Tensor = self.embedding(tokens_TB)
        return x_TBE


class Features(nn.Module):
    """features_TBD -> x_TBE, or themselves."""

    like: Tensor

    def __init__(self, config: Config, sizes: Sizes):
        super().__init__()
        self.output_size, self.dropout = config.embedding_size or sizes.size, config.step_dropout
        # Has the type of the weights, also where there is no projection.
        self.register_buffer("like", torch.empty(0), persistent=False)
        self.project = Linear(sizes.size, self.output_size) if config.embedding_size else nn.Identity()

    def forward(self, window: Window, draws: Draws | None) -> Tensor:
        x_TBD = window.fields["features_TBD"].to(self.like.dtype)
        if (hidden_TB := _hidden(window, draws, self.dropout)) is not None:
            x_TBD = x_TBD.masked_fill(hidden_TB[:, :, None], 0)
        projected: Tensor = self.project(x_TBD)
        return projected


ENCODERS: dict[str, Callable[[Config, Sizes], Any]] = {"tokens": Tokens, "features": Features}
"""encoder(window, draws) -> x_TBE with `output_size`; draws 0 hide its steps, further ones are not its own."""


class Model(nn.Module):
    """Steps -> hidden_TBH."""

    def __init__(self, config: Config, sizes: Sizes):
        super().__init__()
        self.encoder = ENCODERS[sizes.input](config, sizes)
        self.stack = Stack(
            config, self.encoder.output_size, bidirectional=config.bidirectional, first_mask=STEP_MASK + 1
        )
        self.output_size, self.num_classes, self.tied_weight = self.stack.output_size, sizes.classes, None

    def forward(self, window: Window, carry: Any) -> tuple[Tensor, Any]:
        draws = window.draws if self.training else None
        x_TBE = self.encoder(window, draws)
        fresh = self.stack.initial_carry(x_TBE.shape[1], x_TBE)
        h_TBH, _ = self.stack(x_TBE, window.starts_TB, fresh, draws)
        return h_TBH, carry

    def initial_carry(self, lanes: int) -> Any:
        """Nothing: whole sequences stand in a window."""
        return ()


def filling(columns: Columns, *, lanes: int, window: int, seed: int | None, carries: bool) -> Pack:
    """Whole sequences packed into lanes.

    Raises:
        ConfigError: `carries` is True: a class is read out of a whole sequence.
    """
    if carries:
        raise ConfigError("train.carry", "found true", "a classifier reads whole sequences: false")
    lengths_N = columns.steps()
    return Pack(np.cumsum(lengths_N) - lengths_N, lengths_N, lanes=lanes, window=window, seed=seed)


def assemble(columns: Columns) -> Assemble:
    """positions_TB -> tokens_TB or features_TBD, with label_TB and row_TB of the sequence at each step."""
    labels_N, lengths_N = columns["label"], columns.steps()
    row_S = np.repeat(np.arange(len(lengths_N)), lengths_N)
    name, values = _inputs(columns, len(row_S))

    def fields(positions_TB: Positions) -> dict[str, Tensor]:
        row_TB = row_S[np.maximum(positions_TB, 0)]
        x = values[np.maximum(positions_TB, 0)]
        x[positions_TB < 0] = PADDING
        return {
            name: torch.from_numpy(x if name == "features_TBD" else x.astype(np.int64)),
            "label_TB": torch.from_numpy(labels_N[row_TB].astype(np.int64)),
            "row_TB": torch.from_numpy(row_TB),
        }

    return fields


def pad_shares(windows: Windows) -> dict[str, float]:
    """Of the steps of an epoch."""
    return {"pad_share": windows.filling.pad_share}


def _inputs(columns: Columns, steps: int) -> tuple[str, Values]:
    """The field that the rows fill, and its values by step: a row has tokens or features, never both."""
    tokens = columns.values_of("tokens")
    if len(tokens):
        return "tokens_TB", tokens
    return "features_TBD", columns.values_of("features", len(columns.values_of("features")) // steps)


def _hidden(window: Window, draws: Draws | None, rate: float) -> Tensor | None:
    """hidden_TB: the steps that training hides; None where it hides none."""
    if draws is None or not rate:
        return None
    return (draws.uniform(STEP_MASK, len(window.valid_TB)).t() < rate) & window.valid_TB
