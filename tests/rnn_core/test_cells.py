"""Each cell against `torch.nn` with the same weights, or against its equations written out once more."""

from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from rnn_core import cells
from rnn_core.cells import CELLS, SLSTM, Cell, LSTMProjected, State
from rnn_core.cells.lstm_norm import EPSILON
from rnn_core.errors import ConfigError
from tests.rnn_core.states import some_state

T, B, D, H = 6, 3, 5, 4
TORCH: dict[str, Callable[[int, int], nn.RNNBase]] = {
    "elman": nn.RNN,
    "elman_relu": partial(nn.RNN, nonlinearity="relu"),
    "gru": nn.GRU,
    "lstm": nn.LSTM,
    "lstm_projected": lambda d, h: nn.LSTM(d, 2 * h, proj_size=h),
}
WITH_FORGET_GATE = {"lstm", "lstm_norm", "lstm_projected", "minlstm", "slstm"}
TOLERANCE = {torch.float64: 1e-10, torch.float32: 1e-5}
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


def same_weights(reference: nn.RNNBase, cell: Cell) -> list[tuple[Tensor, Tensor]]:
    """The cell given torch's weights, and the pairs of them whose gradients must be equal.

    torch has two biases where one does: only the GRU's candidate needs its second one apart.
    """
    with torch.no_grad():
        cell.w_x.copy_(reference.weight_ih_l0)
        cell.w_h.copy_(reference.weight_hh_l0)
        cell.b.copy_(reference.bias_ih_l0 + reference.bias_hh_l0)
        pairs = [(cell.w_x, reference.weight_ih_l0), (cell.w_h, reference.weight_hh_l0), (cell.b, reference.bias_ih_l0)]
        if isinstance(reference, nn.GRU):
            cell.b[2 * H :] = reference.bias_ih_l0[2 * H :]
            cell.b_hn.copy_(reference.bias_hh_l0[2 * H :])
        if isinstance(cell, LSTMProjected):
            cell.w_p.copy_(reference.weight_hr_l0)
            pairs.append((cell.w_p, reference.weight_hr_l0))
    return pairs


@pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN")
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
@pytest.mark.parametrize("name", TORCH)
def test_outputs_and_gradients_are_those_of_torch(name: str, dtype: torch.dtype) -> None:
    reference, cell = TORCH[name](D, H).to(dtype), cells.make(name, D, H).to(dtype)
    pairs = same_weights(reference, cell)
    x_TBD = torch.randn(T, B, D, dtype=dtype, requires_grad=True)
    before = tuple(s.requires_grad_() for s in some_state(cell, B, x_TBD))
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

    expected = gradients(theirs_TBH, theirs[-1], [b for _, b in pairs])
    found = gradients(ours_TBH, ours[-1], [a for a, _ in pairs])
    for mine, other in zip(found, expected, strict=True):
        torch.testing.assert_close(mine, other, **close)
    if name == "gru":
        (expected_H,) = torch.autograd.grad(
            (reference(x_TBD, before[0][None])[0] * weight_TBH).sum(), [reference.bias_hh_l0]
        )
        (found_H,) = torch.autograd.grad((run(cell, x_TBD, before)[0] * weight_TBH).sum(), [cell.b_hn])
        torch.testing.assert_close(found_H, expected_H[2 * H :], **close)


def gru_cho(cell: Cell, x_BD: Tensor, state: State) -> State:
    (h,) = state
    (x_r, x_z, x_n), (w_r, w_z, w_n) = linear(x_BD, cell.w_x, cell.b).chunk(3, 1), cell.w_h.chunk(3)
    r, z = (x_r + linear(h, w_r)).sigmoid(), (x_z + linear(h, w_z)).sigmoid()
    return (z * h + (1 - z) * (x_n + linear(r * h, w_n)).tanh(),)


def lstm_norm(cell: Cell, x_BD: Tensor, state: State) -> State:
    def norm(a: Tensor) -> Tensor:
        centred = a - a.mean(1, keepdim=True)
        return centred / (centred.square().mean(1, keepdim=True) + EPSILON).sqrt()

    h, c = state
    a = cell.s_h * norm(linear(h, cell.w_h)) + cell.s_x * norm(linear(x_BD, cell.w_x)) + cell.b
    i, f, g, o = a.chunk(4, 1)
    c = f.sigmoid() * c + i.sigmoid() * g.tanh()
    return o.sigmoid() * (cell.s_c * norm(c) + cell.b_c).tanh(), c


def slstm(cell: Cell, x_BD: Tensor, state: State) -> State:
    """Equations 8-14, before the stabiliser: their c and n are exp(m) times those of the cell, and m is 0."""
    h, c, n, m = state
    c, n = c * m.exp(), n * m.exp()
    i, f, z, o = (linear(x_BD, cell.w_x, cell.b) + linear(h, cell.w_h)).chunk(4, 1)
    c = f.sigmoid() * c + i.exp() * z.tanh()
    n = f.sigmoid() * n + i.exp()
    return o.sigmoid() * c / n, c, n, torch.zeros_like(m)


def without_stabiliser(state: State) -> State:
    h, c, n, m = state
    return h, c * m.exp(), n * m.exp()


@pytest.mark.parametrize("fresh", [False, True])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
@pytest.mark.parametrize("step", [gru_cho, lstm_norm, slstm])
def test_outputs_and_gradients_are_those_of_the_equations(step: Callable, dtype: torch.dtype, fresh: bool) -> None:
    cell = cells.make(step.__name__, D, H).to(dtype)
    with torch.no_grad():
        for weight in cell.parameters():
            weight.add_(torch.randn_like(weight) / 4)
    x_TBD = torch.randn(T, B, D, dtype=dtype, requires_grad=True)
    before = cell.initial_state(B, x_TBD) if fresh else some_state(cell, B, x_TBD)
    before = tuple(s.requires_grad_() for s in before)
    found_TBH, found = run(cell, x_TBD, before)
    outputs, expected = [], before
    for x_BD in x_TBD:
        expected = step(cell, x_BD, expected)
        outputs.append(expected[0])
    if isinstance(cell, SLSTM):
        found, expected = without_stabiliser(found), without_stabiliser(expected)
    draw_TBH = torch.randn(T, B, H, dtype=dtype)

    def all_of(h_TBH: Tensor, after: State) -> list[Tensor]:
        loss = (h_TBH * draw_TBH).sum() + sum(s.square().sum() for s in after)
        return [h_TBH, *after, *torch.autograd.grad(loss, [x_TBD, *before, *cell.parameters()])]

    for mine, other in zip(all_of(found_TBH, found), all_of(torch.stack(outputs), expected), strict=True):
        largest = max(1.0, float(other.detach().abs().max()))
        torch.testing.assert_close(mine, other, atol=TOLERANCE[dtype] * largest, rtol=TOLERANCE[dtype])


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
@pytest.mark.parametrize("shift", [-1e4, -100.0, 100.0, 1e4])
def test_no_input_gate_of_the_slstm_is_too_large_or_too_small(shift: float, dtype: torch.dtype) -> None:
    cell = cells.make("slstm", D, H).to(dtype)
    x_TBD = torch.randn(T, B, D, dtype=dtype, requires_grad=True)
    expected_TBH, _ = run(cell, x_TBD, cell.initial_state(B, x_TBD))
    with torch.no_grad():
        cell.b[:H] += shift
    h_TBH, (_, _, n_BH, _) = run(cell, x_TBD, cell.initial_state(B, x_TBD))
    # What all input gates of a sequence share drops out; the float32 numbers near 1e4 are 1e-3 apart.
    tolerance = 1e-10 if dtype == torch.float64 else 1e-5 if abs(shift) < 1000 else 1e-2
    torch.testing.assert_close(h_TBH, expected_TBH, atol=tolerance, rtol=0)
    assert (n_BH >= 1).all()
    gradients = torch.autograd.grad(h_TBH.sum(), [x_TBD, *cell.parameters()])
    assert all(g.isfinite().all() for g in gradients)


@pytest.mark.parametrize("forget", [-1e4, 1e4])
def test_no_forget_gate_of_the_slstm_is_too_large_or_too_small(forget: float) -> None:
    cell = cells.make("slstm", D, H)
    with torch.no_grad():
        cell.b[H : 2 * H] = forget
    x_TBD = torch.randn(T, B, D, requires_grad=True)
    h_TBH, after = run(cell, x_TBD, cell.initial_state(B, x_TBD))
    gradients = torch.autograd.grad(h_TBH.sum(), [x_TBD, *cell.parameters()])
    assert all(t.isfinite().all() for t in (h_TBH, *after, *gradients))
    # All forgotten: h is o * z of the step alone. Nothing forgotten: the mean of all z, weighed by their input gates.
    _, _, a_z, a_o = (linear(x_TBD[-1], cell.w_x, cell.b) + linear(h_TBH[-2], cell.w_h)).chunk(4, 1)
    alone_BH = a_o.sigmoid() * a_z.tanh()
    assert torch.allclose(h_TBH[-1], alone_BH, atol=1e-6) == (forget < 0)


def test_the_memory_of_a_projected_lstm_has_its_own_size() -> None:
    cell = LSTMProjected(D, H, memory_size=7)
    assert [tuple(s.shape) for s in cell.initial_state(B, cell.w_x)] == [(B, H), (B, 7)]
    assert sum(p.numel() for p in cell.parameters()) == 4 * 7 * (D + H + 1) + H * 7
    assert str(cell) == "LSTMProjected(5, 4, memory_size=7)"
    with pytest.raises(ConfigError, match=r"model\.memory_size: found 0; a whole number from 1 on is wanted"):
        LSTMProjected(D, H, memory_size=0)


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
    state = tuple(s.requires_grad_() for s in some_state(cell, 2, x_BD))

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
def test_weights_start_as_those_of_torch_but_for_gains_and_the_forget_gate(name: str) -> None:
    cell = cells.make(name, 30, 100)
    bound = (200 if name == "lstm_projected" else 100) ** -0.5
    for key, weight in cell.named_parameters():
        drawn = weight
        if key == "b" and name in WITH_FORGET_GATE:
            blocks = dict(zip(cell.gates, weight.chunk(len(cell.gates)), strict=True))
            assert (blocks.pop("f") == 1).all()
            drawn = torch.cat(tuple(blocks.values()))
        if name == "lstm_norm" and key[0] in "sb":
            assert (drawn == (1 if key[0] == "s" else 0)).all()
        else:
            assert 0.9 * bound < drawn.abs().max() <= bound
            assert drawn.mean().abs() < 0.3 * bound


def test_an_unknown_cell_is_refused_with_the_choices() -> None:
    with pytest.raises(ConfigError, match=r"model\.cell: found ltsm; allowed are .*lstm"):
        cells.make("ltsm", 2, 2)
