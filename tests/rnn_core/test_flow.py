"""The flow of gradients against derivatives taken one state, step and lane at a time."""

import itertools
import math

import numpy as np
import pytest
import torch

from rnn_core import bptt
from rnn_core.cells import CELLS
from rnn_core.inspect import gradient_flow, parts, steps_read
from rnn_core.layers import step_by_step
from tests.rnn_core import test_classification as classes
from tests.rnn_core import test_transduction as pairs
from tests.rnn_core.small import LANES, columns_of, network_of, tokens, windows_of
from tests.rnn_core.small_tagger import sentences, tagger

STEPS = 9


def one_by_one(network, window, carry, steps):
    """Mean norms by the whole state and by the first tensors, k from 1 on: the network is run to t - k, its carry taken
    as the variable, and run on from there to t, for each t, k and lane by itself."""
    norms = {}
    for t in steps:
        for begin in range(t + 1):
            for lane in range(window.starts_TB.shape[1]):
                if window.starts_TB[begin : t + 1, lane].any() or not window.valid_TB[t, lane]:
                    continue
                with torch.no_grad():
                    state = network(window.steps(0, begin), carry)[1] if begin else carry
                state = bptt.map_carry(lambda s: s.detach().clone().requires_grad_(), state)
                part = window.steps(begin, t + 1)
                hidden, _ = network(part, state)
                loss, _ = network.loss(part.steps(t - begin, t - begin + 1).lane(lane), hidden[-1:, lane : lane + 1])
                leaves = [s for layer in state for s in layer]
                gradients = torch.autograd.grad(loss, leaves, materialize_grads=True, allow_unused=True)
                firsts = [id(layer[0]) for layer in state if layer]
                of_all = [float(g[lane].square().sum()) for g in gradients]
                of_h = [n for n, leaf in zip(of_all, leaves, strict=True) if id(leaf) in firsts]
                norms.setdefault(t - begin + 1, []).append((math.sqrt(sum(of_all)), math.sqrt(sum(of_h))))
    return np.array([np.mean(norms[k], axis=0) for k in sorted(norms)]), [len(norms[k]) for k in sorted(norms)]


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("cell", sorted(set(CELLS) - {"memoryless"}))
def test_flow_is_that_of_each_state_by_itself(cell, layers):
    """Sequences begin inside the window, the lanes end with padding, the carry comes from a window before; float64."""
    columns = columns_of(None, [tokens(n, n) for n in (18, 4, 11, 9, 3)])
    windows = windows_of(columns, STEPS)
    network = network_of(cell, layers=layers, connection="residual" if layers == 2 else "none").eval()
    with torch.no_grad():
        carry = network(windows(0), network.initial_carry(LANES))[1]
    window, steps = windows(1), [2, 5, 8]
    assert not window.valid_TB.all()
    assert window.starts_TB[1:].any()
    (flow,) = gradient_flow(network, window, carry, steps)
    norms_K2, pairs = one_by_one(network, window, carry, steps)
    np.testing.assert_allclose(np.stack((flow.state_K, flow.h_K), 1), norms_K2, rtol=1e-9, atol=1e-14)
    assert flow.pairs_K.tolist() == pairs
    assert not flow.reverse


def test_nothing_flows_back_where_nothing_is_remembered_and_the_network_stays_as_it_was():
    network = network_of("memoryless")
    windows = windows_of(columns_of(tokens(60)), STEPS)
    before = {name: p.clone() for name, p in network.state_dict().items()}
    (flow,) = gradient_flow(network, windows(0), network.initial_carry(LANES), [STEPS - 1])
    assert flow.state_K.tolist() == flow.h_K.tolist() == [0.0] * (STEPS - 1)
    assert network.training
    assert list(network.state_dict()) == list(before)
    assert all(torch.equal(p, before[name]) for name, p in network.state_dict().items())
    assert all(p.grad is None and p.requires_grad for p in network.parameters())


@pytest.mark.parametrize("cell", ["elman", "gru", "lstm"])
def test_what_flows_through_the_second_direction_comes_from_later_steps(cell):
    network, window = tagger(cell), sentences(6, 2, 4, 8)
    flows = gradient_flow(network, window, (), range(len(window.starts_TB)))
    assert [flow.reverse for flow in flows] == [False, True]
    for flow in flows:
        norms = through_one_direction(network, window, flow.reverse)
        np.testing.assert_allclose(flow.state_K, [np.mean(norms[k]) for k in sorted(norms)], rtol=1e-9)
        assert flow.pairs_K.tolist() == [len(norms[k]) for k in sorted(norms)]


def through_one_direction(network, window, reverse):
    """Norms by k: the words turned round for the second direction, its cell run to t - k and from there on to t."""

    def turned(tensor):
        return tensor.flip(0) if reverse else tensor

    (layer,) = network.model.stack.backwards if reverse else network.model.stack.forwards
    ends_TB = torch.cat((window.starts_TB[1:], torch.ones_like(window.starts_TB[:1])))
    resets_TB = turned(ends_TB if reverse else window.starts_TB)
    x_TBD = turned(network.model.embedding(window.fields["words_TB"]).detach())
    halves_TBH = [turned(half) for half in network(window, ())[0].detach().chunk(2, 2)]
    initial, norms = layer.cell.initial_state(x_TBD.shape[1], x_TBD), {}
    for t, lane in itertools.product(range(len(x_TBD)), range(x_TBD.shape[1])):
        at = len(x_TBD) - 1 - t if reverse else t
        for begin in range(t + 1):
            if resets_TB[begin : t + 1, lane].any() or not window.valid_TB[at, lane]:
                continue
            _, state = step_by_step(layer.cell, x_TBD[:begin], resets_TB[:begin], initial, False)
            state = tuple(s.detach().requires_grad_() for s in state)
            part = slice(begin, t + 1)
            own, _ = step_by_step(layer.cell, x_TBD[part], resets_TB[part], state, False)
            said = [half[t : t + 1, lane : lane + 1] for half in halves_TBH]
            said[int(reverse)] = own[-1:, lane : lane + 1]
            loss, _ = network.loss(window.steps(at, at + 1).lane(lane), torch.cat(said, 2))
            gradients = torch.autograd.grad(loss, state, materialize_grads=True, allow_unused=True)
            norms.setdefault(t - begin + 1, []).append(math.sqrt(sum(float(g[lane].square().sum()) for g in gradients)))
    return norms


def classifier(share, read_out="last"):
    """h' = share h + x, positive all the way: a linear cell, whose gradient is a power of `share`."""
    made = classes.network("features", cell="elman_relu", bidirectional=False, read_out=read_out)
    cell = made.model.stack.forwards[0].cell
    with torch.no_grad():
        cell.w_h.copy_(share * torch.eye(len(cell.w_h), dtype=torch.float64))
        cell.b.fill_(20.0)
    return made


def test_the_gradient_of_a_linear_cell_is_a_power():
    made, windows = classifier(0.7), classes.windows_of(classes.rows_of("features"))
    window = windows(0)
    read = steps_read(made, window, ())
    ends = [t for t in range(len(window.starts_TB)) if _ends(window)[t].any()]
    assert read == ends
    (flow,) = gradient_flow(made, window, (), read)
    lengths = [n for n in classes.LENGTHS if n > 1]
    assert windows.per_epoch == 1
    assert flow.pairs_K.tolist() == [sum(n > k for n in lengths) for k in range(1, max(lengths))]
    # A mean over other sequences at each k: one that all k share.
    alone = classes.windows_of([classes.rows_of("features")[2]], lanes=1)(0)
    (flow,) = gradient_flow(made, alone, (), [classes.LENGTHS[2] - 1])
    np.testing.assert_allclose(flow.state_K / flow.state_K[0], 0.7 ** np.arange(6), rtol=1e-9)


def test_by_way_of_what_is_said_at_a_step_a_mean_is_followed_like_a_last_state():
    row = classes.rows_of("features")[2]
    window = classes.windows_of([row], lanes=1)(0)
    (flow,) = gradient_flow(classifier(0.7, "mean"), window, (), [4])
    np.testing.assert_allclose(flow.state_K / flow.state_K[0], 0.7 ** np.arange(4), rtol=1e-9)


def _ends(window):
    after_TB = torch.cat((window.starts_TB[1:], torch.ones_like(window.starts_TB[:1])))
    return after_TB & window.valid_TB


@pytest.mark.parametrize("frozen", [False, True])
@pytest.mark.parametrize("cell", ["lstm", "memoryless"])
def test_encoder_and_decoder_are_followed_apart(cell, frozen):
    network, window = pairs.network_of(cell=cell), pairs.windows_of(pairs.columns_of(9), seed=None)(2)
    network.requires_grad_(not frozen)
    decoder, encoder = parts(network)
    (said,) = gradient_flow(network, window, (), [2], decoder)
    read = gradient_flow(network, window, (), steps_read(network, window, (), encoder), encoder)
    assert [(flow.part, flow.reverse) for flow in (said, *read)] == [
        ("decoder", False),
        ("encoder", False),
        ("encoder", True),
    ]
    assert all((flow.state_K > 0).all() == (cell == "lstm") for flow in (said, *read))
    longest = int(window.fields["source_valid_SB"].sum(0).max())
    assert [len(flow.pairs_K) for flow in read] == [longest - 1] * 2
