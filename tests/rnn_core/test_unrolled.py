"""What is shown of an example is what the network computes: states, probabilities, losses."""

import numpy as np
import pytest
import torch

from rnn_core.cells import CELLS
from rnn_core.inspect import examples, unroll
from tests.rnn_core.small import LANES, columns_of, network_of, tokens, windows_of
from tests.rnn_core.small_tagger import sentences, tagger

STEPS = 7


@pytest.mark.parametrize("cell", CELLS)
def test_states_are_those_that_the_network_passes_on(cell):
    """Two layers, sequences that begin inside; each step's state is the carry of a window that ends there."""
    network = network_of(cell).eval()
    windows = windows_of(columns_of(None, [tokens(n, n) for n in (9, 4, 12, 7, 3, 8)]), STEPS)
    with torch.no_grad():
        carry = network(windows(0), network.initial_carry(LANES))[1]
    shown = unroll(network, windows(1), carry, 1, slice(1, 6))
    assert [layer.reverse for layer in shown.layers] == [False, False]
    for t in range(1, 6):
        with torch.no_grad():
            hidden, after = network(windows(1).steps(0, t + 1), carry)
        for layer, state in zip(shown.layers, after, strict=True):
            for mine, tensor in zip(layer.state.values(), state, strict=True):
                np.testing.assert_allclose(mine[t - 1], tensor[1], rtol=1e-10, atol=1e-12)
        np.testing.assert_allclose(shown.layers[-1].h_TH[t - 1], hidden[-1, 1], rtol=1e-10, atol=1e-12)
    words = windows(1).fields["tokens_TB"][1:6, 1]
    np.testing.assert_array_equal(shown.x_TD, network.model.embedding(words).detach())
    assert network(windows(1), carry)[0].shape == (STEPS, LANES, 6)
    assert type(network.model.stack.forwards[0].cell) is CELLS[cell]


@pytest.mark.parametrize("cell", ["elman", "gru", "lstm", "memoryless"])
def test_both_directions_are_shown_in_the_order_of_the_example(cell):
    network, window = tagger(cell).eval(), sentences(6, 2, 4, 8)
    forward, backward = unroll(network, window, (), 0, slice(2, 5)).layers
    assert (forward.reverse, backward.reverse) == (False, True)
    hidden = network(window, ())[0][2:5, 0].detach()
    np.testing.assert_allclose(np.hstack((forward.h_TH, backward.h_TH)), hidden, rtol=1e-9, atol=1e-12)


def test_names_of_states_fit_the_states():
    for cell, kind in CELLS.items():
        made = kind(2, 3)
        assert len(made.state_names) == len(made.initial_state(1, torch.zeros(1, 2))), cell


@pytest.mark.parametrize("head", [{}, {"head": "adaptive", "cutoffs": (2, 4)}], ids=["softmax", "adaptive"])
def test_the_losses_of_examples_are_those_of_the_head_at_each_step(head):
    network = network_of("gru", **head).eval()
    windows = windows_of(columns_of(None, [tokens(n, n) for n in (9, 4, 12, 7, 3, 8)]), STEPS)
    found = examples(network, windows, windows.per_epoch)
    assert [e.loss for e in found] == sorted(e.loss for e in found)
    assert sum(len(e.losses_T) for e in found) == sum(n - 1 for n in (9, 4, 12, 7, 3, 8))
    with torch.no_grad():
        carry = network.initial_carry(LANES)
        for number in range(windows.per_epoch):
            window = windows(number)
            hidden, carry = network(window, carry)
            for example in (e for e in found if e.window == number):
                window_lane, h = window.lane(example.lane), hidden[:, example.lane : example.lane + 1]
                assert not window.starts_TB[example.steps.start + 1 : example.steps.stop, example.lane].any()
                for t, loss, answered in zip(
                    range(example.steps.start, example.steps.stop), example.losses_T, example.answered_T, strict=True
                ):
                    right, count = network.loss(window_lane.steps(t, t + 1), h[t : t + 1])
                    assert (loss, count) == (pytest.approx(float(right), rel=1e-10), 1)
                    assert answered == network.head.predict(h[t, 0]).argmax()


def test_each_sentence_is_an_example():
    found = examples(tagger("lstm"), lambda number: sentences(6, 2, 4, 8), 1)
    assert sorted(len(e.losses_T) for e in found) == [2, 4, 6, 8]
