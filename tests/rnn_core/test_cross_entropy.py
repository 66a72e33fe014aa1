"""Fused, chunked output weights and cross-entropy against torch's product and cross-entropy."""

from unittest import mock

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from rnn_core.heads import cross_entropy as module
from rnn_core.heads.cross_entropy import cross_entropy
from rnn_core.heads.softmax import SoftmaxHead

TOLERANCE = {torch.float64: 1e-10, torch.float32: 1e-5}


def chunks_of(rows: int) -> mock._patch:
    return mock.patch.multiple(module, CHUNK_BYTES=1, LEAST_ROWS=rows)


def case(N: int, H: int, V: int, dtype: torch.dtype, seed: int = 0) -> tuple[torch.Tensor, ...]:
    random = torch.Generator().manual_seed(seed)
    x_NH, w_VH, b_V = (torch.randn(size, dtype=dtype, generator=random) for size in ((N, H), (V, H), (V,)))
    targets_N = torch.randint(V, (N,), generator=random)
    return *(tensor.requires_grad_() for tensor in (x_NH, w_VH, b_V)), targets_N


@settings(deadline=None, max_examples=150)
@given(
    sizes=st.tuples(st.integers(0, 40), st.integers(1, 40), st.integers(1, 60)),
    rows=st.integers(1, 45),
    dtype=st.sampled_from([torch.float32, torch.float64]),
    bias=st.booleans(),
    factor=st.sampled_from([1.0, -0.3]),
    smoothing=st.sampled_from([0.0, 0.1, 0.9]),
    seed=st.integers(0, 99),
)
def test_value_and_gradients_are_torchs(sizes, rows, dtype, bias, factor, smoothing, seed):
    x_NH, w_VH, b_V, targets_N = case(*sizes, dtype, seed)
    inputs = [x_NH, w_VH, b_V] if bias else [x_NH, w_VH]
    b_V = b_V if bias else None
    logits_NV = functional.linear(x_NH, w_VH, b_V)
    theirs = functional.cross_entropy(logits_NV, targets_N, reduction="sum", label_smoothing=smoothing)
    with chunks_of(rows):
        ours = cross_entropy(x_NH, w_VH, b_V, targets_N, smoothing)
        with torch.no_grad():
            alone = cross_entropy(x_NH, w_VH, b_V, targets_N, smoothing)
    close = {"rtol": TOLERANCE[dtype], "atol": TOLERANCE[dtype]}
    torch.testing.assert_close(ours, theirs, **close)
    assert torch.equal(ours, alone)
    gradients = torch.autograd.grad(factor * ours, inputs)
    for mine, other in zip(gradients, torch.autograd.grad(factor * theirs, inputs), strict=True):
        torch.testing.assert_close(mine, other, **close)
        assert mine.is_contiguous()


@settings(deadline=None, max_examples=50)
@given(st.data())
def test_only_valid_steps_count_however_they_fall_into_chunks(data):
    steps, lanes, rows = (data.draw(st.integers(1, 8)) for _ in range(3))
    valid_TB = torch.tensor(data.draw(st.lists(st.booleans(), min_size=steps * lanes, max_size=steps * lanes)))
    valid_TB = valid_TB.view(steps, lanes)
    head = SoftmaxHead(5, 7).double()
    hidden_TBH = torch.randn(steps, lanes, 5, dtype=torch.float64, requires_grad=True)
    targets_TB = torch.randint(7, (steps, lanes))
    with chunks_of(rows):
        loss, count = head.loss(hidden_TBH, targets_TB, valid_TB)
    logits_NV = head.predict(hidden_TBH[valid_TB])
    theirs = functional.cross_entropy(logits_NV, targets_TB[valid_TB], reduction="sum")
    assert count == int(valid_TB.sum())
    torch.testing.assert_close(loss, theirs, rtol=1e-10, atol=1e-10)
    inputs = [hidden_TBH, *head.parameters()]
    for mine, other in zip(torch.autograd.grad(loss, inputs), torch.autograd.grad(theirs, inputs), strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-10, atol=1e-10)


def test_gradients_are_those_of_finite_differences_over_several_chunks():
    *inputs, targets_N = case(7, 3, 5, torch.float64)
    with chunks_of(2):
        assert torch.autograd.gradcheck(lambda *of: cross_entropy(*of, targets_N), inputs)


def test_only_what_needs_a_gradient_gets_one():
    x_NH, w_VH, b_V, targets_N = case(9, 4, 6, torch.float64)
    whole = torch.autograd.grad(cross_entropy(x_NH, w_VH, b_V, targets_N), [x_NH, w_VH, b_V])
    for place, tensor in enumerate((x_NH, w_VH, b_V)):
        inputs = [t if t is tensor else t.detach() for t in (x_NH, w_VH, b_V)]
        (alone,) = torch.autograd.grad(cross_entropy(*inputs, targets_N), [tensor])
        assert torch.equal(alone, whole[place])


def test_a_second_backward_gives_the_same():
    x_NH, w_VH, b_V, targets_N = case(9, 4, 6, torch.float64)
    loss = cross_entropy(x_NH, w_VH, b_V, targets_N)
    loss.backward(retain_graph=True)
    once = w_VH.grad.clone()
    loss.backward()
    torch.testing.assert_close(w_VH.grad, 2 * once)


class Largest(TorchDispatchMode):
    """The numbers of the largest tensor that any operation gave."""

    numbers = 0

    def __torch_dispatch__(self, function, types, arguments=(), named=None):
        output = function(*arguments, **(named or {}))
        sizes = [leaf.numel() for leaf in tree_leaves(output) if isinstance(leaf, torch.Tensor)]
        self.numbers = max([self.numbers, *sizes])
        return output


@pytest.mark.parametrize("needs_gradient", [True, False])
def test_the_logits_of_all_steps_are_never_there_together(needs_gradient):
    N, H, V, rows = 300, 8, 500, 16
    x_NH, w_VH, b_V, targets_N = case(N, H, V, torch.float32)
    with chunks_of(rows), torch.set_grad_enabled(needs_gradient), Largest() as largest:
        loss = cross_entropy(x_NH, w_VH, b_V, targets_N)
        if needs_gradient:
            loss.backward()
    assert largest.numbers == rows * V


def test_chunks_are_bounded_in_bytes_and_no_smaller_than_pays():
    def rows(N, V):
        return [len(x) for x, _ in module._chunks(torch.empty(N, 1), torch.empty(N), torch.empty(V, 1, device="meta"))]

    assert rows(700, 17) == [700]
    assert rows(700, 10_000) == [350, 350]
    assert max(rows(100_000, 4096)) * 4 * 4096 <= module.CHUNK_BYTES
    assert max(rows(1000, 1_000_000)) == 250
    assert rows(0, 10) == [0]


@pytest.mark.parametrize("poison", [torch.nan, torch.inf, -torch.inf])
def test_logits_that_are_no_numbers_give_a_loss_that_is_none(poison):
    x_NH, w_VH, b_V, targets_N = case(9, 4, 6, torch.float32)
    with torch.no_grad():
        b_V[targets_N[3]] = poison
    assert not cross_entropy(x_NH, w_VH, b_V, targets_N).isfinite()
    assert not cross_entropy(x_NH.detach(), w_VH.detach(), b_V.detach(), targets_N).isfinite()


def test_logits_far_apart_neither_overflow_nor_lose_the_loss():
    """The right class's probability is below the smallest float32."""
    x_NH, w_VH, b_V, targets_N = case(9, 4, 6, torch.float32)
    x_NH = 1e4 * x_NH.detach()
    theirs = functional.cross_entropy(functional.linear(x_NH, w_VH, b_V), targets_N, reduction="sum")
    torch.testing.assert_close(cross_entropy(x_NH, w_VH, b_V, targets_N), theirs, rtol=1e-5, atol=0)
    assert theirs > 1e4


def test_under_autocast_the_softmax_stays_in_float32():
    x_NH, w_VH, b_V, targets_N = case(40, 64, 30, torch.float32)
    exact = cross_entropy(x_NH, w_VH, b_V, targets_N)
    with torch.autocast("cpu", dtype=torch.bfloat16), chunks_of(8):
        loss = cross_entropy(x_NH, w_VH, b_V, targets_N)
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, exact, rtol=1e-2, atol=0)
    inputs = [x_NH, w_VH, b_V]
    for mine, other in zip(torch.autograd.grad(loss, inputs), torch.autograd.grad(exact, inputs), strict=True):
        assert mine.dtype == torch.float32
        assert (mine - other).norm() < 2e-2 * other.norm()
