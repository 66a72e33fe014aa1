"""The next values of a series from all before them, as distributions: step by step along a path, or all h at once.

Salinas et al. 2020 (DeepAR: probabilistic forecasting with autoregressive recurrent networks) for paths that a network
draws by reading its own last draw; Wen et al. 2017 (A multi-horizon quantile recurrent forecaster) for all steps ahead
from one state; Smyl 2020 (A hybrid method of exponential smoothing and recurrent neural networks) for the level and the
season that are taken off the window of the past before the network reads it.
"""

from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from rnn_core.arrow import Columns
from rnn_core.config import check_rates, check_whole
from rnn_core.errors import ConfigError
from rnn_core.lanes import Assemble, Filling, Stream, Window, Windows
from rnn_core.layers import Stack, StackConfig
from rnn_core.series.scaling import Scaling, ScalingConfig
from rnn_core.series.windows import Series, Tails


@dataclass(frozen=True, kw_only=True)
class Config(StackConfig):
    output: Literal["paths", "direct"]
    """paths: the next value, drawn again and again (DeepAR). direct: the next h values at once."""
    head: Literal["student_t", "negative_binomial", "quantile"]
    """A name in `rnn_core.networks.HEADS`."""
    levels: tuple[float, ...] | None = None
    """`quantile` only: which quantiles are learnt."""
    scaling: ScalingConfig
    skip: bool
    """The head also sees the inputs: a linear autoregression beside the network."""
    embedding_size: int
    """Of each static category."""
    context: int | None
    """Steps of the past that an answer to a user reads: the window of the training where nothing is carried; None is
    all of it, as with a carry."""
    static_dropout: float = 0.0
    """Share of the series whose categories training hides: what holds for all series is learnt without names."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_whole("model", embedding_size=self.embedding_size)
        check_rates("model", static_dropout=self.static_dropout)
        if (self.levels is None) == (self.head == "quantile"):
            raise ConfigError("model.levels", f"found {self.levels} with head {self.head}", "levels for quantile only")


@dataclass(frozen=True, kw_only=True)
class Sizes:
    horizon: int
    lags: tuple[int, ...]
    """Of the past values that a step sees; 0 is the present one."""
    known: int
    """Covariates known ahead."""
    past: int
    """Covariates known for the past only."""
    static: tuple[int, ...]
    """How many values each static category has, unknown (0) included."""
    unit: float
    """Mean size of a value of the training split."""


class Model(nn.Module):
    """What a step sees -> hidden_TBH, with the inputs behind them where the head is to skip the network."""

    def __init__(self, config: Config, sizes: Sizes):
        """
        Raises:
            ConfigError: the lags lack what the scaling or the paths need.
        """
        super().__init__()
        self.config, self.sizes = config, sizes
        self.steps = sizes.horizon if config.output == "direct" else 1
        if config.output == "paths" and sizes.lags != tuple(range(len(sizes.lags))):
            raise ConfigError("model.output", "found paths, and data.lags with gaps", "lags 0, 1, ... or direct")
        self.scaling = Scaling(config.scaling, sizes.lags, self.steps, sizes.unit)
        self.embeddings = nn.ModuleList(nn.Embedding(count, config.embedding_size) for count in sizes.static)
        size = self.scaling.num_inputs + 3 + sizes.known * (self.steps + 1) + sizes.past
        size += config.embedding_size * len(sizes.static)
        self.stack = Stack(config, size, first_mask=1)
        self.output_size = self.stack.output_size + (size if config.skip else 0)

    def forward(self, window: Window, carry: Any) -> tuple[Tensor, Any]:
        draws = window.draws if self.training else None
        x_TBD = self.inputs(window)
        h_TBH, carry = self.stack(x_TBD, window.starts_TB, carry, draws)
        return torch.cat([h_TBH, x_TBD], 2) if self.config.skip else h_TBH, carry

    def initial_carry(self, lanes: int) -> Any:
        return self.stack.initial_carry(lanes, next(self.stack.parameters()))

    def inputs(self, window: Window) -> Tensor:
        """x_TBD: the past in units of the scale; how large, long and gappy it is; covariates; categories."""
        fields, like = window.fields, next(self.stack.parameters())
        missing_TBL = fields["past_TBL"].isnan().to(like.dtype)
        age_TB = torch.log1p(fields["age_TB"].to(like.dtype)) / 5
        gaps_TB3 = torch.stack([age_TB, missing_TBL.mean(2), missing_TBL[:, :, 0]], 2)
        known_TBD = fields["known_TBSK"][:, :, : self.steps + 1].flatten(2).to(like.dtype)
        named = [embed(ids) for embed, ids in zip(self.embeddings, self._static(window).unbind(2), strict=True)]
        covariates = [known_TBD, fields["covariates_TBC"].to(like.dtype), *named]
        return torch.cat([self.scaling.inputs(fields, like), gaps_TB3, *covariates], 2)

    def _static(self, window: Window) -> Tensor:
        """The categories, in training now and then as if unknown."""
        static_TBE = window.fields["static_TBE"]
        if not self.training or window.draws is None or not self.config.static_dropout:
            return static_TBE
        hidden_B1 = window.draws.uniform(0, 1) < self.config.static_dropout
        return static_TBE.masked_fill(hidden_B1, 0)


def filling(columns: Columns, *, lanes: int, window: int, seed: int | None, carries: bool) -> Filling:
    """Whole series back to back with their state carried, or windows of their own that end at any step (`Tails`)."""
    series = Series(columns)
    if not carries:
        begins, steps, ends, rows = series.begins_N, series.steps_N, series.origins_O, series.rows_O
        return Tails(begins, steps, ends, rows, lanes=lanes, window=window, seed=seed)
    some_N = series.steps_N > 0
    begins_N, steps_N = series.begins_N[some_N], series.steps_N[some_N]
    return Stream(begins_N, steps_N, lanes=lanes, window=window, seed=seed)


def assemble(columns: Columns) -> Assemble:
    """positions_TB -> the fields of `Series`."""
    return Series(columns).fields


def pad_shares(windows: Windows) -> dict[str, float]:
    """Of the steps of an epoch."""
    return {"pad_share": windows.filling.pad_share}
