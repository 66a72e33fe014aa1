"""One class for a whole sequence: tokens, or frames of any sort, in; read out at the end or pooled over the steps.

Schuster and Paliwal 1997 for both directions, Gal and Ghahramani 2016 for hidden steps and locked masks. What a step is
made from is the encoder's to say; how steps become one vector, the head's (`rnn_core.readouts`).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
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
from rnn_core.layers.frames import FrameEncoder, ImagesConfig
from rnn_core.layers.points import PointsConfig, PointsInput
from rnn_core.products import Linear
from rnn_core.readouts import ReadOut
from rnn_core.text.transfer import Start
from rnn_core.text.word_vectors import Vectors

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
    points: PointsConfig | None = None
    """Of moving points; null for other data."""
    images: ImagesConfig | None = None
    """Of frames that are images; null for other data."""
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
    input: Literal["tokens", "features", "points", "images"]
    """A name in ENCODERS."""
    size: int
    """Tokens known, with padding and unknown (the ids from there on count as unknown); or numbers of a frame."""
    classes: int
    coordinates: int | None = None
    """Of a point."""


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
        return self.projected(window.fields["features_TBD"], window, draws)

    def projected(self, x_TBD: Tensor, window: Window, draws: Draws | None) -> Tensor:
        x_TBD = x_TBD.to(self.like.dtype)
        if (hidden_TB := _hidden(window, draws, self.dropout)) is not None:
            x_TBD = x_TBD.masked_fill(hidden_TB[:, :, None], 0)
        x_TBE: Tensor = self.project(x_TBD)
        return x_TBE


class Points(Features):
    """features_TBD, the coordinates of points -> x_TBE: where they are and how fast they move."""

    def __init__(self, config: Config, sizes: Sizes):
        if config.points is None or sizes.coordinates is None:
            raise ConfigError("model.points", "found null", "settings: the data are points")
        points = PointsInput(config.points, sizes.size, sizes.coordinates)
        super().__init__(config, replace(sizes, size=points.output_size))
        self.points = points

    def forward(self, window: Window, draws: Draws | None) -> Tensor:
        points_TBD, rows_TB = (window.fields[name] for name in ("features_TBD", "row_TB"))
        x_TBD = self.points(points_TBD, window.starts_TB, rows_TB, window.epoch, draws)
        return self.projected(x_TBD, window, draws)


class Images(nn.Module):
    """pixels_TBD, the bytes of square images row by row -> x_TBE."""

    def __init__(self, config: Config, sizes: Sizes):
        super().__init__()
        if config.images is None or config.embedding_size is None:
            found = f"found images {config.images} and embedding_size {config.embedding_size}"
            raise ConfigError("model", found, "settings and a whole number: the data are images")
        self.output_size, self.dropout = config.embedding_size, config.step_dropout
        self.encoder = FrameEncoder(config.images, math.isqrt(sizes.size), self.output_size)

    def forward(self, window: Window, draws: Draws | None) -> Tensor:
        x_TBE: Tensor = self.encoder(window.fields["pixels_TBD"])
        hidden_TB = _hidden(window, draws, self.dropout)
        return x_TBE if hidden_TB is None else x_TBE.masked_fill(hidden_TB[:, :, None], 0)


ENCODERS: dict[str, Callable[[Config, Sizes], Any]] = {
    "tokens": Tokens,
    "features": Features,
    "points": Points,
    "images": Images,
}
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
    """positions_TB -> tokens_TB, features_TBD or pixels_TBD, and label_TB and row_TB (of the split), those of each
    step's sequence."""
    labels_N, lengths_N = columns["label"], columns.steps()
    row_S = np.repeat(np.arange(len(lengths_N)), lengths_N)
    name, values = _inputs(columns, len(row_S))

    def fields(positions_TB: Positions) -> dict[str, Tensor]:
        row_TB = row_S[np.maximum(positions_TB, 0)]
        x = values[np.maximum(positions_TB, 0)]
        x[positions_TB < 0] = PADDING
        return {
            name: torch.from_numpy(x.astype(np.int64) if name == "tokens_TB" else x),
            "label_TB": torch.from_numpy(labels_N[row_TB].astype(np.int64)),
            "row_TB": torch.from_numpy(row_TB),
        }

    return fields


def pad_shares(windows: Windows) -> dict[str, float]:
    """Of the steps of an epoch."""
    return {"pad_share": windows.filling.pad_share}


def _inputs(columns: Columns, steps: int) -> tuple[str, Values]:
    """The field that the rows fill, and its values by step: a row has tokens, features or pixels, never two of them."""
    tokens = columns.values_of("tokens")
    if len(tokens):
        return "tokens_TB", tokens
    column = "pixels" if len(columns.values_of("pixels")) else "features"
    return f"{column}_TBD", columns.values_of(column, len(columns.values_of(column)) // steps)


def _hidden(window: Window, draws: Draws | None, rate: float) -> Tensor | None:
    """hidden_TB: the steps that training hides; None where it hides none."""
    if draws is None or not rate:
        return None
    return (draws.uniform(STEP_MASK, len(window.valid_TB)).t() < rate) & window.valid_TB
