"""Recorded functions: what they compute and when they are recorded, with a stand-in for the GPU; and on a GPU."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import DataDependentOutputException, DynamicOutputShapeException, FakeTensorMode
from torch.nn import functional

from rnn_core import bptt, cells, graph
from rnn_core.dropout import Draws
from rnn_core.graph import Captured, Tree
from rnn_core.kernels.gpu import PATHS
from rnn_core.kernels.looking import without_looking
from rnn_core.lanes import Window
from rnn_core.layers import Layer, step_by_step
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


def step_of(state: bptt.TrainState) -> Callable[..., Tree]:
    """A training step that waits for nothing: window, carry and rate -> loss, and the carry."""

    def step(window: Window, carry: Tree, rate: Tensor | float) -> tuple[Tensor, Tree]:
        state.optimizer.zero_grad(set_to_none=True)
        hidden_TBH, carry = state.network(window, carry)
        logits_NV, targets_N = state.network.head.predict(hidden_TBH).flatten(0, 1), window.fields["targets_TB"]
        loss_N = functional.cross_entropy(logits_NV, targets_N.flatten(), reduction="none")
        valid_N = window.valid_TB.flatten()
        loss = loss_N.masked_fill(~valid_N, 0).sum() / valid_N.sum()
        loss.backward()
        for group in state.optimizer.param_groups:
            group["lr"] = rate
        state.optimizer.step()
        return loss.detach(), bptt.map_carry(Tensor.detach, carry)

    return step


def losses(state: bptt.TrainState, step: Callable[..., Tree], windows: Callable[[int], Window], updates: int) -> Any:
    found, carry = [], state.carry
    for update in range(updates):
        loss, carry = step(windows(update), carry, 0.5 if update < updates // 2 else 0.25)
        found.append(float(loss))
    return found


def test_a_captured_training_is_the_same_to_the_bit() -> None:
    """20 updates with dropout, sequences that begin inside windows, padding at the epoch's end, a falling rate."""
    windows = windows_of(columns_of(None, [tokens(n, n) for n in (30, 57, 46)]), 5)
    assert windows.per_epoch < 20
    rehearsal, eager, captured = Rehearsal(), state_of(network_of()), state_of(network_of())
    expected = losses(eager, step_of(eager), windows, 20)
    assert losses(captured, Captured(step_of(captured), rehearsal), windows, 20) == expected
    assert rehearsal.replays == 20 - graph.WARM_UP
    for mine, right in zip(captured.network.parameters(), eager.network.parameters(), strict=True):
        assert torch.equal(mine, right)


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


class Small(nn.Module):
    """A language model of one layer by the Triton kernel, with dropout."""

    def __init__(self, cell: str):
        super().__init__()
        torch.manual_seed(1)
        self.embedding, self.cell = nn.Embedding(VOCABULARY, 8), cells.make(cell, 8, 24)
        self.head = nn.Module()
        self.head.predict = nn.Linear(24, VOCABULARY)

    def forward(self, window: Window, carry: Tree) -> tuple[Tensor, Tree]:
        x_TBE = self.embedding(window.fields["tokens_TB"])
        kernel = next(path.kernel for path in PATHS if path.fits(self.cell, x_TBE, window.starts_TB, False))
        h_TBH, carry = kernel(self.cell, x_TBE, window.starts_TB, carry, False)
        assert window.draws is not None
        return h_TBH * window.draws.mask(0, 24, 0.3, h_TBH), carry


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
@pytest.mark.parametrize("optimizer", [torch.optim.SGD, torch.optim.AdamW])
@pytest.mark.parametrize("cell", ["gru", "lstm"])
def test_on_a_gpu_too(cell: str, optimizer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """20 updates, a few with fewer steps among them, against the same that are never recorded."""
    columns = columns_of(None, [tokens(n, n) for n in (30, 57, 46)])
    long, short = windows_of(columns, 5), windows_of(columns, 3)
    device = torch.device("cuda")

    def windows(update: int) -> Window:
        return (short if update % 7 == 3 else long)(update)

    def train(warm_up: int) -> tuple[list[float], list[Tensor], Captured]:
        monkeypatch.setattr(graph, "WARM_UP", warm_up)
        network = Small(cell).to(device)
        options = {"capturable": True} if optimizer is torch.optim.AdamW else {}
        state = bptt.TrainState(
            network=network,
            optimizer=optimizer(network.parameters(), lr=0.1, fused=True, **options),
            carry=network.cell.initial_state(LANES, network.embedding.weight),
        )
        captured = Captured(step_of(state), graph.CudaGraphs(device))
        return losses(state, captured, windows, 20), list(network.parameters()), captured

    usual = graph.WARM_UP
    expected, right, _ = train(20)
    found, mine, captured = train(usual)
    assert len(captured._recordings) == 1
    assert found == expected
    assert all(torch.equal(a, b) for a, b in zip(mine, right, strict=True))
