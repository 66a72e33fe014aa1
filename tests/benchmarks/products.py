"""The machine's own limit for a layer: its matrix products and nothing else, each by the fastest way that there is.

Forward: all inputs in one product, then one a step. Backward: one a step, then one each for the gradients of the
inputs and of both matrices. Weights are packed beforehand, which a layer that is trained must do in each window.
"""

import time
from collections.abc import Callable

import torch
from torch import Tensor

Product = Callable[[], Tensor]


@torch.no_grad()
def of_layer(w_x: Tensor, w_h: Tensor, num_steps: int, lanes: int) -> Callable[[], None]:
    """All products of a window, forward and backward; w_x (G, D), w_h (G, H)."""
    G, D = w_x.shape
    rows = num_steps * lanes
    x_ND, h_NH, dz_NG = torch.randn(rows, D), torch.randn(rows, w_h.shape[1]), torch.randn(rows, G)
    h_BH, dz_BG = torch.randn(lanes, w_h.shape[1]), torch.randn(lanes, G)
    once = [by_weight(x_ND, w_x), by_weight(dz_NG, w_x.t().contiguous())]
    once += [outer(dz_NG, x_ND), outer(dz_NG, h_NH)]
    each_step = [by_weight(h_BH, w_h), by_weight(dz_BG, w_h.t().contiguous())]

    @torch.no_grad()
    def run() -> None:
        for product in once:
            product()
        for product in each_step:
            for _ in range(num_steps):
                product()

    return run


def by_weight(x_ND: Tensor, w_GD: Tensor) -> Product:
    """x w^T, w packed beforehand."""
    linear = torch.ops.mkldnn._linear_pointwise
    packed = torch.ops.mkldnn._reorder_linear_weight(w_GD, len(x_ND))
    return fastest(
        lambda: torch.mm(x_ND, w_GD.t()),
        lambda: linear(x_ND, w_GD, None, "none", [], ""),
        lambda: linear(x_ND, packed, None, "none", [], ""),
    )


def outer(dz_NG: Tensor, x_ND: Tensor) -> Product:
    """dz^T x; either factor may be the one that oneDNN turns round, and the result may come as its transpose."""
    linear = torch.ops.mkldnn._linear_pointwise
    return fastest(
        lambda: torch.mm(dz_NG.t(), x_ND),
        lambda: linear(dz_NG.t(), x_ND.t(), None, "none", [], ""),
        lambda: linear(x_ND.t(), dz_NG.t(), None, "none", [], "").t(),
    )


def fastest(*products: Product) -> Product:
    """The one of least time in several runs of each, in turn, once all of them agree."""
    for product in products[1:]:
        scale = products[0]().abs().max().item()
        torch.testing.assert_close(product(), products[0](), atol=1e-4 * scale, rtol=0)
    times = [[_seconds(product) for product in products] for _ in range(9)]
    best = [min(column) for column in zip(*times, strict=True)]
    return products[best.index(min(best))]


def _seconds(product: Product) -> float:
    begin = time.perf_counter()
    product()
    return time.perf_counter() - begin
