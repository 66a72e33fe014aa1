"""Recorded functions: what they compute and when they are recorded, with a stand-in for the GPU; and on a GPU."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import DataDependentOutputException, DynamicOutputShapeException, FakeTensorMode

from rnn_core import bptt, cells, graph, networks, optim
from rnn_core.dropout import Draws
from rnn_core.graph import Captured, Tree
from rnn_core.heads.softmax import SoftmaxHead
from rnn_core.lanes import Window
from rnn_core.layers import Layer, step_by_step
from rnn_core.looking import without_looking
from rnn_core.models import language_model
from tests.rnn_core.small import LANES, VOCABULARY, columns_of, network_of, state_of, tokens, windows_of


class Rehearsal:
    """As a GPU's recorder, but a replay runs the function again on the same tensors, and copies to the same results.

    To know where the results will be, a recording runs it too: the first replay has nothing left to do.
    """

    device = torch.device("cpu")

    def __init__(self) -> None:
        self.runs, self.recordings, self.replays = 0, 0, 0

    def run(self, function: Callable[..., Tree], arguments: Tree) -> Tree:
        self.runs += 1
        return function(*arguments)

    def record(self, function: Callable[..., Tree], arguments: Tree) -> tuple[Callable[[], None], Tree]:
        self.recordings += 1
        results = function(*arguments)
        first = True

        def replay() -> None:
            nonlocal first
            self.replays += 1
            if not first:
                for old, new in zip(graph._leaves(results), graph._leaves(function(*arguments)), strict=True):
                    old.copy_(new)
            first = False

        return replay, results


def test_a_shape_is_recorded_when_it_has_come_often_enough() -> None:
    rehearsal = Rehearsal()
    twice = Captured(lambda x: x * 2, rehearsal)
    for number in range(6):
        assert torch.equal(twice(torch.full((2,), float(number))), torch.full((2,), 2.0 * number))
    assert (rehearsal.runs, rehearsal.recordings, rehearsal.replays) == (graph.WARM_UP, 1, 6 - graph.WARM_UP)


def test_each_set_of_shapes_types_and_constants_has_its_own_recording() -> None:
    rehearsal = Rehearsal()
    captured = Captured(lambda x, how: x + 1 if how == "up" else x - 1, rehearsal)
    kinds = [(torch.ones(2), "up"), (torch.ones(3), "up"), (torch.ones(2).double(), "up"), (torch.ones(2), "down")]
    for _ in range(graph.WARM_UP + 2):
        for x, how in kinds:
            assert torch.equal(captured(x, how), x + 1 if how == "up" else x - 1)
    assert rehearsal.recordings == len(kinds)
    assert rehearsal.replays == 2 * len(kinds)


def test_no_more_than_so_many_are_kept() -> None:
    rehearsal = Rehearsal()
    captured = Captured(lambda x: x + 1, rehearsal)
    for _ in range(graph.WARM_UP + 2):
        for size in range(graph.MOST + 3):
            assert torch.equal(captured(torch.zeros(size)), torch.ones(size))
    assert rehearsal.recordings == graph.MOST


def test_results_may_be_the_next_arguments_and_arguments_are_left_alone() -> None:
    captured = Captured(lambda x, carry: (x + carry[0], (carry[0] + 1, *carry[1:])), Rehearsal())
    carry: Any = (torch.zeros(2), torch.full((3,), 7.0))
    first = carry[0]
    for number in range(8):
        x = torch.full((2,), 10.0)
        result, carry = captured(x, carry)
        assert torch.equal(result, torch.full((2,), 10.0 + number))
        assert torch.equal(x, torch.full((2,), 10.0))
    assert torch.equal(first, torch.zeros(2))
    assert torch.equal(carry[1], torch.full((3,), 7.0))


def test_numbers_travel_and_a_window_keeps_its_form() -> None:
    seen = []

    def count(window: Window, rate: Tensor) -> Tensor:
        seen.append(window)
        assert window.draws is not None
        return window.fields["tokens_TB"].sum() + window.draws.update + rate

    captured = Captured(count, Rehearsal())
    windows = windows_of(columns_of(tokens(300)), 10)
    for update in range(6):
        total = windows(update).fields["tokens_TB"].sum() + update + 0.5
        assert captured(windows(update), 0.5) == total
    assert isinstance(seen[-1], Window)
    assert isinstance(seen[-1].draws, Draws)
    assert seen[-1].starts_TB.dtype == torch.bool


def test_masks_are_those_of_the_update_that_is_replayed() -> None:
    captured = Captured(lambda draws: draws.mask(1, 5, 0.4, torch.empty(0)), Rehearsal())
    for update in range(7):
        draws = Draws(seed=2**40 + 3, update=update, lanes_B=torch.arange(4))
        assert torch.equal(captured(draws), draws.mask(1, 5, 0.4, torch.empty(0)))


def losses(state: bptt.TrainState, windows: Callable[[int], Window], updates: int, **how: Any) -> list[float]:
    def rate(update: int) -> float:
        return 0.5 if update < updates // 2 else 0.25

    steps = bptt.fit(state, windows, rate=rate, clip=0.5, **how)
    return [next(steps).loss for _ in range(updates)]


def test_a_captured_training_is_the_same_to_the_bit() -> None:
    """20 updates with dropout, sequences that begin inside windows, padding at the epoch's end, a falling rate."""
    windows = windows_of(columns_of(None, [tokens(n, n) for n in (30, 57, 46)]), 5)
    assert windows.per_epoch < 20
    rehearsal, eager, captured = Rehearsal(), state_of(network_of()), state_of(network_of())
    expected = losses(eager, windows, 20)
    found = losses(captured, windows, 20, capture=lambda function: Captured(function, rehearsal))
    assert found == pytest.approx(expected, abs=1e-12)
    assert rehearsal.replays == 20 - graph.WARM_UP
    for mine, right in zip(captured.network.parameters(), eager.network.parameters(), strict=True):
        torch.testing.assert_close(mine, right, atol=1e-12, rtol=0)


def test_a_loss_that_is_no_number_is_told_with_its_lanes() -> None:
    windows = windows_of(columns_of(tokens(300)), 5)
    state = state_of(network_of())

    def poisoned(update: int) -> Window:
        if update == 8:
            state.carry[0][0][1] = torch.nan
        return windows(update)

    with pytest.raises(bptt.NonFiniteLoss, match=r"update 8, epoch \d, lanes 1"):
        losses(state, poisoned, 12, capture=lambda function: Captured(function, Rehearsal()))


@pytest.mark.parametrize("padded", [False, True])
def test_a_head_that_may_not_look_has_the_same_loss_and_gradients(padded: bool) -> None:
    torch.manual_seed(3)
    head, hidden_TBH = SoftmaxHead(5, 7).double(), torch.randn(4, 3, 5, dtype=torch.float64, requires_grad=True)
    targets_TB, valid_TB = torch.randint(7, (4, 3)), torch.rand(4, 3) < (0.6 if padded else 1.1)

    def results() -> list[Tensor]:
        loss, count = head.loss(hidden_TBH, targets_TB, valid_TB)
        return [loss, torch.as_tensor(count), *torch.autograd.grad(loss, [hidden_TBH, head.weight, head.bias])]

    expected = results()
    with without_looking():
        found = results()
        assert torch.equal(found[1], valid_TB.sum())
        with torch.no_grad():
            hidden_TBH[~valid_TB] = torch.nan
        unread = results()
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(unread, expected)


@pytest.mark.parametrize("cell", ["lstm", "gru", "elman", "lru"])
def test_a_whole_training_step_asks_no_tensor_what_to_do(cell: str) -> None:
    """With tensors that hold no numbers: whoever wants one fails."""
    windows = windows_of(columns_of(None, [tokens(n, n) for n in (30, 57, 46)]), 5)
    with FakeTensorMode(allow_non_fake_inputs=True):
        sizes = {"embedding_size": 5, "hidden_size": 6, "num_layers": 2, "input_dropout": 0.1, "dropout": 0.1}
        config = language_model.Config(cell=cell, tie=False, **sizes)
        network = networks.network("language_model", config, language_model.Sizes(vocabulary=VOCABULARY))
        step = bptt._recordable(network, list(network.parameters()), False)
        window = windows(0).map(lambda tensor: torch.empty_like(tensor))
        with without_looking():
            totals, *_ = step(window, network.initial_carry(LANES))
        assert totals.shape == (3,)


@pytest.mark.parametrize("run", ["kernel", "step by step"])
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("name", cells.CELLS)
def test_no_cell_asks_a_tensor_what_to_do(name: str, reverse: bool, run: str) -> None:
    """With tensors that hold no numbers: whoever wants one fails."""
    with FakeTensorMode():
        cell = cells.make(name, 4, 5)
        x_TBD, resets_TB = torch.empty(6, 3, 4, requires_grad=True), torch.zeros(6, 3, dtype=torch.bool)
        state = cell.initial_state(3, x_TBD)
        kernel = Layer(cell) if run == "kernel" else partial(step_by_step, cell)
        with without_looking():
            h_TBH, _ = kernel(x_TBD, resets_TB, state, reverse)
            h_TBH.sum().backward()
        assert x_TBD.grad is not None
        if state:
            with pytest.raises((DataDependentOutputException, DynamicOutputShapeException)):
                kernel(x_TBD, resets_TB, state, reverse)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
@pytest.mark.parametrize("cell", ["gru", "lstm"])
def test_on_a_gpu_too(cell: str, optimizer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """20 updates, a few with fewer steps among them, against the same that are never recorded."""
    columns = columns_of(None, [tokens(n, n) for n in (30, 57, 46)])
    long, short = windows_of(columns, 5), windows_of(columns, 3)
    device = torch.device("cuda")

    def windows(update: int) -> Window:
        return (short if update % 7 == 3 else long)(update).to(device)

    def train(warm_up: int) -> tuple[list[float], list[Tensor], list[Captured]]:
        monkeypatch.setattr(graph, "WARM_UP", warm_up)
        network = network_of(cell).float().to(device)
        state = bptt.TrainState(
            network=network,
            optimizer=optim.optimizer(optim.OptimizerConfig(name=optimizer, rate=0.1), network.parameters()),
            carry=network.initial_carry(LANES),
        )
        made: list[Captured] = []

        def capture(function: Callable[..., Tree]) -> Captured:
            made.append(Captured(function, graph.CudaGraphs(device)))
            return made[-1]

        return losses(state, windows, 20, capture=capture), list(network.parameters()), made

    usual = graph.WARM_UP
    expected, right, _ = train(20)
    found, mine, made = train(usual)
    assert len(made[0]._recordings) == 1
    assert found == expected
    assert all(torch.equal(a, b) for a, b in zip(mine, right, strict=True))
