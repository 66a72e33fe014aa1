"""Adaptive softmax against torch's with the same weights; what is said of cutoffs that cannot be."""

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from rnn_core import bptt, networks, optim
from rnn_core.config import from_mapping
from rnn_core.errors import ConfigError
from rnn_core.heads.adaptive import AdaptiveHead
from rnn_core.models import language_model
from tests.rnn_core.small import LANES, VOCABULARY, columns_of, tokens, windows_of

CONFIG = {
    "cell": "lstm",
    "embedding_size": 5,
    "hidden_size": 6,
    "num_layers": 1,
    "input_dropout": 0.0,
    "dropout": 0.0,
    "tie": False,
}


def pair(hidden_size, num_classes, cutoffs):
    """Ours and torch's, with the same weights."""
    ours = AdaptiveHead(hidden_size, num_classes, cutoffs).double()
    theirs = nn.AdaptiveLogSoftmaxWithLoss(hidden_size, num_classes, list(cutoffs), head_bias=True).double()
    nn.init.normal_(ours.bias)
    with torch.no_grad():
        for mine, other in zip(ours.parameters(), parameters_of(theirs), strict=True):
            other.copy_(mine)
    return ours, theirs


def parameters_of(theirs):
    """In our order."""
    return [
        theirs.head.weight,
        theirs.head.bias,
        *(t[0].weight for t in theirs.tail),
        *(t[1].weight for t in theirs.tail),
    ]


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_loss_gradients_and_prediction_are_torchs(data):
    num_classes = data.draw(st.integers(3, 30))
    cuts = st.sets(st.integers(1, num_classes - 1), min_size=1, max_size=min(3, num_classes - 1))
    cutoffs = tuple(sorted(data.draw(cuts)))
    steps, lanes = data.draw(st.integers(1, 6)), data.draw(st.integers(1, 4))
    torch.manual_seed(data.draw(st.integers(0, 99)))
    ours, theirs = pair(64, num_classes, cutoffs)
    hidden_TBH = torch.randn(steps, lanes, 64, dtype=torch.float64, requires_grad=True)
    targets_TB, valid_TB = torch.randint(num_classes, (steps, lanes)), torch.rand(steps, lanes) < 0.7
    valid_TB[0, 0] = True
    loss, count = ours.loss(hidden_TBH, targets_TB, valid_TB)
    reference = -theirs(hidden_TBH[valid_TB], targets_TB[valid_TB]).output.sum()
    assert count == int(valid_TB.sum())
    torch.testing.assert_close(loss, reference, rtol=1e-10, atol=1e-10)
    mine = torch.autograd.grad(loss, [hidden_TBH, *ours.parameters()])
    others = torch.autograd.grad(reference, [hidden_TBH, *parameters_of(theirs)], allow_unused=True)
    for gradient, other in zip(mine, others, strict=True):
        other = torch.zeros_like(gradient) if other is None else other
        torch.testing.assert_close(gradient, other, rtol=1e-10, atol=1e-10)
    log_p_NV = theirs.log_prob(hidden_TBH.flatten(0, 1))
    torch.testing.assert_close(ours.predict(hidden_TBH).flatten(0, 1), log_p_NV, rtol=1e-10, atol=1e-10)


def test_a_window_of_padding_costs_nothing():
    head = AdaptiveHead(8, 10, (4,))
    none_TB = torch.zeros(3, 2, dtype=torch.bool)
    loss, count = head.loss(torch.randn(3, 2, 8), torch.zeros(3, 2, dtype=torch.int64), none_TB)
    loss.backward()
    assert (loss.item(), count) == (0, 0)
    assert all((p.grad == 0).all() for p in head.parameters())


def test_predict_gives_log_probabilities_of_any_leading_dimensions():
    head = AdaptiveHead(8, 10, (4, 7))
    hidden_TBH = torch.randn(3, 2, 8)
    log_p_TBV = head.predict(hidden_TBH)
    assert log_p_TBV.shape == (3, 2, 10)
    torch.testing.assert_close(log_p_TBV.exp().sum(2), torch.ones(3, 2))
    torch.testing.assert_close(head.predict(hidden_TBH[1, 0]), log_p_TBV[1, 0])


def test_a_language_model_learns_with_it():
    config = from_mapping(language_model.Config, CONFIG | {"head": "adaptive", "cutoffs": [2, 4]}, "model")
    torch.manual_seed(1)
    network = networks.network("language_model", config, language_model.Sizes(vocabulary=VOCABULARY))
    assert isinstance(network.head, AdaptiveHead)
    optimizer = optim.optimizer(optim.OptimizerConfig(name="adamw", rate=0.03), network.parameters())
    state = bptt.TrainState(network=network, optimizer=optimizer, carry=network.initial_carry(LANES))
    windows = windows_of(columns_of(tokens(8).tolist() * 40), 10)
    steps = list(itertools.islice(bptt.fit(state, windows, rate=lambda update: 0.03, clip=1.0), 60))
    assert steps[-1].loss < 0.5 < 1.5 < steps[0].loss


@pytest.mark.parametrize("cutoffs", [None, (), (0, 3), (3, 3), (5, 3), (3, VOCABULARY)])
def test_cutoffs_that_cannot_be_are_refused(cutoffs):
    config = language_model.Config(**CONFIG, head="adaptive", cutoffs=cutoffs)
    with pytest.raises(
        ConfigError, match=r"^model.cutoffs: found .*; rising whole numbers from 1 to 6, the first word"
    ):
        networks.network("language_model", config, language_model.Sizes(vocabulary=VOCABULARY))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"head": "hierarchical"}, "model.head: found 'hierarchical' (text); wanted is one of softmax, adaptive"),
        ({"head": "adaptive", "cutoffs": [3], "tie": True}, "model: tie is true with head: adaptive"),
        ({"cutoffs": [3]}, "model: cutoffs are given with head: softmax, wanted is head: adaptive"),
        ({"head": "adaptive", "cutoffs": [2.5]}, "model.cutoffs[0]: found 2.5 (number); wanted is a whole number"),
    ],
)
def test_settings_that_do_not_fit_each_other_are_refused(changes, message):
    with pytest.raises(ConfigError) as told:
        from_mapping(language_model.Config, CONFIG | changes, "model")
    assert message in str(told.value)
