"""The training loop against loops written out from the design's words; gradients that must, or must not, be there."""

import itertools

import numpy as np
import pytest
import torch

from rnn_core import bptt
from tests.rnn_core.small import CLIP, LANES, columns_of, network_of, state_of, tokens, windows_of


def run(network, windows, updates, k2, accumulate=1):
    state = state_of(network)
    steps = bptt.fit(state, windows, rate=lambda update: 0.5, clip=CLIP, k2=k2, accumulate=accumulate)
    return state, list(itertools.islice(steps, updates))


def by_hand(network, windows, updates, k1, k2, accumulate=1):
    """The design's paragraph, a step at a time: at window n the loss is that of the newest k1 steps; gradient flows
    through the last k2, recomputed from the stored carry at their beginning, with the draws those steps had first.
    An update is made by the mean over the steps of its windows."""
    carries = {0: network.initial_carry(LANES)}
    losses = []
    for update in range(updates):
        total, count = torch.zeros((), dtype=torch.float64), 0
        for n in range(update * accumulate, (update + 1) * accumulate):
            end = (n + 1) * k1
            begin = max(0, end - k2)
            carry = carries[begin]
            recomputed = {begin: carry}
            for t in range(begin, end):
                step = windows(t // k1).steps(t % k1, t % k1 + 1)
                hidden, carry = network(step, carry)
                recomputed[t + 1] = bptt.map_carry(torch.Tensor.detach, carry)
                if t >= end - k1:
                    loss, steps = network.loss(step, hidden)
                    total, count = total + loss, count + steps
            carries = recomputed
        parameters = list(network.parameters())
        gradients = torch.autograd.grad(total / count, parameters)
        norm = torch.sqrt(sum(g.square().sum() for g in gradients))
        with torch.no_grad():
            for parameter, gradient in zip(parameters, gradients, strict=True):
                parameter -= 0.5 * gradient * min(1.0, CLIP / float(norm))
        losses.append(float(total.detach()) / count)
    return losses


@pytest.mark.parametrize(("k1", "k2"), [(4, 4), (4, 8), (4, 6), (3, 10), (1, 5), (5, 7)])
@pytest.mark.parametrize("cell", ["elman", "gru", "lstm", "slstm"])
def test_k1_and_k2_are_as_the_design_says(k1, k2, cell):
    """Over an epoch's end, with sequences that begin inside windows, dropout on; float64."""
    pieces = [tokens(n, n) for n in (30, 17, 26)]
    windows = windows_of(columns_of(None, pieces), k1)
    updates = windows.per_epoch + 4
    ours, theirs = network_of(cell), network_of(cell)
    _, steps = run(ours, windows, updates, k2)
    losses = by_hand(theirs, windows, updates, k1, k2)
    np.testing.assert_allclose([step.loss for step in steps], losses, rtol=1e-10)
    for mine, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(("k1", "k2", "accumulate"), [(4, 4, 4), (4, 6, 5), (3, 10, 3), (5, 5, 40)])
def test_windows_accumulated_give_the_mean_over_all_their_steps(k1, k2, accumulate):
    """Over an epoch's end inside an update, padding at it, sequences that begin inside windows, dropout on; float64."""
    windows = windows_of(columns_of(None, [tokens(n, n) for n in (30, 17, 26)]), k1)
    updates = windows.per_epoch // accumulate + 2
    assert windows.per_epoch % accumulate
    ours, theirs = network_of(), network_of()
    _, steps = run(ours, windows, updates, k2, accumulate)
    losses = by_hand(theirs, windows, updates, k1, k2, accumulate)
    np.testing.assert_allclose([step.loss for step in steps], losses, rtol=1e-10)
    valid = sum(int(windows(n).valid_TB.sum()) for n in range(accumulate))
    assert steps[0].count == valid
    for mine, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(("k1", "k2"), [(4, 4), (4, 6), (3, 10)])
@pytest.mark.parametrize(
    "options",
    [{"weight_dropout": 0.4}, {"zoneout": 0.3}, {"zoneout": 0.2, "weight_dropout": 0.3, "connection": "highway"}],
    ids=str,
)
def test_recomputed_steps_have_the_weights_and_zones_they_had_first(k1, k2, options):
    windows = windows_of(columns_of(None, [tokens(n, n) for n in (30, 17, 26)]), k1)
    updates = windows.per_epoch + 4
    ours, theirs = network_of(**options), network_of(**options)
    _, steps = run(ours, windows, updates, k2)
    np.testing.assert_allclose([step.loss for step in steps], by_hand(theirs, windows, updates, k1, k2), rtol=1e-10)
    for mine, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-10, atol=1e-10)


def test_workers_meet_once_an_update():
    windows, meetings = windows_of(columns_of(tokens(200)), 10), []
    state = state_of(network_of())
    steps = bptt.fit(state, windows, rate=lambda update: 0.5, clip=CLIP, accumulate=3, reduce=meetings.append)
    done = list(itertools.islice(steps, 2))
    assert (len(meetings), [step.update for step in done], state.update) == (2, [1, 2], 2)


@pytest.mark.parametrize("cell", ["elman", "gru", "lstm", "slstm"])
def test_a_window_that_covers_the_sequences_gives_the_full_gradient(cell):
    """Many sequences in lanes, one window: the gradient is that of each sequence read alone from its beginning."""
    pieces = [tokens(n, n) for n in (9, 4, 12, 7, 3, 8)]
    columns = columns_of(None, pieces)
    windows = windows_of(columns, 40, lanes=1)
    network = network_of(cell, dropout=0.0)
    window = windows(0)
    loss, count = network.loss(window, network(window, network.initial_carry(1))[0])
    ours = torch.autograd.grad(loss, list(network.parameters()))
    alone = torch.zeros((), dtype=torch.float64)
    for piece in pieces:
        single = windows_of(columns_of(piece), len(piece) - 1, lanes=1)(0)
        alone = alone + network.loss(single, network(single, network.initial_carry(1))[0])[0]
    theirs = torch.autograd.grad(alone, list(network.parameters()))
    assert count == sum(len(piece) - 1 for piece in pieces)
    for mine, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("cell", ["elman", "gru", "lstm", "slstm"])
def test_nothing_crosses_a_reset(cell):
    """Another sequence in the lane, before and behind: what is computed does not change by a bit."""
    network = network_of(cell, dropout=0.0).float()

    def middle(before, behind):
        columns = columns_of(None, [before, tokens(8, 5), behind])
        window = windows_of(columns, 30, lanes=1, seed=None)(0)
        hidden, _ = network(window, network.initial_carry(1))
        return hidden[9:16]

    assert torch.equal(middle(tokens(10, 1), tokens(9, 2)), middle(tokens(10, 3), tokens(9, 4)))


def test_the_carry_goes_on_from_window_to_window_in_training_and_in_reading():
    columns = columns_of(tokens(61))
    network = network_of(dropout=0.0)
    at_once = torch.cat([h for _, h in bptt.read(network, windows_of(columns, 60, 1, None), network.initial_carry(1))])
    in_pieces = torch.cat([h for _, h in bptt.read(network, windows_of(columns, 7, 1, None), network.initial_carry(1))])
    torch.testing.assert_close(in_pieces[:60], at_once, rtol=1e-12, atol=1e-12)
    cut = windows_of(columns, 7, 1, None, carries=False)
    cut_pieces = torch.cat([h for _, h in bptt.read(network, cut, network.initial_carry(1))])
    assert not torch.allclose(cut_pieces[:60], at_once)
    torch.testing.assert_close(cut_pieces[:7], at_once[:7], rtol=1e-12, atol=1e-12)


def test_reading_changes_nothing_and_draws_nothing():
    columns, network = columns_of(tokens(50)), network_of(dropout=0.5)
    network.train()
    before = [p.clone() for p in network.parameters()]
    windows = windows_of(columns, 10)
    twice = [torch.cat([h for _, h in bptt.read(network, windows, network.initial_carry(LANES))]) for _ in range(2)]
    assert torch.equal(*twice)
    assert network.training
    assert all(torch.equal(a, b) for a, b in zip(before, network.parameters(), strict=True))


def test_a_loss_that_is_no_number_names_update_and_lanes():
    columns = columns_of(tokens(200))
    network = network_of(dropout=0.0)
    windows = windows_of(columns, 10)
    state = state_of(network)
    poisoned = network.initial_carry(LANES)
    poisoned[0][0][1] = float("nan")

    def window(update):
        got = windows(update)
        got.starts_TB[0] = False
        return got

    state.carry, state.update = poisoned, 2
    with pytest.raises(bptt.NonFiniteLoss, match="update 2, epoch 0, lanes 1: the loss is not finite"):
        next(bptt.fit(state, window, rate=lambda update: 0.5, clip=CLIP))
    assert state.update == 2
    assert all(torch.isfinite(p).all() for p in network.parameters())


def test_the_first_of_the_accumulated_windows_that_broke_is_named():
    """The carry spoils what follows: lane 2 breaks in the third window, and from there on."""
    columns, network = columns_of(tokens(200)), network_of(dropout=0.0)
    network.model.embedding = Poisoned(network.model.embedding)
    windows = windows_of(columns, 10)

    def window(number):
        got = windows(number)
        if number == 2:
            got.fields["tokens_TB"][4, 2] = -1
        return got

    steps = bptt.fit(state_of(network), window, rate=lambda update: 0.5, clip=CLIP, accumulate=4)
    with pytest.raises(bptt.NonFiniteLoss, match="update 0, epoch 0, lanes 2: the loss is not finite"):
        next(steps)


class Poisoned(torch.nn.Module):
    """An embedding of which token -1 is no number."""

    def __init__(self, embedding):
        super().__init__()
        self.embedding, self.weight = embedding, embedding.weight

    def forward(self, tokens_TB):
        return torch.where(tokens_TB[:, :, None] < 0, torch.nan, self.embedding(tokens_TB.clamp(0)))


def test_a_loss_that_another_worker_lost_is_said_to_be_so():
    def reduce(tensors):
        tensors[-1][0] = torch.nan

    steps = bptt.fit(
        state_of(network_of()), windows_of(columns_of(tokens(99)), 10), rate=lambda update: 0.5, clip=1, reduce=reduce
    )
    with pytest.raises(bptt.NonFiniteLoss, match="update 0, epoch 0, another worker: the loss is not finite"):
        next(steps)


def test_gradients_are_clipped_and_the_rate_follows_the_schedule():
    windows = windows_of(columns_of(tokens(200)), 10)
    network = network_of(dropout=0.0)
    before = [p.clone() for p in network.parameters()]
    step = next(bptt.fit(state_of(network), windows, rate=lambda update: 0.25, clip=1e-3))
    moved = torch.sqrt(sum((a - b).square().sum() for a, b in zip(before, network.parameters(), strict=True)))
    assert step.gradient_norm > 1e-3
    assert step.rate == 0.25
    assert float(moved.detach()) == pytest.approx(0.25 * 1e-3, rel=1e-6)


def test_bfloat16_trains_near_float32_and_keeps_its_weights_in_float32():
    losses = []
    for bfloat16 in (False, True):
        network = network_of(dropout=0.0).float()
        windows = windows_of(columns_of(tokens(200)), 5)
        steps = bptt.fit(state_of(network), windows, rate=lambda n: 0.5, clip=CLIP, bfloat16=bfloat16)
        losses.append([next(steps).loss for _ in range(20)])
        assert {p.dtype for p in network.parameters()} == {torch.float32}
    assert losses[0] != losses[1]
    assert losses[1] == pytest.approx(losses[0], rel=0.01)
