"""The negative binomial for each of the next values: counts that vary more than a Poisson's (DeepAR, section 3.1)."""

import torch
from torch import Tensor
from torch.nn.functional import softplus

from rnn_core.heads.forecast import ForecastHead
from rnn_core.series.scaling import Scaling

LEAST_SPREAD = 1e-3
"""Of alpha: nearer to a Poisson the logarithms of the gamma function cancel out."""


class NegativeBinomialHead(ForecastHead):
    """Mean mu = scale softplus, variance mu + alpha mu^2, alpha = softplus + 0.001; the base is not used.

    Targets are whole numbers from 0 on. The loss is -log p(y) in nats.
    """

    def __init__(self, hidden_size: int, scaling: Scaling):
        super().__init__(hidden_size, scaling, 2)

    def losses(self, z_SK: Tensor, targets_S: Tensor, base_S: Tensor, scale_1: Tensor) -> Tensor:
        mean, shape = _parts(z_SK, scale_1)
        y, total = targets_S, torch.log(shape + mean)
        combinations = torch.lgamma(y + shape) - torch.lgamma(y + 1) - torch.lgamma(shape)
        return -combinations - shape * (torch.log(shape) - total) - y * (torch.log(mean) - total)

    def draw(self, z_SK: Tensor, base_S: Tensor, scale_1: Tensor, generator: torch.Generator) -> Tensor:
        mean, shape = _parts(z_SK, scale_1)
        rate = torch._standard_gamma(shape, generator) * mean / shape
        return torch.poisson(rate, generator)


def _parts(z_SK: Tensor, scale_1: Tensor) -> tuple[Tensor, Tensor]:
    """The mean, and the shape r = 1 / alpha of the gamma distribution that the rate of a Poisson is drawn from."""
    mean, alpha = z_SK.unbind(-1)
    tiny = torch.finfo(mean.dtype).eps
    return scale_1 * (softplus(mean) + tiny), 1 / (softplus(alpha) + LEAST_SPREAD)
