"""scan/, scan-vs-gru/: cells that are trained by parallel scan, beside their steps one by one and beside our GRU."""

from typing import Any

import pytest
import torch

from rnn_core.layers import Layer
from tests.benchmarks import corpora
from tests.benchmarks.bench_layer import by_kernel, step_by_step
from tests.benchmarks.cases import assert_agree, gradients, layer, once, path

B, H = 20, 256
LENGTHS = (64, 128, 256, 512, 1024)
SCANNED = ("mingru", "minlstm", "lru")


def cases(group: str) -> list[Any]:
    return [pytest.param(cell, T, id=f"{group}/{cell}/{T}") for cell in SCANNED for T in LENGTHS]


@pytest.mark.parametrize(("cell", "T"), cases("scan"))
def test_scan(compare: Any, record: Any, cell: str, T: int) -> None:
    scanned, x_TBD, starts_TB, dh_TBH = window(cell, T)
    inputs = [x_TBD, *scanned.parameters()]
    ours = gradients(lambda: by_kernel(scanned, x_TBD, starts_TB), inputs, dh_TBH)
    theirs = gradients(lambda: step_by_step(scanned, x_TBD, starts_TB), inputs, dh_TBH)
    assert_agree(ours(), theirs(), 1e-3)
    pairs = compare(once(ours, "cpu"), once(theirs, "cpu"))
    shape, kernel = {"T": T, "B": B, "H": H}, path(scanned.cell, x_TBD, starts_TB)
    record(pairs.times(), shape=shape, path=kernel, alternative="the same cell step by step")


@pytest.mark.parametrize(("cell", "T"), cases("scan-vs-gru"))
def test_scan_beside_gru(compare: Any, record: Any, cell: str, T: int) -> None:
    scanned, x_TBD, starts_TB, dh_TBH = window(cell, T)
    gru = layer("gru", H, H)
    ours = gradients(lambda: by_kernel(scanned, x_TBD, starts_TB), [x_TBD, *scanned.parameters()], dh_TBH)
    theirs = gradients(lambda: by_kernel(gru, x_TBD, starts_TB), [x_TBD, *gru.parameters()], dh_TBH)
    pairs = compare(once(ours, "cpu"), once(theirs, "cpu"))
    shape, kernel = {"T": T, "B": B, "H": H}, path(scanned.cell, x_TBD, starts_TB)
    record(pairs.times(), shape=shape, path=kernel, alternative="our gru")


def window(cell: str, T: int) -> tuple[Layer, torch.Tensor, torch.Tensor, torch.Tensor]:
    """A layer, its inputs x_TBD, sentences' starts_TB, and the gradient dh_TBH of its outputs."""
    x_TBD = torch.randn(T, B, H, requires_grad=True)
    return layer(cell, H, H), x_TBD, torch.from_numpy(corpora.starts(T, B)), torch.randn(T, B, H)
