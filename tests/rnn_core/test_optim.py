"""Schedules are pure functions of the update; optimizers spare biases from weight decay."""

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


def test_constants_that_cannot_be_are_refused():
    with pytest.raises(ValueError, match="rate is 0"):
        optim.OptimizerConfig(name="sgd", rate=0)
    with pytest.raises(ValueError, match="betas has 1 numbers"):
        optim.OptimizerConfig(name="adamw", rate=1, betas=(0.9,))
