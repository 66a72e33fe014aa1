"""Products by oneDNN and by torch: the same up to rounding, and where each is used."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from rnn_core import products

BOTH = pytest.mark.parametrize("onednn", [False, True])
CLOSE = {"atol": 1e-5, "rtol": 1e-5}


@pytest.fixture
def _by(monkeypatch: pytest.MonkeyPatch, onednn: bool) -> None:
    torch.manual_seed(3)
    monkeypatch.setattr(products, "LEAST_ROWS", 1)
    monkeypatch.setattr(products, "LEAST_WORK", 1 if onednn else 2**60)


@BOTH
@pytest.mark.usefixtures("_by")
@pytest.mark.parametrize("leading", [(7,), (3, 5), (1, 1), (2, 3, 4)])
def test_linear_is_that_of_torch_with_its_gradients(leading: tuple[int, ...]) -> None:
    x, w, b = (torch.randn(shape, requires_grad=True) for shape in ((*leading, 6), (4, 6), (4,)))
    expected, found = functional.linear(x, w, b), products.linear(x, w, b)
    torch.testing.assert_close(found, expected, **CLOSE)
    weight = torch.randn_like(expected)
    gradients = [torch.autograd.grad((z * weight).sum(), (x, w, b)) for z in (found, expected)]
    torch.testing.assert_close(*gradients, **CLOSE)
    assert gradients[0][1].is_contiguous()


@BOTH
@pytest.mark.usefixtures("_by")
def test_views_of_any_strides_are_multiplied_right() -> None:
    x_ND, w_GD = torch.randn(12, 10)[::2, ::2], torch.randn(5, 4).t()[:, ::1]
    expected = x_ND[:, :5] @ w_GD.t()
    torch.testing.assert_close(products.product(x_ND[:, :5], w_GD), expected, **CLOSE)
    z_NG = torch.ones(6, 8)[:, 2:6]
    torch.testing.assert_close(products.recurrent(w_GD, 6)(x_ND[:, :5]), expected, **CLOSE)
    torch.testing.assert_close(products.outer(z_NG, x_ND), z_NG.t() @ x_ND, **CLOSE)


def test_gradients_are_found_only_where_they_are_wanted() -> None:
    x, w, b = torch.randn(3, 2), torch.randn(4, 2, requires_grad=True), torch.randn(4)
    products.linear(x, w, b).sum().backward()
    torch.testing.assert_close(w.grad, x.sum(0).expand(4, 2))
    assert x.grad is None
    assert b.grad is None


@pytest.mark.parametrize(
    ("shape", "rows", "dtype", "expected"),
    [
        ((512, 512), 4, torch.float32, True),
        ((1024, 1024), 3, torch.float32, False),
        ((64, 64), 4, torch.float32, False),
        ((512, 512), 4, torch.float64, False),
        ((512, 512), 0, torch.float32, False),
    ],
)
def test_onednn_is_for_large_products_in_float32(
    monkeypatch: pytest.MonkeyPatch, shape: tuple[int, int], rows: int, dtype: torch.dtype, expected: bool
) -> None:
    asked = []

    def linear_pointwise(x: Tensor, w: Tensor, b: Tensor | None, *rest: object) -> Tensor:
        asked.append(x.shape)
        return x.new_zeros(len(x), len(w))

    monkeypatch.setattr(products, "_available", True)
    monkeypatch.setattr(torch.ops.mkldnn, "_linear_pointwise", linear_pointwise, raising=False)
    w = torch.zeros(shape, dtype=dtype)
    products.product(torch.zeros(rows, shape[1], dtype=dtype), w)
    products.recurrent(w, rows)(torch.zeros(rows, shape[1], dtype=dtype))
    assert len(asked) == (2 if expected else 0)


BFLOAT16 = {"atol": 2e-2, "rtol": 2e-2}
"""Factors are rounded to 8 bits: 2^-9 each, of sums of 6 products near 1."""


@BOTH
@pytest.mark.usefixtures("_by")
def test_under_autocast_products_are_in_bfloat16_and_results_in_float32() -> None:
    x, w, b = (torch.randn(shape, requires_grad=True) for shape in ((7, 6), (4, 6), (4,)))
    expected = functional.linear(x, w, b)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = products.linear(x, w, b)
        times_w = products.recurrent(w.detach(), 7)
        product = times_w(x.detach())
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, expected, **BFLOAT16)
    assert not torch.equal(found, expected), "float32 was used"
    torch.testing.assert_close(product.float(), (expected - b).detach(), **BFLOAT16)
    # The backward pass comes after the context, and is of the same precision.
    wanted = torch.autograd.grad(expected.square().sum(), (x, w, b))
    given = torch.autograd.grad(found.square().sum(), (x, w, b))
    assert all(g.dtype == torch.float32 for g in given)
    torch.testing.assert_close(given, wanted, atol=0.2, rtol=5e-2)
    assert not torch.equal(given[0], wanted[0])


def test_autocast_leaves_float64_alone() -> None:
    x, w = torch.randn(5, 6).double(), torch.randn(4, 6).double()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(products.product(x, w), functional.linear(x, w))


def test_bfloat16_pays_where_the_processor_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(products, "_available", False)
    assert not products.bfloat16_pays("cpu")
