"""Student's t for each of the next values: a normal distribution with tails as heavy as the data ask for."""

import math

import torch
from torch import Tensor
from torch.nn.functional import softplus

from rnn_core.heads.forecast import ForecastHead
from rnn_core.series.scaling import Scaling

LEAST_WIDTH = 1e-4
"""In units of the scale: a value foreseen exactly must not cost minus infinity."""


class StudentTHead(ForecastHead):
    """y = base + scale (mu + sigma t_nu), sigma = softplus + 1e-4, nu = 2 + softplus, so that a variance exists.

    The loss is -log p(y) in nats, the density in the unit of the data.
    """

    def __init__(self, hidden_size: int, scaling: Scaling):
        super().__init__(hidden_size, scaling, 3)

    def losses(self, z_SK: Tensor, targets_S: Tensor, base_S: Tensor, scale_1: Tensor) -> Tensor:
        mu, sigma, nu = _parts(z_SK)
        t = ((targets_S - base_S) / scale_1 - mu) / sigma
        constant = torch.lgamma(nu / 2) - torch.lgamma((nu + 1) / 2) + 0.5 * torch.log(nu * math.pi)
        return constant + (nu + 1) / 2 * torch.log1p(t * t / nu) + torch.log(sigma * scale_1)

    def draw(self, z_SK: Tensor, base_S: Tensor, scale_1: Tensor, generator: torch.Generator) -> Tensor:
        mu, sigma, nu = _parts(z_SK)
        normal = torch.randn(mu.shape, generator=generator, dtype=mu.dtype, device=mu.device)
        chi_square = 2 * torch._standard_gamma(nu / 2, generator)
        t = normal * torch.sqrt(nu / chi_square.clamp(min=torch.finfo(mu.dtype).tiny))
        return base_S + scale_1 * (mu + sigma * t)


def _parts(z_SK: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    mu, sigma, nu = z_SK.unbind(-1)
    return mu, softplus(sigma) + LEAST_WIDTH, 2 + softplus(nu)
