"""Schedules are pure functions of the update; optimizers spare biases from weight decay."""

from fractions import Fraction

import pytest
import torch
from torch import nn

from rnn_core import optim


def factors(config, *updates, total=100, per_epoch=10):
    factor = optim.schedule(config, updates=total, per_epoch=per_epoch)
    return [pytest.approx(factor(update), abs=1e-12) for update in updates]


def test_schedules():
    of = lambda name, **more: optim.ScheduleConfig(name=name, **more)  # noqa: E731
    assert factors(of("constant"), 0, 99) == [1, 1]
    assert factors(of("constant", warmup=4), 0, 3, 4) == [0.25, 1, 1]
    assert factors(of("linear", floor=0.1), 0, 50, 100, 200) == [1, 0.55, 0.1, 0.1]
    assert factors(of("cosine"), 0, 50, 100) == [1, 0.5, 0]
    assert factors(of("decay", after=4, factor=0.5), 0, 39, 40, 59, 60) == [1, 1, 0.5, 0.25, 0.125]


@pytest.mark.parametrize("name", ["sgd", "adamw"])
def test_weight_decay_spares_biases(name):
    layer = nn.Linear(3, 2)
    config = optim.OptimizerConfig(name=name, rate=0.1, weight_decay=0.5)
    made = optim.optimizer(config, layer.parameters())
    before = layer.weight.detach().clone(), layer.bias.detach().clone()
    for parameter in layer.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optim.set_rate(made, 0.2)
    made.step()
    torch.testing.assert_close(layer.weight.detach(), before[0] * (1 - 0.2 * 0.5))
    assert torch.equal(layer.bias.detach(), before[1])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("more", [{"name": "sgd"}, {"name": "sgd", "momentum": 0.9}, {"name": "adamw"}], ids=str)
def test_a_step_divides_the_gradients(more, dtype):
    """As if they had been divided before; the float64 ones exactly, the others in the kernel."""
    torch.manual_seed(2)
    config = optim.OptimizerConfig(rate=0.1, weight_decay=0.01, **more)
    ours, theirs = (nn.Parameter(torch.ones(5, 40, dtype=dtype)) for _ in range(2))
    mine, other = optim.optimizer(config, [ours]), optim.optimizer(config, [theirs])
    for divisor in (3.7, 0.2, 1000.1):
        gradient = torch.randn(5, 40, dtype=dtype)
        ours.grad, theirs.grad = gradient.clone(), gradient / divisor
        optim.step(mine, divisor)
        other.step()
        tolerance = 1e-12 if dtype == torch.float64 else 1e-6
        torch.testing.assert_close(ours, theirs, rtol=tolerance, atol=tolerance)


def test_epochs_of_no_whole_number_of_updates():
    """7 windows an epoch, 3 an update: epochs end at updates 2 1/3, 4 2/3 and 7."""
    config = optim.ScheduleConfig(name="decay", after=1, factor=0.5)
    assert factors(config, 2, 3, 4, 5, 6, 7, per_epoch=Fraction(7, 3)) == [1, 0.5, 0.5, 0.25, 0.25, 0.125]


def test_constants_that_cannot_be_are_refused():
    with pytest.raises(ValueError, match="rate is 0"):
        optim.OptimizerConfig(name="sgd", rate=0)
    with pytest.raises(ValueError, match="betas has 1 numbers"):
        optim.OptimizerConfig(name="adamw", rate=1, betas=(0.9,))
