"""The mean of the weights against the sums written out; when it begins; that it survives a restart."""

import itertools
from fractions import Fraction

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from rnn_core import averaging, bptt, checkpoint
from rnn_core.averaging import AveragingConfig
from tests.rnn_core.small import CLIP, LANES, columns_of, network_of, state_of, tokens, windows_of

WINDOWS = windows_of(columns_of(tokens(300)), 8)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 40), st.integers(1, 4), st.sampled_from([1.0, 0.9, 0.5]))
def test_it_is_the_plain_mean_and_then_forgets(updates, every, decay):
    layer = nn.Linear(2, 3).double()
    config, average, seen = AveragingConfig(after=0, decay=decay, every=every), {}, []
    mean = None
    for update in range(1, updates + 1):
        with torch.no_grad():
            layer.weight.copy_(torch.randn(3, 2))
        averaging.add(average, layer, config, update)
        if update % every == 0:
            seen.append(layer.weight.detach().clone())
            count = len(seen)
            kept = min(1 - 1 / count, decay)
            mean = seen[-1] if mean is None else kept * mean + (1 - kept) * seen[-1]
    assert set(average) == (set() if mean is None else {"weight", "bias"})
    if mean is not None:
        torch.testing.assert_close(average["weight"], mean, rtol=1e-12, atol=1e-12)
        if decay == 1.0:
            torch.testing.assert_close(average["weight"], torch.stack(seen).mean(0), rtol=1e-12, atol=1e-12)


def begins(config, scores, direction="min"):
    """The validation after which averaging begins."""
    shown = (n for n in range(1, len(scores) + 1) if averaging.due(config, Fraction(n), scores[:n], direction))
    return next(shown, None)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(0, 9), min_size=1, max_size=15), st.integers(0, 4))
def test_it_begins_where_merity_et_al_say(scores, patience):
    """Their algorithm 1, a validation at a time: t counts those before, whose scores are in `logs`."""
    logs, begun = [], None
    for t, score in enumerate(scores):
        if begun is None and t > patience and score > min(logs[: t - patience]):
            begun = t + 1
        logs.append(score)
    config = AveragingConfig(patience=patience)
    assert begins(config, scores) == begun
    assert begins(config, [-score for score in scores], "max") == begun


def test_it_begins_after_so_many_epochs():
    assert begins(AveragingConfig(after=3), [1.0] * 5) == 3
    assert averaging.due(AveragingConfig(after=0), Fraction(1, 100), [], "min")
    assert not averaging.due(AveragingConfig(after=1), Fraction(99, 100), [], "min")


def test_the_weights_are_back_as_they_were():
    network = network_of()
    before = [p.detach().clone() for p in network.parameters()]
    average = {name: torch.full_like(p, 0.25) for name, p in network.named_parameters()}

    def measure():
        with averaging.averaged(network, average):
            assert all((p == 0.25).all() for p in network.parameters())
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        measure()
    assert all(torch.equal(a, b) for a, b in zip(before, network.parameters(), strict=True))
    with averaging.averaged(network, {}):
        assert all(torch.equal(a, b) for a, b in zip(before, network.parameters(), strict=True))


def steps_of(state, count, begun=0):
    """Losses, the mean kept beside them."""
    losses = []
    for step in itertools.islice(bptt.fit(state, WINDOWS, rate=lambda update: 0.5, clip=CLIP), count):
        averaging.add(state.average, state.network, AveragingConfig(after=0, decay=0.9), step.update - begun)
        losses.append(step.loss)
    return losses


def test_a_restart_goes_on_with_the_same_mean_bit_for_bit(tmp_path):
    state = state_of(network_of("lstm").float())
    steps_of(state, 6)
    checkpoint.save(tmp_path, state, state.carry, key="k", facts={})
    undisturbed = steps_of(state, 9)
    fresh = state_of(network_of("lstm").float())
    fresh.carry = checkpoint.load(tmp_path, fresh, fresh.network.initial_carry(LANES), key="k").carry
    assert steps_of(fresh, 9) == undisturbed
    assert fresh.average.keys() == dict(fresh.network.named_parameters()).keys()
    assert all(torch.equal(state.average[name], mean) for name, mean in fresh.average.items())
    assert any(not torch.equal(p, state.average[name]) for name, p in state.network.named_parameters())


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({}, "after is None, patience is None: one of the two"),
        ({"after": 1, "patience": 1}, "after is 1, patience is 1: one of the two"),
        ({"after": -1}, "after is -1"),
        ({"after": 1, "decay": 0.0}, "decay is 0.0, wanted is a number above 0, up to 1"),
        ({"after": 1, "every": 0}, "every is 0"),
    ],
)
def test_settings_that_cannot_be_are_refused(changed, message):
    with pytest.raises(ValueError, match=message):
        AveragingConfig(**changed)
