"""Heads of forecasts against torch.distributions and scipy: losses, gradients, draws, gaps, scales."""

import pytest
import torch
from scipy import stats
from torch.distributions import AffineTransform, NegativeBinomial, StudentT, TransformedDistribution
from torch.nn.functional import softplus

from rnn_core.errors import ConfigError
from rnn_core.heads.negative_binomial import NegativeBinomialHead
from rnn_core.heads.quantile import QuantileHead
from rnn_core.heads.student_t import StudentTHead
from rnn_core.series.scaling import Scaling, ScalingConfig

T, B, H, S = 3, 2, 4, 5
SCALING = Scaling(ScalingConfig(scale="level", level=1, season=0), (0,), S, unit=1.0)
LEVELS = (0.1, 0.25, 0.5, 0.9)
HEADS = {
    "student_t": lambda: StudentTHead(H, SCALING),
    "negative_binomial": lambda: NegativeBinomialHead(H, SCALING),
    "quantile": lambda: QuantileHead(H, SCALING, LEVELS),
}


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(3)


@pytest.fixture(params=HEADS)
def head(request):
    return random_weights(HEADS[request.param]())


def random_weights(head):
    head = head.double()
    for parameter in head.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return head


def inputs():
    """hidden_TBH, whole targets from 0 on, base, scale."""
    hidden_TBH = torch.randn(T, B, H, dtype=torch.float64)
    base_TBS = torch.rand(T, B, S, dtype=torch.float64) * 10
    return hidden_TBH, torch.randint(0, 30, (T, B, S)).double(), base_TBS, torch.rand(T, B, dtype=torch.float64) * 9 + 1


def everywhere():
    return torch.ones(T, B, dtype=torch.bool)


def reference(head, hidden_TBH, targets, base, scale):
    """The loss of each target, by the distributions of a library, or by the definition of the pinball loss."""
    z = head.parameters_of(hidden_TBH)
    scale = scale[..., None]
    if isinstance(head, StudentTHead):
        standard = StudentT(2 + softplus(z[..., 2]), z[..., 0], softplus(z[..., 1]) + 1e-4)
        return -TransformedDistribution(standard, AffineTransform(base, scale)).log_prob(targets)
    if isinstance(head, NegativeBinomialHead):
        mean, total = scale * softplus(z[..., 0]), 1 / (softplus(z[..., 1]) + 1e-3)
        return -NegativeBinomial(total, probs=mean / (mean + total)).log_prob(targets)
    error = (targets - base)[..., None] / scale[..., None] - z
    levels = torch.tensor(LEVELS, dtype=torch.float64)
    return 2 * torch.where(error >= 0, levels * error, (levels - 1) * error).mean(-1)


def test_loss_is_that_of_the_library(head):
    hidden, targets, base, scale = inputs()
    loss, count = head.loss(hidden, targets, everywhere(), base, scale)
    expected = reference(head, hidden, targets, base, scale).mean(2).sum()
    assert count == T * B
    torch.testing.assert_close(loss, expected, rtol=1e-6, atol=1e-6)


def test_gradients_are_those_of_finite_differences(head):
    hidden, targets, base, scale = inputs()
    hidden.requires_grad_()
    assert torch.autograd.gradcheck(lambda h: head.loss(h, targets, everywhere(), base, scale)[0], hidden)


def test_gaps_and_padding_are_not_read(head):
    hidden, targets, base, scale = inputs()
    valid, known = everywhere(), torch.ones(T, B, S, dtype=torch.bool)
    valid[2, 0], known[0, 0, 2:], known[1, 1] = False, False, False
    losses = reference(head, hidden, targets, base, scale)
    means = [losses[t, b][known[t, b]].mean() for t in range(T) for b in range(B) if valid[t, b] and known[t, b].any()]
    targets[~known] = torch.nan
    hidden[2, 0], targets[2, 0], base[2, 0] = torch.nan, torch.nan, torch.nan
    hidden.requires_grad_()
    loss, count = head.loss(hidden, targets, valid, base, scale)
    loss.backward()
    assert count == len(means) == 4
    torch.testing.assert_close(loss, torch.stack(means).sum(), rtol=1e-6, atol=1e-6)
    assert (hidden.grad[2, 0] == 0).all()
    assert (hidden.grad[1, 1] == 0).all()
    assert hidden.grad.isfinite().all()
    assert all(p.grad.isfinite().all() for p in head.parameters())


def test_nothing_known_costs_nothing(head):
    hidden, targets, base, scale = inputs()
    loss, count = head.loss(hidden, torch.full_like(targets, torch.nan), everywhere(), base, scale)
    assert (loss.item(), count) == (0, 0)


@pytest.mark.parametrize("name", ["student_t", "quantile"])
def test_a_series_in_another_unit_gets_the_same_gradient(name):
    head = random_weights(HEADS[name]())
    hidden, targets, base, scale = inputs()
    gradients = []
    for unit in (1.0, 1e6):
        head.zero_grad()
        head.loss(hidden, targets * unit, everywhere(), base * unit, scale * unit)[0].backward()
        gradients.append(head.weight.grad.clone())
    torch.testing.assert_close(gradients[0], gradients[1])


def test_draws_follow_their_distribution():
    generator = torch.Generator().manual_seed(1)
    hidden, base, scale = torch.zeros(20_000, H), torch.full((20_000, S), 7.0), torch.full((20_000,), 4.0)
    student, counts = StudentTHead(H, SCALING), NegativeBinomialHead(H, SCALING)
    drawn = student.sample(hidden, base, scale, generator)[:, 0]
    width, nu = softplus(torch.zeros(())).item() + 1e-4, 2 + softplus(torch.zeros(())).item()
    assert stats.kstest(drawn.numpy(), stats.t(nu, 7, 4 * width).cdf).pvalue > 1e-3
    drawn = counts.sample(hidden, base, scale, generator)[:, 0]
    mean, total = 4 * softplus(torch.zeros(())).item(), 1 / (softplus(torch.zeros(())).item() + 1e-3)
    known = stats.nbinom(total, total / (total + mean))
    seen = torch.bincount(drawn.long(), minlength=8)[:8].double() / len(drawn)
    assert abs(seen - torch.tensor(known.pmf(range(8)))).max() < 0.015


def test_quantiles_of_draws_come_near_to_the_formula():
    head = random_weights(QuantileHead(H, SCALING, LEVELS)).float()
    hidden, base, scale = torch.randn(1, H), torch.zeros(1, S), torch.full((1,), 2.0)
    levels, generator = torch.tensor([0.1, 0.25, 0.6]), torch.Generator().manual_seed(2)
    exact = head.quantiles(hidden, base, scale, levels, 0, generator)
    drawn = super(QuantileHead, head).quantiles(hidden, base, scale, levels, 20_000, generator)
    torch.testing.assert_close(drawn, exact, rtol=0, atol=0.1)
    z = head.parameters_of(hidden).sort(-1).values
    torch.testing.assert_close(exact[..., 0], 2 * z[..., 0])
    torch.testing.assert_close(exact[..., 2], 2 * (z[..., 2] + (z[..., 3] - z[..., 2]) / 4))


def test_quantiles_never_cross(head):
    hidden, _, base, scale = inputs()
    levels = torch.linspace(0.05, 0.95, 19)
    q = head.quantiles(hidden, base, scale, levels, 50, torch.Generator().manual_seed(1))
    assert q.shape == (T, B, S, 19)
    assert (q.diff(dim=-1) >= 0).all()


@pytest.mark.parametrize("levels", [(0.5,), (0.5, 0.1), (0.0, 0.5), (0.5, 1.0)])
def test_levels_rise_between_0_and_1(levels):
    with pytest.raises(ConfigError, match=r"model.levels: found .*rising"):
        QuantileHead(H, SCALING, levels)
