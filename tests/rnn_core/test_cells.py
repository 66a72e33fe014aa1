"""Each cell against `torch.nn` with the same weights, and what every cell owes to the layer that runs it."""

import pytest
import torch
from torch import Tensor, nn

from rnn_core import cells
from rnn_core.cells import CELLS, Cell, State
from rnn_core.errors import ConfigError

T, B, D, H = 6, 3, 5, 4
TORCH = {"elman": nn.RNN, "gru": nn.GRU, "lstm": nn.LSTM}
TOLERANCE = {torch.float64: 1e-10, torch.float32: 1e-5}
FORGET_GATE = {"lstm": (1, 2), "minlstm": (0, 1)}
"""Where it lies among the gates."""
DRAWN_AS_IN_THE_PAPER = ("lru",)
"""Tested with the cell."""


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(7)


def run(cell: Cell, x_TBD: Tensor, state: State) -> tuple[Tensor, State]:
    outputs = []
    for x_BD in x_TBD:
        h_BH, state = cell(x_BD, state)
        outputs.append(h_BH)
    return torch.stack(outputs), state


def copy_weights(reference: nn.RNNBase, cell: Cell) -> None:
    """torch has two biases where one does: only the GRU's candidate needs its second one apart."""
    with torch.no_grad():
        cell.w_x.copy_(reference.weight_ih_l0)
        cell.w_h.copy_(reference.weight_hh_l0)
        cell.b.copy_(reference.bias_ih_l0 + reference.bias_hh_l0)
        if isinstance(reference, nn.GRU):
            cell.b[2 * H :] = reference.bias_ih_l0[2 * H :]
            cell.b_hn.copy_(reference.bias_hh_l0[2 * H :])


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
@pytest.mark.parametrize("name", TORCH)
def test_outputs_and_gradients_are_those_of_torch(name: str, dtype: torch.dtype) -> None:
    reference, cell = TORCH[name](D, H).to(dtype), cells.make(name, D, H).to(dtype)
    copy_weights(reference, cell)
    x_TBD = torch.randn(T, B, D, dtype=dtype, requires_grad=True)
    before = tuple(torch.randn(B, H, dtype=dtype, requires_grad=True) for _ in cell.initial_state(B, x_TBD))
    weight_TBH = torch.randn(T, B, H, dtype=dtype)

    theirs_TBH, theirs = reference(x_TBD, tuple(s[None] for s in before) if len(before) > 1 else before[0][None])
    ours_TBH, ours = run(cell, x_TBD, before)
    close = {"atol": TOLERANCE[dtype], "rtol": TOLERANCE[dtype]}
    torch.testing.assert_close(ours_TBH, theirs_TBH, **close)
    theirs = theirs if isinstance(theirs, tuple) else (theirs,)
    for mine, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine, other[0], **close)

    def gradients(hidden_TBH: Tensor, last: Tensor, weights: list[Tensor]) -> tuple[Tensor, ...]:
        return torch.autograd.grad((hidden_TBH * weight_TBH).sum() + last.square().sum(), [x_TBD, *before, *weights])

    expected = gradients(theirs_TBH, theirs[-1], [reference.weight_ih_l0, reference.weight_hh_l0, reference.bias_ih_l0])
    found = gradients(ours_TBH, ours[-1], [cell.w_x, cell.w_h, cell.b])
    for mine, other in zip(found, expected, strict=True):
        torch.testing.assert_close(mine, other, **close)
    if name == "gru":
        (expected_H,) = torch.autograd.grad(
            (reference(x_TBD, before[0][None])[0] * weight_TBH).sum(), [reference.bias_hh_l0]
        )
        (found_H,) = torch.autograd.grad((run(cell, x_TBD, before)[0] * weight_TBH).sum(), [cell.b_hn])
        torch.testing.assert_close(found_H, expected_H[2 * H :], **close)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
def test_memoryless_is_a_linear_layer_with_tanh(dtype: torch.dtype) -> None:
    linear, cell = nn.Linear(D, H).to(dtype), cells.make("memoryless", D, H).to(dtype)
    with torch.no_grad():
        cell.w_x.copy_(linear.weight)
        cell.b.copy_(linear.bias)
    x_TBD = torch.randn(T, B, D, dtype=dtype, requires_grad=True)
    expected_TBH, (found_TBH, state) = linear(x_TBD).tanh(), run(cell, x_TBD, ())
    assert state == ()
    close = {"atol": TOLERANCE[dtype], "rtol": TOLERANCE[dtype]}
    torch.testing.assert_close(found_TBH, expected_TBH, **close)
    expected = torch.autograd.grad(expected_TBH.square().sum(), [x_TBD, linear.weight, linear.bias])
    found = torch.autograd.grad(found_TBH.square().sum(), [x_TBD, cell.w_x, cell.b])
    for mine, other in zip(found, expected, strict=True):
        torch.testing.assert_close(mine, other, **close)


@pytest.mark.parametrize("name", CELLS)
def test_gradients_are_those_of_finite_differences(name: str) -> None:
    cell = cells.make(name, 3, 2).double()
    names, weights = zip(*cell.named_parameters(), strict=True)
    x_BD = torch.randn(2, 3, dtype=torch.float64, requires_grad=True)
    state = tuple(torch.randn_like(s, requires_grad=True) for s in cell.initial_state(2, x_BD))

    def step(x_BD: Tensor, *rest: Tensor) -> tuple[Tensor, ...]:
        given, before = dict(zip(names, rest, strict=False)), rest[len(names) :]
        h_BH, after = torch.func.functional_call(cell, given, (x_BD, before))
        return (h_BH, *after)

    assert torch.autograd.gradcheck(step, (x_BD, *weights, *state))


@pytest.mark.parametrize("name", CELLS)
def test_state_goes_in_and_comes_out_and_nothing_is_kept(name: str) -> None:
    cell = cells.make(name, D, H).double()
    x_BD = torch.randn(B, D, dtype=torch.float64)
    state = cell.initial_state(B, x_BD)
    h_BH, after = cell(x_BD, state)
    assert h_BH.shape == (B, H)
    assert [(s.shape, s.dtype) for s in after] == [(s.shape, s.dtype) for s in state]
    assert all(s.shape[0] == B and s.dtype == torch.float64 for s in state)
    again_BH, _ = cell(x_BD, state)
    assert torch.equal(h_BH, again_BH)


@pytest.mark.parametrize("name", CELLS)
def test_inputs_of_a_window_are_those_of_its_steps(name: str) -> None:
    cell = cells.make(name, D, H).double()
    x_TBD = torch.randn(T, B, D, dtype=torch.float64)
    each_TBG = torch.stack([cell.inputs(x_BD) for x_BD in x_TBD])
    torch.testing.assert_close(cell.inputs(x_TBD), each_TBG, atol=1e-12, rtol=0)


@pytest.mark.parametrize("name", [name for name in CELLS if name not in DRAWN_AS_IN_THE_PAPER])
def test_weights_start_as_those_of_torch_but_for_the_forget_gate(name: str) -> None:
    cell = cells.make(name, 30, 100)
    first, last = FORGET_GATE.get(name, (0, 0))
    for weight in cell.parameters():
        drawn = torch.cat((weight[: 100 * first], weight[100 * last :])) if weight is cell.b else weight
        assert 0.09 < drawn.abs().max() <= 0.1
        assert drawn.mean().abs() < 0.03
    assert (cell.b[100 * first : 100 * last] == 1).all()


@pytest.mark.parametrize("name", CELLS)
def test_parameters_are_counted_without_making_them(name: str) -> None:
    generator = torch.get_rng_state()
    assert cells.parameters(name, D, H) == sum(p.numel() for p in cells.make(name, D, H).parameters())
    torch.set_rng_state(generator)
    assert cells.parameters(name, 10**6, 10**6) > 10**12  # terabytes, were they made
    assert torch.equal(torch.get_rng_state(), generator), "counting must draw nothing"


def test_parameters_by_hand() -> None:
    expected = {
        "elman": 20 * (10 + 20 + 1),
        "gru": 3 * 20 * (10 + 20 + 1) + 20,
        "lstm": 4 * 20 * (10 + 20 + 1),
        "memoryless": 20 * (10 + 1),
        "mingru": 2 * 20 * (10 + 1),
        "minlstm": 3 * 20 * (10 + 1),
        "lru": 3 * 20 * (10 + 1) + 2 * 20 * 20 + 3 * 20,
    }
    assert {name: cells.parameters(name, 10, 20) for name in expected} == expected


@pytest.mark.parametrize("ask", [cells.make, cells.parameters])
def test_an_unknown_cell_is_refused_with_the_choices(ask) -> None:
    with pytest.raises(ConfigError, match=r"model\.cell: found ltsm; allowed are .*lstm"):
        ask("ltsm", 2, 2)
