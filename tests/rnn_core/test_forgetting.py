"""Where the tanh network forgets, the LSTM holds: the gradient's way back over a long dependence, in numbers."""

import itertools

import numpy as np
import pytest
import torch

from rnn_core import bptt, networks, optim
from rnn_core.inspect import gradient_flow
from rnn_core.models import language_model
from tests.rnn_core.small import columns_of, windows_of

DISTANCE = 20
"""Steps between a word and the place where it is wanted again."""
LANES, HIDDEN, UPDATES = 16, 16, 150
CUES, NOISE, QUESTION = range(1, 5), range(5, 7), 0


def recall():
    """Windows of one sequence a lane: a cue, 20 words of noise, the question; the answer to it is the cue."""
    random = np.random.default_rng(0)
    noise = random.choice(NOISE, (2000, DISTANCE))
    pieces = [
        np.array([cue, *words, QUESTION, cue]) for cue, words in zip(random.choice(CUES, 2000), noise, strict=True)
    ]
    return windows_of(columns_of(None, pieces), DISTANCE + 2, lanes=LANES)


def network_of(cell):
    torch.manual_seed(0)
    sizes = {"embedding_size": 8, "hidden_size": HIDDEN, "num_layers": 1}
    config = language_model.Config(cell=cell, input_dropout=0.0, dropout=0.0, tie=False, **sizes)
    return networks.network("language_model", config, language_model.Sizes(vocabulary=7))


def flow_from_the_question(network):
    """k = 1 is the state before the question, k = 21 that after the cue."""
    (flow,) = gradient_flow(network, recall()(0), network.initial_carry(LANES), [DISTANCE + 1])
    assert len(flow.state_K) == DISTANCE + 1
    return flow


@pytest.fixture(scope="module")
def kept():
    """What is left of the gradient after 20 more steps, by cell: before training and after."""
    windows, shares = recall(), {}
    for cell in ("elman", "gru", "lstm"):
        network = network_of(cell)
        before = flow_from_the_question(network)
        optimizer = optim.optimizer(optim.OptimizerConfig(name="adamw", rate=0.01), network.parameters())
        state = bptt.TrainState(network=network, optimizer=optimizer, carry=network.initial_carry(LANES))
        for _ in itertools.islice(bptt.fit(state, windows, rate=lambda update: 0.01, clip=1.0), UPDATES):
            pass
        after = flow_from_the_question(network)
        shares[cell] = before.state_K[-1] / before.state_K[0], after.state_K[-1] / after.state_K[0]
    return shares


def test_before_training_elman_forgets_faster_than_gru_and_gru_than_lstm(kept):
    """As they are drawn: a recurrent matrix of radius about 0.58, an update gate of 1/2, a forget gate of 0.73."""
    elman, gru, lstm = (kept[cell][0] for cell in ("elman", "gru", "lstm"))
    assert elman < 1e-3
    assert 2 * elman < gru
    assert 10 * gru < lstm
    assert lstm > 1e-3


def test_trained_the_gates_hold_what_the_tanh_network_has_lost(kept):
    elman, gru, lstm = (kept[cell][1] for cell in ("elman", "gru", "lstm"))
    assert elman < 1e-6
    assert gru > 0.01
    assert lstm > 0.01


def test_theorem_an_elman_network_keeps_at_most_its_largest_singular_value_a_step():
    """h' = W' diag(1 - h^2), and no entry of the diagonal is above 1 (Pascanu et al. 2013, section 2.1)."""
    network = network_of("elman")
    w_h = network.model.stack.forwards[0].cell.w_h
    with torch.no_grad():
        w_h *= 0.9 / torch.linalg.matrix_norm(w_h, 2)
    flow = flow_from_the_question(network)
    bound_K = flow.state_K[0] * 0.9 ** np.arange(DISTANCE + 1)
    assert (flow.state_K <= bound_K * (1 + 1e-5)).all()


def test_theorem_an_lstm_keeps_its_forget_gate_a_step():
    """Without W_h the only way back is c: d c_t / d c_(t-k) is the product of the forget gates, here all alike."""
    network = network_of("lstm")
    cell = network.model.stack.forwards[0].cell
    with torch.no_grad():
        cell.w_h.zero_()
        cell.w_x.chunk(4)[1].zero_()
        cell.b.chunk(4)[1].fill_(3.0)
    flow = flow_from_the_question(network)
    gate = float(torch.tensor(3.0).sigmoid())
    np.testing.assert_allclose(flow.state_K / flow.state_K[0], gate ** np.arange(DISTANCE + 1), rtol=1e-4)
    assert flow.h_K.max() == 0
