"""The loss without the far past, and the truncated gradient, against plain loops over single steps."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from rnn_core.inspect import Truncation, enough, loss_when_cut, parts, truncation
from tests.rnn_core import test_classification as classes
from tests.rnn_core import test_told as told
from tests.rnn_core import test_transduction as pairs
from tests.rnn_core.small import LANES, columns_of, network_of, tokens, windows_of
from tests.rnn_core.small_tagger import sentences, tagger

PIECES = [tokens(n, n) for n in (30, 17, 26)]


@pytest.mark.parametrize("every", [1, 2, 3, 5, 8, None])
def test_cut_losses_are_those_of_pieces_read_alone(every):
    """Pieces end neither with the windows nor with the sequences."""
    network, window_steps = network_of().eval(), 4
    windows = windows_of(columns_of(None, PIECES), window_steps)
    whole = [windows(n) for n in range(windows.per_epoch)]
    total, steps = 0.0, 0
    with torch.no_grad():
        for lane in range(LANES):
            carry, place = network.initial_carry(LANES), 0
            for t in range(window_steps * windows.per_epoch):
                step = whole[t // window_steps].steps(t % window_steps, t % window_steps + 1)
                if step.starts_TB[0, lane] or (every is not None and place == every):
                    carry, place = network.initial_carry(LANES), 0
                hidden, carry = network(replace(step, starts_TB=torch.zeros_like(step.starts_TB)), carry)
                loss, count = network.loss(step.lane(lane), hidden[:, lane : lane + 1])
                total, steps, place = total + float(loss), steps + count, place + 1
    assert loss_when_cut(network, windows, windows.per_epoch, every) == pytest.approx(total / steps, rel=1e-10)


def test_a_bidirectional_network_is_cut_on_both_sides():
    network, window = tagger("gru").eval(), sentences(6, 6, 2, 4)
    with torch.no_grad():
        losses = []
        for lane in range(2):
            for begin in range(0, len(window.starts_TB), 2):
                part = window.steps(begin, begin + 2).lane(lane)
                if part.valid_TB.any():
                    part.starts_TB[0] = True
                    losses.append(network.loss(part, network(part, ())[0]))
    assert len(losses) == 9
    expected = float(sum(loss for loss, _ in losses)) / 18
    assert loss_when_cut(network, lambda number: window, 1, 2) == pytest.approx(expected, rel=1e-10)


def by_hand(network, windows, newest, k1, k2):
    """The gradient of the newest window's loss, its state cut k2 steps before the window's end; a step at a time."""
    end, carry, loss = (newest + 1) * k1, network.initial_carry(LANES), torch.zeros((), dtype=torch.float64)
    for t in range(end):
        step = windows(t // k1).steps(t % k1, t % k1 + 1)
        hidden, carry = network(step, carry)
        if t < end - k2:
            carry = tuple(tuple(s.detach() for s in layer) for layer in carry)
        if t >= end - k1:
            loss = loss + network.loss(step, hidden)[0]
    return torch.cat([g.flatten() for g in torch.autograd.grad(loss, list(network.model.parameters()))])


@pytest.mark.parametrize("cell", ["elman", "gru", "lstm"])
def test_truncation_is_measured_between_the_gradients_themselves(cell):
    k1, k2s, newest = 4, [4, 6, 8, 11, 20, 24], [4, 5]
    columns, network = columns_of(tokens(200)), network_of(cell).eval()
    windows = windows_of(columns, k1)
    quiet = type(windows)(filling=windows.filling, assemble=windows.assemble, lanes=windows.lanes)
    costs = truncation(network, quiet, newest, k2s)
    assert [cost.k2 for cost in costs] == k2s
    whole = {n: by_hand(network, quiet, n, k1, (n + 1) * k1) for n in newest}
    for cost in costs:
        angles, lengths = [], []
        for n, full in whole.items():
            cut = by_hand(network, quiet, n, k1, cost.k2)
            cosine = float(cut @ full / (cut.norm() * full.norm()))
            angles.append(math.degrees(math.acos(min(1.0, cosine))))
            lengths.append(float(cut.norm() / full.norm()) - 1)
        # A cosine near 1 has no more digits than this.
        assert cost.angle == pytest.approx(np.mean(angles), abs=1e-4)
        assert cost.length == pytest.approx(np.mean(lengths), rel=1e-6, abs=1e-9)
    assert costs[0].angle > 10 * costs[-2].angle
    assert costs[-1].angle < 1e-6
    assert all(p.grad is None for p in network.parameters())


def test_enough_is_the_first_k2_after_which_all_stay_within_the_bound():
    costs = [Truncation(k2, angle, 0.0) for k2, angle in ((5, 9.0), (10, 20.0), (20, 8.0), (40, 1.0))]
    assert enough(costs, 10.0) == 20
    assert enough(costs, 25.0) == 5
    assert enough(costs, 1.0) == 40
    assert enough(costs, 0.5) is None


def test_where_an_outcome_is_read_out_the_last_n_steps_are_all_that_is_remembered():
    made, rows = classes.network("tokens", bidirectional=False), classes.rows_of("tokens")
    whole = classes.windows_of(rows)
    for n in (1, 3, 7):
        cut = [{**row, "tokens": row["tokens"][-n:], "steps": min(n, row["steps"])} for row in rows]
        windows = classes.windows_of(cut)
        expected = loss_when_cut(made, windows, windows.per_epoch, None)
        assert loss_when_cut(made, whole, whole.per_epoch, n) == pytest.approx(expected, rel=1e-10)


def test_a_decoder_cut_at_each_step_begins_each_anew():
    network = pairs.network_of(cell="lstm")
    windows = told.quiet(pairs.windows_of(pairs.columns_of(9)))
    total, steps = 0.0, 0
    for number in range(windows.per_epoch):
        window = windows(number)
        for t in range(len(window.starts_TB)):
            one = window.steps(t, t + 1)
            loss, count = network.eval().loss(one, network(one, ())[0])
            total, steps = total + float(loss.detach()), steps + count
    assert loss_when_cut(network, windows, windows.per_epoch, 1) == pytest.approx(total / steps, rel=1e-10)


@pytest.mark.parametrize("name", [*sorted(set(told.made()) - {"crf"}), "encoder"])
def test_a_cut_behind_the_end_of_all_sequences_changes_nothing_and_one_before_does(name):
    network, windows, _ = told.made()["pairs" if name == "encoder" else name]
    part, longest = parts(network)[-1], 20
    uncut = loss_when_cut(network, windows, windows.per_epoch, None)
    assert loss_when_cut(network, windows, windows.per_epoch, longest, part) == pytest.approx(uncut, rel=1e-12)
    assert loss_when_cut(network, windows, windows.per_epoch, 1, part) != pytest.approx(uncut, rel=1e-6)
