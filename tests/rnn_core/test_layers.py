"""Layers and stacks: against `nn.LSTM`, resets in both directions, what must not leak, dropout and the carry."""

import itertools
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn

from rnn_core import cells, layers
from rnn_core.cells import CELLS, State
from rnn_core.dropout import Draws
from rnn_core.errors import ConfigError
from rnn_core.kernels import KERNELS
from rnn_core.layers import Layer, Stack, StackConfig
from tests.rnn_core.states import some_state

D, H = 5, 4
EXACT = {"atol": 1e-12, "rtol": 0}
WITH_STATE = [name for name in CELLS if name != "memoryless"]

# Lanes of sequences: the first of a lane may go on from the window before (it has no mark), the last one into the next.
LENGTHS = [[3, 1, 4], [8], [2, 2, 4], [1, 7]]
MARKED = [False, True, True, False]
T, B = 8, 4


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(7)


def sequences() -> Iterator[tuple[int, slice, bool]]:
    """(lane, steps, whether its first step is marked) of each sequence above."""
    for lane, (lengths, marked) in enumerate(zip(LENGTHS, MARKED, strict=True)):
        begin = 0
        for length in lengths:
            yield lane, slice(begin, begin + length), marked or begin > 0
            begin += length


def starts() -> Tensor:
    starts_TB = torch.zeros(T, B, dtype=torch.bool)
    for lane, steps, marked in sequences():
        starts_TB[steps.start, lane] = marked
    return starts_TB


def layer_and_inputs(name: str) -> tuple[Layer, Tensor, State]:
    """A layer, x_TBD and a state that is not the initial one."""
    layer = Layer(cells.make(name, D, H)).double()
    x_TBD = torch.randn(T, B, D, dtype=torch.float64)
    return layer, x_TBD, some_state(layer.cell, B, x_TBD)


def stack(cell: str = "lstm", **changed) -> Stack:
    around = {name: changed.pop(name) for name in ("bidirectional", "first_mask") if name in changed}
    settings = {"cell": cell, "hidden_size": H, "num_layers": 2, "dropout": 0.0, "input_dropout": 0.0}
    return Stack(StackConfig(**settings | changed), D, **around).double()


def no_starts(x_TBD: Tensor) -> Tensor:
    return torch.zeros(x_TBD.shape[:2], dtype=torch.bool)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
@pytest.mark.parametrize("bidirectional", [False, True])
def test_a_stack_is_the_lstm_of_torch(dtype: torch.dtype, bidirectional: bool) -> None:
    reference = nn.LSTM(D, H, num_layers=3, bidirectional=bidirectional).to(dtype)
    ours = stack(num_layers=3, bidirectional=bidirectional).to(dtype)
    pairs = []
    for suffix, direction in (("", ours.forwards), ("_reverse", ours.backwards)):
        for number, layer in enumerate(direction):
            w_x, w_h, b_x, b_h = (
                getattr(reference, f"{kind}_l{number}{suffix}")
                for kind in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
            )
            with torch.no_grad():
                layer.cell.w_x.copy_(w_x)
                layer.cell.w_h.copy_(w_h)
                layer.cell.b.copy_(b_x + b_h)
            pairs += [(layer.cell.w_x, w_x), (layer.cell.w_h, w_h), (layer.cell.b, b_x)]
    x_TBD = torch.randn(T, B, D, dtype=dtype, requires_grad=True)
    theirs_TBH, _ = reference(x_TBD)
    ours_TBH, _ = ours(x_TBD, no_starts(x_TBD), ours.initial_carry(B, x_TBD), None)
    assert ours_TBH.shape[2] == ours.output_size
    tolerance = 1e-10 if dtype == torch.float64 else 1e-5
    close = {"atol": tolerance, "rtol": tolerance}
    torch.testing.assert_close(ours_TBH, theirs_TBH, **close)
    weight_TBH = torch.randn_like(theirs_TBH)
    expected = torch.autograd.grad((theirs_TBH * weight_TBH).sum(), [x_TBD, *(b for _, b in pairs)])
    found = torch.autograd.grad((ours_TBH * weight_TBH).sum(), [x_TBD, *(a for a, _ in pairs)])
    for mine, other in zip(found, expected, strict=True):
        torch.testing.assert_close(mine, other, **close)


@pytest.mark.parametrize("name", CELLS)
def test_a_window_with_starts_equals_each_sequence_alone(name: str) -> None:
    layer, x_TBD, state = layer_and_inputs(name)
    h_TBH, after = layer(x_TBD, starts(), state)
    for lane, steps, marked in sequences():
        alone_TBD = x_TBD[steps, lane : lane + 1]
        own = tuple(s[lane : lane + 1] for s in state)
        before = layer.cell.initial_state(1, x_TBD) if marked else own
        alone_TBH, last = layer(alone_TBD, no_starts(alone_TBD), before)
        torch.testing.assert_close(h_TBH[steps, lane : lane + 1], alone_TBH, **EXACT)
        if steps.stop == T:
            for mine, other in zip(after, last, strict=True):
                torch.testing.assert_close(mine[lane : lane + 1], other, **EXACT)


@pytest.mark.parametrize("name", CELLS)
def test_in_reverse_a_window_equals_each_sequence_turned_round(name: str) -> None:
    layer, x_TBD, state = layer_and_inputs(name)
    h_TBH, _ = layer(x_TBD, starts(), state, reverse=True)
    for lane, steps, _ in sequences():
        alone_TBD = x_TBD[steps, lane : lane + 1].flip(0)
        alone_TBH, _ = layer(alone_TBD, no_starts(alone_TBD), layer.cell.initial_state(1, x_TBD))
        torch.testing.assert_close(h_TBH[steps, lane : lane + 1], alone_TBH.flip(0), **EXACT)


@pytest.mark.parametrize("name", CELLS)
def test_two_windows_with_the_carry_between_equal_one(name: str) -> None:
    x_TBD, starts_TB = torch.randn(T, B, D, dtype=torch.float64), starts()
    network = stack(name)
    carry = network.initial_carry(B, x_TBD)
    whole_TBH, last = network(x_TBD, starts_TB, carry, None)
    first_TBH, carry = network(x_TBD[:3], starts_TB[:3], carry, None)
    second_TBH, carry = network(x_TBD[3:], starts_TB[3:], carry, None)
    torch.testing.assert_close(torch.cat((first_TBH, second_TBH)), whole_TBH, **EXACT)
    for mine, other in zip(carry, last, strict=True):
        for a, b in zip(mine, other, strict=True):
            torch.testing.assert_close(a, b, **EXACT)


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("name", CELLS)
def test_nothing_crosses_a_start(name: str, bidirectional: bool) -> None:
    network = stack(name, bidirectional=bidirectional)
    if name == "elman_relu":
        for layer in (*network.forwards, *network.backwards):
            layer.cell.b.data += 2  # a unit that is off would show no change
    x_TBD = torch.randn(T, B, D, dtype=torch.float64, requires_grad=True)
    carry = network.initial_carry(B, x_TBD)
    h_TBH, _ = network(x_TBD, starts(), carry, None)
    for lane, steps, _ in sequences():
        others_TB = torch.ones(T, B, dtype=torch.bool)
        others_TB[steps, lane] = False
        changed_TBD = x_TBD.detach().clone()
        changed_TBD[steps, lane] += 1
        changed_TBH, _ = network(changed_TBD, starts(), carry, None)
        assert torch.equal(changed_TBH[others_TB], h_TBH[others_TB]), "not a bit of the others may change"
        assert (changed_TBH[steps, lane] != h_TBH[steps, lane]).any(1).all()
        (gradient_TBD,) = torch.autograd.grad(h_TBH[others_TB].sum(), x_TBD, retain_graph=True)
        assert (gradient_TBD[steps, lane] == 0).all()


@pytest.mark.parametrize("name", WITH_STATE)
def test_not_even_a_nan_passes_a_start(name: str) -> None:
    layer, x_TBD, state = layer_and_inputs(name)
    starts_TB = starts()
    starts_TB[0] = True
    expected_TBH, _ = layer(x_TBD, starts_TB, state)
    values = itertools.cycle((torch.nan, torch.inf))
    bad = tuple(torch.full_like(s, value).requires_grad_() for s, value in zip(state, values, strict=False))
    h_TBH, _ = layer(x_TBD, starts_TB, bad)
    assert torch.equal(h_TBH, expected_TBH)
    gradients = torch.autograd.grad(h_TBH.sum(), [*bad, *layer.parameters()])
    assert all((g == 0).all() for g in gradients[: len(bad)])
    assert all(g.isfinite().all() for g in gradients[len(bad) :])


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("name", WITH_STATE)
def test_gradients_are_those_of_finite_differences(name: str, reverse: bool) -> None:
    layer = Layer(cells.make(name, 2, 2)).double()
    starts_TB = torch.tensor([[0, 1], [0, 0], [1, 0], [0, 1]], dtype=torch.bool)
    x_TBD = torch.randn(4, 2, 2, dtype=torch.float64, requires_grad=True)
    state = tuple(s.requires_grad_() for s in some_state(layer.cell, 2, x_TBD))

    def run(x_TBD: Tensor, *rest: Tensor) -> tuple[Tensor, ...]:
        # gradcheck moves the weights in place, so the layer's own are those given.
        h_TBH, after = layer(x_TBD, starts_TB, rest[: len(state)], reverse)
        return (h_TBH, *after)

    assert torch.autograd.gradcheck(run, (x_TBD, *state, *layer.parameters()))


def test_the_kernel_of_a_cell_is_used_and_told_where_to_reset(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def kernel(cell, x_TBD, resets_TB, state, reverse):
        asked.append((resets_TB, reverse))
        return layers.step_by_step(cell, x_TBD, resets_TB, state, reverse)

    monkeypatch.setitem(KERNELS, "gru", kernel)
    layer, x_TBD, state = layer_and_inputs("gru")
    layer(x_TBD, starts(), state)
    layer(x_TBD, starts(), state, reverse=True)
    other, x_TBD, state = layer_and_inputs("elman")
    other(x_TBD, starts(), state)
    (forward_TB, forward), (backward_TB, backward) = asked
    assert (forward, backward) == (False, True)
    assert torch.equal(forward_TB, starts())
    assert backward_TB[-1].all()
    assert torch.equal(backward_TB[:-1], starts()[1:])


@pytest.mark.parametrize("bidirectional", [False, True])
def test_dropout_is_one_mask_for_each_place_lane_and_window(bidirectional: bool) -> None:
    network = stack("memoryless", bidirectional=bidirectional, dropout=0.5, input_dropout=0.25, first_mask=10)
    x_TBD = torch.randn(T, B, D, dtype=torch.float64)
    draws = Draws(seed=1, update=2, lanes_B=torch.arange(B))
    expected_TBD = x_TBD * draws.mask(10, D, 0.25, x_TBD)
    for number in range(2):
        both = [side[number].cell for side in (network.forwards, network.backwards) if len(side)]
        expected_TBD = torch.cat([cell(expected_TBD, ())[0] for cell in both], 2)
        expected_TBD = expected_TBD * draws.mask(11 + number, network.output_size, 0.5, x_TBD)
    found_TBD, _ = network(x_TBD, starts(), network.initial_carry(B, x_TBD), draws)
    assert torch.equal(found_TBD, expected_TBD)
    assert network.next_mask == (17 if bidirectional else 15)


def test_without_draws_or_rate_nothing_is_dropped() -> None:
    network, x_TBD = stack(dropout=0.5, input_dropout=0.5), torch.randn(T, B, D, dtype=torch.float64)
    plain = stack()
    plain.load_state_dict(network.state_dict())
    carry, draws = network.initial_carry(B, x_TBD), Draws(seed=1, update=2, lanes_B=torch.arange(B))
    found_TBH, _ = network(x_TBD, starts(), carry, None)
    assert torch.equal(found_TBH, plain(x_TBD, starts(), carry, draws)[0])
    assert not torch.equal(found_TBH, network(x_TBD, starts(), carry, draws)[0])


def test_a_division_of_the_lanes_changes_nothing() -> None:
    network, x_TBD = stack(dropout=0.5, input_dropout=0.5), torch.randn(T, B, D, dtype=torch.float64)
    draws = Draws(seed=1, update=2, lanes_B=torch.arange(B))
    whole_TBH, _ = network(x_TBD, starts(), network.initial_carry(B, x_TBD), draws)
    part = Draws(seed=1, update=2, lanes_B=torch.arange(B)[1:3])
    part_TBH, _ = network(x_TBD[:, 1:3], starts()[:, 1:3], network.initial_carry(2, x_TBD), part)
    torch.testing.assert_close(part_TBH, whole_TBH[:, 1:3], **EXACT)


@pytest.mark.parametrize("name", CELLS)
def test_the_carry_is_a_state_for_each_layer_and_none_where_bidirectional(name: str) -> None:
    x_TBD = torch.randn(T, B, D, dtype=torch.float64)
    network = stack(name)
    _, carry = network(x_TBD, starts(), network.initial_carry(B, x_TBD), None)
    assert len(carry) == 2
    assert all(s.shape[0] == B for state in carry for s in state)
    both = stack(name, bidirectional=True)
    assert both.initial_carry(B, x_TBD) == ()
    assert both(x_TBD, starts(), (), None)[1] == ()


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"cell": "ltsm"}, "model.cell: found ltsm; allowed are elman"),
        ({"num_layers": 0}, "model.num_layers: found 0; a whole number from 1 on is wanted"),
        ({"dropout": 1.0}, "model.dropout: found 1.0; a rate from 0 to below 1 is wanted"),
        ({"input_dropout": -0.1}, "model.input_dropout: found -0.1; a rate"),
    ],
)
def test_settings_that_cannot_be_are_refused(changed: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        stack(**changed)
