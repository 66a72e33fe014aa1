"""The regularised language model (Merity et al. 2017): dropped words, penalties, layers of two widths."""

import dataclasses

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rnn_core import networks
from rnn_core.config import from_mapping
from rnn_core.dropout import Draws
from rnn_core.errors import ConfigError
from rnn_core.lanes import Window
from rnn_core.models import language_model
from tests.rnn_core.small import VOCABULARY, columns_of, network_of, tokens, windows_of

CONFIG = language_model.Config(
    cell="lstm", embedding_size=4, hidden_size=6, num_layers=3, input_dropout=0.0, dropout=0.0, tie=True
)


def made(**changed):
    torch.manual_seed(1)
    config = dataclasses.replace(CONFIG, **changed)
    return networks.network("language_model", config, language_model.Sizes(vocabulary=VOCABULARY)).double()


def test_layers_of_two_widths_tie_without_a_projection():
    """As AWD-LSTM's 400, 1150, 1150, 400."""
    network = made(last_size=4)
    shapes = [tuple(layer.cell.w_h.shape) for layer in network.model.stack.forwards]
    assert shapes == [(24, 6), (24, 6), (16, 4)]
    assert isinstance(network.model.project, torch.nn.Identity)
    assert [state[0].shape[1] for state in network.initial_carry(2)] == [6, 6, 4]
    window = windows_of(columns_of(tokens(50)), 5)(0)
    hidden_TBH, carry = network(window, network.initial_carry(3))
    assert hidden_TBH.shape == (5, 3, 4)
    assert torch.equal(carry[2][0], hidden_TBH[-1])


def test_the_output_may_drop_at_a_rate_of_its_own():
    assert dataclasses.replace(CONFIG, dropout=0.2, output_dropout=0.4).output_rates == [0.2, 0.2, 0.4]
    assert dataclasses.replace(CONFIG, dropout=0.2, output_dropout=0.0).output_rates == [0.2, 0.2, 0.0]
    assert dataclasses.replace(CONFIG, dropout=0.2).output_rates == [0.2, 0.2, 0.2]


def test_a_dropped_word_is_dropped_wherever_it_stands():
    model = made(embedding_dropout=0.5).model
    tokens_TB = torch.randint(VOCABULARY, (30, 4))
    kept = {}
    for update in range(40):
        draws = Draws(seed=1, update=update, lanes_B=torch.arange(4))
        x_TBE = model._embedded(tokens_TB, draws)
        zero_TB = (x_TBE == 0).all(2)
        gone = {int(token) for token in tokens_TB[zero_TB]}
        assert zero_TB.equal(torch.isin(tokens_TB, torch.tensor(sorted(gone), dtype=torch.int64)))
        torch.testing.assert_close(x_TBE[~zero_TB], 2 * model.embedding.weight[tokens_TB[~zero_TB]])
        # Other lanes, another worker's, see the same words gone.
        others = Draws(seed=1, update=update, lanes_B=torch.arange(7, 11))
        assert torch.equal(model._embedded(tokens_TB, others), x_TBE)
        kept[update] = frozenset(gone)
    assert len(set(kept.values())) > 10
    assert 0.3 < sum(map(len, kept.values())) / (40 * VOCABULARY) < 0.7


def test_nothing_is_dropped_where_nothing_is_drawn():
    network = made(embedding_dropout=0.5)
    tokens_TB = torch.randint(VOCABULARY, (3, 2))
    assert torch.equal(network.model._embedded(tokens_TB, None), network.model.embedding(tokens_TB))
    window = windows_of(columns_of(tokens(50)), 5)(0)
    hidden = [net.eval()(window, net.initial_carry(3))[0] for net in (network, made())]
    assert torch.equal(*hidden)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 7), st.integers(1, 3), st.integers(0, 99))
def test_penalties_are_their_formula(steps, lanes, seed):
    """A loop over the steps: nothing of padding, no difference over a mark."""
    torch.manual_seed(seed)
    hidden_TBH = torch.randn(steps, lanes, 4, dtype=torch.float64)
    valid_TB, starts_TB = torch.rand(steps, lanes) < 0.8, torch.rand(steps, lanes) < 0.2
    starts_TB[1:] |= valid_TB[1:] != valid_TB[:-1]
    expected = 0.0
    for t in range(steps):
        for b in range(lanes):
            if valid_TB[t, b]:
                expected += 2.0 * float(hidden_TBH[t, b].square().mean())
                if t and not starts_TB[t, b]:
                    expected += 0.5 * float((hidden_TBH[t, b] - hidden_TBH[t - 1, b]).square().mean())
    window = Window(fields={}, starts_TB=starts_TB, valid_TB=valid_TB, epoch=0)
    model = made(activation_penalty=2.0, change_penalty=0.5).model
    assert float(model.penalty(window, hidden_TBH)) == pytest.approx(expected, rel=1e-12)


def test_a_penalty_counts_in_the_gradient_and_not_in_the_loss():
    window = windows_of(columns_of(tokens(50)), 5)(0)
    plain, penalised = network_of(dropout=0.0), network_of(dropout=0.0, activation_penalty=2.0, change_penalty=1.0)
    (h, _), (hidden_TBH, _) = (net(window, net.initial_carry(3)) for net in (plain, penalised))
    (loss, count), (same, same_count) = plain.loss(window, h), penalised.loss(window, hidden_TBH)
    assert torch.equal(loss, same)
    assert count == same_count
    mine = torch.autograd.grad(same, list(penalised.parameters()))
    total = plain.loss(window, h)[0] + penalised.model.penalty(window, h)
    for gradient, other in zip(mine, torch.autograd.grad(total, list(plain.parameters())), strict=True):
        torch.testing.assert_close(gradient, other, rtol=1e-10, atol=1e-12)
    hidden_TBH = hidden_TBH.detach().requires_grad_()
    penalised.eval()
    (measured,) = torch.autograd.grad(penalised.loss(window, hidden_TBH)[0], hidden_TBH)
    (unpenalised,) = torch.autograd.grad(penalised.head.loss_of(window, hidden_TBH)[0], hidden_TBH)
    assert torch.equal(measured, unpenalised)


def test_networks_without_these_settings_are_what_they_were():
    names = [name for name, _ in made().named_parameters()]
    assert names == [name for name, _ in made(embedding_dropout=0.3, activation_penalty=1.0).named_parameters()]
    assert (CONFIG.last_size, CONFIG.output_dropout, CONFIG.hidden_sizes) == (None, None, [6, 6, 6])
    assert not made().model.penalised


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"embedding_dropout": 1.0}, "model.embedding_dropout: found 1.0; a rate"),
        ({"activation_penalty": -1.0}, "model.activation_penalty: found -1.0; a number from 0 on"),
        ({"change_penalty": float("nan")}, "model.change_penalty: found nan; a number from 0 on"),
        ({"last_size": 0}, "model.last_size: found 0; a whole number from 1 on"),
        ({"output_dropout": 1.5}, "model.output_dropout: found 1.5; a rate"),
    ],
)
def test_settings_that_cannot_be_are_told_with_their_key(changed, message):
    with pytest.raises(ConfigError) as raised:
        from_mapping(language_model.Config, dataclasses.asdict(CONFIG) | changed, "model")
    assert str(raised.value).startswith(message)
