"""varlen/: sentences of real lengths, no padding in lanes against PackedSequence; words a second, padding not counted.

Ours stand in lanes: in one direction back to back, the state carried from window to window; in both directions whole
in each window, as these need it. The other side takes 32 sentences a batch: at random, or of like length
(`/bucketed`), or of like length, padded and dense (`/padded`).
"""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_sequence, pad_packed_sequence, pad_sequence

from rnn_core.lanes import Filling, Pack, Stream
from rnn_core.layers import Stack
from tests.benchmarks import cases, corpora, plain
from tests.benchmarks.cases import assert_agree, path

SENTENCES, BATCH, BATCHES = 4096, 32, 16
"""To draw from; of one of their batches; of one round."""
# Lanes and steps of a window, which holds as many words as 32 sentences, 522. `/wide`: 32 lanes of whole sentences.
STREAM, PACK, WIDE = (32, 16), (8, 64), (32, 160)
VECTORS = 1000

VARIANTS = {
    "": (STREAM, "random"),
    "/bucketed": (STREAM, "bucketed"),
    "/padded": (STREAM, "padded"),
    "/both-directions": (PACK, "random"),
    "/both-directions/bucketed": (PACK, "bucketed"),
    "/both-directions/padded": (PACK, "padded"),
    "/both-directions/wide": (WIDE, "random"),
    "/both-directions/wide/bucketed": (WIDE, "bucketed"),
    "/both-directions/wide/padded": (WIDE, "padded"),
}
CASES = [
    pytest.param(cell, H, *variant, id=f"varlen/{cell}/{H}{name}")
    for cell in ("lstm", "gru")
    for H in (256, 512)
    for name, variant in VARIANTS.items()
]


@pytest.mark.parametrize(("cell", "H", "size", "order"), CASES)
def test_varlen(compare: Any, record: Any, cell: str, H: int, size: tuple[int, int], order: str) -> None:
    lanes, steps = size
    both = size != STREAM
    stack = cases.stack(cell, H, H, both)
    theirs = plain.layer(cell, *(layer.cell for layer in (*stack.forwards, *stack.backwards)))
    words = Words(H, stack.output_size, steps if both else None)
    filling = (Pack if both else Stream)(*words.sequences, lanes=lanes, window=steps, seed=1)
    windows = list(words.windows(filling, max(1, BATCHES * 522 // (lanes * steps))))
    assert_same(stack, theirs, words, windows)
    batches = words.batches(order)
    # In one direction the state is carried on from where the last round ended.
    ours = Ours(stack, windows)
    pairs = compare(ours, lambda: sum(batch.run(theirs) for batch in batches))
    found = windows[0]
    record(
        pairs.rates("words/s"),
        shape={"T": steps, "B": lanes, "H": H, "directions": 1 + both},
        path=path(stack.forwards[0].cell, found.x_TBD, found.starts_TB, both),
        alternative=f"nn.{type(theirs).__name__}, {DESCRIBED[order]}",
    )


DESCRIBED = {
    "random": "PackedSequence, random batches",
    "bucketed": "PackedSequence, batches of like length",
    "padded": "padded batches of like length",
}


@dataclass(frozen=True)
class Window:
    """Of ours. positions_TB: which word of the data stands there, -1 none; dh_TBH: gradient of the outputs."""

    x_TBD: Tensor
    starts_TB: Tensor
    dh_TBH: Tensor
    positions_TB: NDArray[np.int64]


@dataclass(frozen=True)
class Batch:
    """Of theirs: a PackedSequence or a padded tensor."""

    x: Any
    dh: Tensor
    num_words: int

    def run(self, layer: nn.RNNBase) -> int:
        """Forward and backward; the words it has."""
        hidden, _ = layer(self.x)
        packed = isinstance(self.x, PackedSequence)
        inputs = [self.x.data if packed else self.x, *layer.parameters()]
        torch.autograd.grad(hidden.data if packed else hidden, inputs, self.dh)
        return self.num_words


class Ours:
    """Windows forward and backward, one after another, the state carried; the words they have."""

    def __init__(self, stack: Stack, windows: list[Window]):
        self.stack, self.windows = stack, windows
        self.carry = stack.initial_carry(windows[0].x_TBD.shape[1], windows[0].x_TBD)
        self.num_words = sum(int((window.positions_TB >= 0).sum()) for window in windows)

    def __call__(self) -> float:
        for window in self.windows:
            hidden_TBH, carry = self.stack(window.x_TBD, window.starts_TB, self.carry, None)
            torch.autograd.grad(hidden_TBH, [window.x_TBD, *self.stack.parameters()], window.dh_TBH)
            self.carry = tuple(tuple(part.detach() for part in state) for state in carry)
        return self.num_words


class Words:
    """Sentences of vectors: each word is one of a thousand, with a gradient of its own that comes in from above."""

    def __init__(self, input_size: int, output_size: int, longest: int | None):
        self.lengths_N = corpora.sentence_lengths(SENTENCES, longest)
        random = np.random.default_rng(2)
        self.ids = torch.from_numpy(random.integers(0, VECTORS, int(self.lengths_N.sum())))
        self.x_VD, self.dh_VH = torch.randn(VECTORS, input_size), torch.randn(VECTORS, output_size)
        self.random = random

    @property
    def sequences(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """offsets_N and lengths_N."""
        return np.cumsum(self.lengths_N) - self.lengths_N, self.lengths_N

    def windows(self, filling: Filling, count: int) -> Iterator[Window]:
        for step in range(count):
            positions_TB, starts_TB = filling.place(0, step, slice(0, filling.lanes))
            x_TBD, dh_TBH = self.vectors(positions_TB)
            yield Window(x_TBD.requires_grad_(), torch.from_numpy(starts_TB), dh_TBH, positions_TB)

    def vectors(self, positions: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
        """Inputs and gradients of the outputs; zero where there is no word."""
        ids, some = self.ids[np.maximum(positions, 0)], torch.from_numpy(positions >= 0)[..., None]
        return self.x_VD[ids] * some, self.dh_VH[ids] * some

    def batches(self, order: str) -> list[Batch]:
        offsets_N, lengths_N = self.sequences
        sentences = self.random.permutation(SENTENCES)
        if order != "random":
            sentences = sentences[np.argsort(lengths_N[sentences], kind="stable")]
        # At equal distances: of each length as many as there are, short and slow or long and fast.
        starts = (2 * np.arange(BATCHES) + 1) * (SENTENCES // BATCH) // (2 * BATCHES) * BATCH
        words = [np.arange(offset, offset + length) for offset, length in zip(offsets_N, lengths_N, strict=True)]
        rows = [[words[sentence] for sentence in sentences[start : start + BATCH]] for start in starts]
        return [self.batch(row, order == "padded") for row in rows]

    def batch(self, pieces: list[NDArray[np.int64]], padded: bool = False) -> Batch:
        """The words at these positions as one batch, a sequence each piece."""
        x, dh = zip(*(self.vectors(piece) for piece in pieces), strict=True)
        num_words = sum(map(len, pieces))
        if padded:
            return Batch(pad_sequence(x).requires_grad_(), pad_sequence(dh), num_words)
        packed = pack_sequence(x, enforce_sorted=False)
        leaf = packed._replace(data=packed.data.requires_grad_())
        return Batch(leaf, pack_sequence(dh, enforce_sorted=False).data, num_words)


def assert_same(stack: Stack, theirs: nn.RNNBase, words: Words, windows: list[Window]) -> None:
    """Outputs at every word; and gradients, where no sequence goes on into the next window."""
    carry = stack.initial_carry(windows[0].x_TBD.shape[1], windows[0].x_TBD)
    outputs = []
    for window in windows:
        hidden_TBH, carry = stack(window.x_TBD, window.starts_TB, carry, None)
        outputs.append(hidden_TBH)
    hidden_LBH = torch.cat(outputs)
    positions_LB = np.concatenate([window.positions_TB for window in windows])
    pieces = cut(positions_LB, torch.cat([window.starts_TB for window in windows]).numpy())
    batch = words.batch([positions_LB[place] for place in pieces])
    hidden, _ = theirs(batch.x)
    padded_LNH, lengths = pad_packed_sequence(hidden)
    for n, place in enumerate(pieces[:100]):
        assert_agree([hidden_LBH[place]], [padded_LNH[: lengths[n], n]])
    dh_LBH = torch.cat([window.dh_TBH for window in windows])
    dw = torch.autograd.grad(hidden_LBH, [layer.cell.w_h for layer in stack.forwards], dh_LBH)
    assert_agree(dw, torch.autograd.grad(hidden.data, [theirs.weight_hh_l0], batch.dh), 1e-3)


def cut(positions_LB: NDArray[np.int64], starts_LB: NDArray[np.bool_]) -> list[tuple[slice, int]]:
    """Where each sequence stands: the steps of its lane from a start to the next one, without padding."""
    places = []
    for lane in range(positions_LB.shape[1]):
        borders = [*np.flatnonzero(starts_LB[:, lane]), len(starts_LB)]
        sequences = [(a, b) for a, b in itertools.pairwise(borders) if positions_LB[a, lane] >= 0]
        places += [(slice(a, b), lane) for a, b in sequences]
    return places
