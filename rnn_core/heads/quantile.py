"""Quantiles of each of the next values, without a shape of the distribution (Koenker and Bassett 1978).

Wen et al. 2017 (A multi-horizon quantile recurrent forecaster) train a recurrent network so.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from rnn_core.errors import ConfigError
from rnn_core.heads.forecast import ForecastHead
from rnn_core.series.scaling import Scaling


class QuantileHead(ForecastHead):
    """q_k = base + scale z_k for each level tau_k.

    The loss is twice the mean pinball loss in units of the scale: the CRPS, its integral taken at the levels. Lines
    that cross are put in order where they are used (Chernozhukov et al. 2010), never in the loss.
    """

    levels_K: Tensor

    def __init__(self, hidden_size: int, scaling: Scaling, levels: Sequence[float]):
        """
        Args:
            levels: tau_k, rising, in 0..1, at least two.

        Raises:
            ConfigError: they are not so.
        """
        super().__init__(hidden_size, scaling, len(levels))
        rising = all(a < b for a, b in zip([0.0, *levels], [*levels, 1.0], strict=True))
        if len(levels) < 2 or not rising:
            raise ConfigError("model.levels", f"found {list(levels)}", "at least two, rising, between 0 and 1")
        self.register_buffer("levels_K", torch.tensor(levels), persistent=False)

    def losses(self, z_SK: Tensor, targets_S: Tensor, base_S: Tensor, scale_1: Tensor) -> Tensor:
        error_SK = ((targets_S - base_S) / scale_1)[..., None] - z_SK
        return 2 * torch.maximum(self.levels_K * error_SK, (self.levels_K - 1) * error_SK).mean(-1)

    def draw(self, z_SK: Tensor, base_S: Tensor, scale_1: Tensor, generator: torch.Generator) -> Tensor:
        """The quantile at a random level; beyond the outermost ones the line between the last two goes on."""
        levels_1 = torch.rand(*z_SK.shape[:-1], 1, generator=generator, dtype=z_SK.dtype, device=z_SK.device)
        return base_S + scale_1 * self._at(z_SK, levels_1)[..., 0]

    @torch.no_grad()
    def quantiles(
        self, hidden: Tensor, base: Tensor, scale: Tensor, levels: Tensor, draws: int, generator: torch.Generator
    ) -> Tensor:
        z_SK = self.parameters_of(hidden)
        z_SQ = self._at(z_SK, levels.to(z_SK).expand(*z_SK.shape[:-1], -1))
        return base[..., None] + scale[..., None, None] * z_SQ

    def _at(self, z_SK: Tensor, levels_Q: Tensor) -> Tensor:
        """z_..Q: the line through the ordered quantiles, at these levels."""
        ordered_SK = z_SK.sort(-1).values
        known_K = self.levels_K.to(z_SK)
        right_Q = torch.searchsorted(known_K, levels_Q.contiguous()).clamp(1, len(known_K) - 1)
        low_Q, high_Q = ordered_SK.gather(-1, right_Q - 1), ordered_SK.gather(-1, right_Q)
        share_Q = (levels_Q - known_K[right_Q - 1]) / (known_K[right_Q] - known_K[right_Q - 1])
        return low_Q + share_Q * (high_Q - low_Q)
