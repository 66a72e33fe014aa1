"""Both directions side by side: equal to one after the other, in outputs and all gradients."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from rnn_core import cells
from rnn_core.kernels import both
from rnn_core.layers import Layer, Stack, StackConfig

NAMES = ["elman", "elman_relu", "gru", "lstm"]


def apart(forward: cells.Cell, backward: cells.Cell, x_TBD: Tensor, starts_TB: Tensor) -> Tensor:
    state = forward.initial_state(x_TBD.shape[1], x_TBD)
    forward_TBH, _ = Layer(forward)(x_TBD, starts_TB, state)
    backward_TBH, _ = Layer(backward)(x_TBD, starts_TB, state, reverse=True)
    return torch.cat((forward_TBH, backward_TBH), 2)


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=20, deadline=None)
@given(
    sizes=st.tuples(st.integers(1, 8), st.integers(1, 4), st.integers(1, 3), st.integers(1, 5)),
    share=st.sampled_from([0.0, 0.3, 1.0]),
    seed=st.integers(0, 2**31),
)
def test_equal_to_one_after_the_other(name: str, sizes: tuple[int, int, int, int], share: float, seed: int) -> None:
    torch.manual_seed(seed)
    T, B, D, H = sizes
    pair = [cells.make(name, D, H).double() for _ in range(2)]
    x_TBD, starts_TB = torch.randn(T, B, D, dtype=torch.float64, requires_grad=True), torch.rand(T, B) < share
    starts_TB[0] = True
    inputs = [x_TBD, *pair[0].parameters(), *pair[1].parameters()]
    dh_TBH = torch.randn(T, B, 2 * H, dtype=torch.float64)
    results = []
    for run in (both.kernel, apart):
        h_TBH = run(*pair, x_TBD, starts_TB)
        results.append([h_TBH.detach(), *torch.autograd.grad(h_TBH, inputs, dh_TBH)])
    torch.testing.assert_close(*results, atol=1e-10, rtol=1e-10)


@pytest.mark.parametrize(("largest", "zoneout", "expected"), [(2**14, 0.0, 1), (0, 0.0, 0), (2**14, 0.1, 0)])
def test_a_stack_takes_it_for_small_steps_without_zoneout(
    monkeypatch: pytest.MonkeyPatch, largest: int, zoneout: float, expected: int
) -> None:
    taken, kernel = [], both.kernel
    monkeypatch.setattr(both, "LARGEST_STEP", largest)
    monkeypatch.setattr(both, "kernel", lambda *arguments: taken.append(1) or kernel(*arguments))
    config = StackConfig(cell="gru", hidden_size=4, num_layers=1, dropout=0.0, input_dropout=0.0, zoneout=zoneout)
    stack = Stack(config, 3, bidirectional=True)
    stack(torch.randn(5, 2, 3), torch.ones(5, 2, dtype=torch.bool), (), None)
    assert len(taken) == expected


def test_cells_without_such_a_kernel_go_one_after_the_other() -> None:
    assert not both.fits(cells.make("slstm", 3, 4), torch.randn(5, 2, 3))
