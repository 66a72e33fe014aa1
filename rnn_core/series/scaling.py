"""Series of any size in units of their own: level and scale of the past that a step sees, and the season taken off.

Salinas et al. 2020 (DeepAR, section 3.3) divide by a level, Smyl 2020 (A hybrid method of exponential smoothing and
recurrent neural networks) by level and season of the window. Nothing here is learnt; all of it is known at the step.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from rnn_core.config import check_rates, check_whole
from rnn_core.errors import ConfigError

LARGEST = 20.0
"""Inputs are cut off there, in units of the scale: one outlier must not saturate every gate."""
LEAST_SHARE = 1e-3
"""A scale is at least this share of the level: a constant series has none of its own."""


@dataclass(frozen=True, kw_only=True)
class ScalingConfig:
    scale: Literal["level", "spread", "global"]
    """The unit of a step's inputs and outputs. level: mean size of the last `level` values. spread: mean change from
    one value to the next, in the past that a step sees. global: one number for all series."""
    level: int
    """Values (back from the present one) whose mean is the level, from which inputs are counted."""
    season: int
    """Forecasts stand on the seasonal naive one: 1 the last value, m that of m steps ago; 0 on nothing. Where there is
    no value m steps ago they stand on the level, and nothing is learnt from that."""
    adjusted: bool = False
    """The seasonal naive one moves with the level: y_t-m times the level now over the level m steps ago."""
    damping: float = 0.0
    """Share by which the seasonal naive one is moved back to the level: one season seen is half noise."""

    def __post_init__(self) -> None:
        check_whole("model.scaling", level=self.level)
        check_rates("model.scaling", damping=self.damping)
        if self.season < 0:
            raise ConfigError("model.scaling.season", f"found {self.season}", "0, 1, or the steps of a season")


class Scaling:
    """What a window's steps make of their past, `past_TBL`: values at the lags, NaN where there is none."""

    def __init__(self, config: ScalingConfig, lags: tuple[int, ...], steps: int, unit: float):
        """
        Args:
            lags: of the past, 0 the present value.
            steps: S, how many values ahead a step foretells.
            unit: mean size of a value of the training split, above 0.

        Raises:
            ConfigError: the lags lack what level, spread or season need.
        """
        self.config, self.lags, self.steps, self.unit = config, lags, steps, unit
        season = config.season
        back = [(-ahead) % season for ahead in range(1, steps + 1)] if season else []
        before = range(season, season + config.level) if config.adjusted and season else range(0)
        needed = {
            "scale": range(2 if config.scale == "spread" else 0),
            "level": range(config.level),
            "season": [*back, *before],
        }
        for key, wanted in needed.items():
            if missing := sorted(set(wanted) - set(lags)):
                found = f"found {getattr(config, key)}, and data.lags without {missing[0]}"
                raise ConfigError(f"model.scaling.{key}", found, "lags as far back as it reaches")
        self._season = [lags.index(lag) for lag in back]
        self._before = [lags.index(lag) for lag in before]
        self._contiguous = next((i for i, lag in enumerate(lags) if lag != i), len(lags))

    @property
    def num_inputs(self) -> int:
        return len(self.lags) + (self.steps if self.config.season else 0) + 2

    def inputs(self, fields: Mapping[str, Tensor], like: Tensor) -> Tensor:
        """x_TBD: the past and the base ahead, counted from the level, in units of the scale; and what that leaves out,
        the level's size beside that of all series, and the scale's beside the level. 0 where there is no value."""
        past_TBL = fields["past_TBL"].to(like.dtype)
        level_TB, scale_TB = self.level(past_TBL), self.scale(past_TBL)
        center_TB = torch.zeros_like(level_TB) if self.config.scale == "global" else level_TB
        base_TBS = self.placed(fields, like)[0] if self.config.season else past_TBL[:, :, :0]
        z_TBD = (torch.cat([past_TBL, base_TBS], 2) - center_TB[:, :, None]) / scale_TB[:, :, None]
        size_TB = torch.asinh(level_TB / self.unit)
        about_TB2 = torch.stack([size_TB, torch.log(scale_TB / (level_TB.abs() + scale_TB))], 2) / 5
        return torch.cat([z_TBD.nan_to_num(0.0).clamp(-LARGEST, LARGEST), about_TB2], 2)

    def placed(self, fields: Mapping[str, Tensor], like: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """base_TBS and scale_TB, on which the distributions of the next values stand, of the type of `like`; and
        whether there is a season, seasonal_TBS."""
        past_TBL = fields["past_TBL"].to(like.dtype)
        scale_TB = self.scale(past_TBL)
        if not self.config.season:
            base_TBS = scale_TB.new_zeros(*scale_TB.shape, self.steps)
            return base_TBS, scale_TB, torch.ones_like(base_TBS, dtype=torch.bool)
        level_TB1 = self.level(past_TBL)[:, :, None]
        base_TBS = past_TBL[:, :, self._season]
        if self.config.adjusted:
            before_TBL = past_TBL[:, :, self._before]
            before_TB1 = _mean(before_TBL)[:, :, None]
            base_TBS = base_TBS * torch.where(before_TB1.abs() > 0, level_TB1 / before_TB1, 1.0)
            # The level of one or two values says too little of how the series has moved since.
            few_TB1 = before_TBL.isnan().sum(2, keepdim=True) > len(self._before) / 2
            base_TBS = base_TBS.masked_fill(few_TB1, torch.nan)
        base_TBS = torch.lerp(base_TBS, level_TB1.expand_as(base_TBS), self.config.damping)
        return torch.where(base_TBS.isnan(), level_TB1, base_TBS), scale_TB, ~base_TBS.isnan()

    def level(self, past_TBL: Tensor) -> Tensor:
        return _mean(past_TBL[:, :, : self.config.level])

    def scale(self, past_TBL: Tensor) -> Tensor:
        """scale_TB, above 0 whatever the past is."""
        if self.config.scale == "global":
            return torch.full_like(past_TBL[:, :, 0], self.unit)
        size_TB = _mean(past_TBL[:, :, : self.config.level].abs())
        if self.config.scale == "spread":
            changes_TBL = past_TBL[:, :, : self._contiguous].diff(dim=2).abs()
            size_TB = torch.maximum(_mean(changes_TBL), LEAST_SHARE * size_TB)
        return size_TB.clamp(min=LEAST_SHARE**2 * self.unit)


def _mean(x_TBL: Tensor) -> Tensor:
    """Of what is there; 0 where nothing is."""
    return x_TBL.nanmean(2).nan_to_num(0.0)
