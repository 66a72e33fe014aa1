"""Read-outs of packed sequences equal those of each sequence alone, and nothing crosses a mark."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rnn_core.cells import CELLS
from rnn_core.lanes import Pack
from rnn_core.layers import Stack, StackConfig
from rnn_core.readouts import READ_OUTS, sequences

HIDDEN, FEATURES = 6, 3
LENGTHS = st.lists(st.integers(1, 7), min_size=1, max_size=12)


def packed(lengths, lanes=3, window=8):
    """positions_TB, starts_TB and valid_TB of one window that holds all the sequences."""
    lengths_N = np.array(lengths)
    filling = Pack(np.cumsum(lengths_N) - lengths_N, lengths_N, lanes=max(lanes, len(lengths)), window=window)
    positions_TB, starts_TB = filling.place(0, 0, slice(0, filling.lanes))
    return positions_TB, torch.from_numpy(starts_TB), torch.from_numpy(positions_TB >= 0)


def alone(h_LH, name, bidirectional):
    """One sequence's read-out, by a plain loop."""
    if name != "last":
        return h_LH.mean(0) if name == "mean" else h_LH.max(0).values
    half = HIDDEN // 2
    return torch.cat([h_LH[-1, :half], h_LH[0, half:]]) if bidirectional else h_LH[-1]


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("name", READ_OUTS)
@given(lengths=LENGTHS)
def test_packed_sequences_are_read_out_as_each_alone(lengths, name, bidirectional):
    positions_TB, starts_TB, valid_TB = packed(lengths)
    steps = torch.randn(sum(lengths), HIDDEN, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    h_TBH = torch.where(valid_TB[:, :, None], steps[positions_TB.clip(0)], torch.nan).requires_grad_()
    where = sequences(starts_TB, valid_TB)
    r_NH = READ_OUTS[name](h_TBH, where, bidirectional)
    begins_N = where.at_first(torch.from_numpy(positions_TB))
    parts = [steps[begin : begin + length] for begin, length in zip(begins_N, where.lengths_N, strict=True)]
    assert sorted(map(len, parts)) == sorted(lengths)
    torch.testing.assert_close(r_NH, torch.stack([alone(part, name, bidirectional) for part in parts]))
    r_NH[0].sum().backward()
    touched_TB = h_TBH.grad.abs().sum(2) > 0
    first, length = int(where.first_N[0]), int(where.lengths_N[0])
    outside = torch.ones(touched_TB.numel(), dtype=torch.bool)
    outside[first : first + length] = False
    assert not touched_TB.t().flatten()[outside].any(), "a gradient outside of the sequence"


@pytest.mark.parametrize("name", READ_OUTS)
@pytest.mark.parametrize("cell", sorted(CELLS))
def test_a_bidirectional_stack_reads_a_packed_sequence_as_alone(cell, name):
    torch.manual_seed(0)
    config = StackConfig(cell=cell, hidden_size=4, num_layers=2, input_dropout=0.0, dropout=0.0)
    stack, lengths = Stack(config, FEATURES, bidirectional=True).double(), [3, 5, 1, 2, 4]
    data = torch.randn(sum(lengths), FEATURES, dtype=torch.float64)
    positions_TB, starts_TB, valid_TB = packed(lengths)
    h_TBH, _ = stack(data[positions_TB.clip(0)], starts_TB, (), None)
    where = sequences(starts_TB, valid_TB)
    begins_N = where.at_first(torch.from_numpy(positions_TB))
    for row, (begin, length) in enumerate(zip(begins_N, where.lengths_N, strict=True)):
        starts_L1 = torch.zeros(int(length), 1, dtype=torch.bool)
        starts_L1[0] = True
        h_L1H, _ = stack(data[begin : begin + length, None], starts_L1, (), None)
        one = sequences(starts_L1, torch.ones_like(starts_L1))
        torch.testing.assert_close(READ_OUTS[name](h_TBH, where, True)[row], READ_OUTS[name](h_L1H, one, True)[0])


@pytest.mark.parametrize("name", READ_OUTS)
def test_gradients_of_read_outs(name):
    _, starts_TB, valid_TB = packed([3, 1, 4])
    h_TBH = torch.randn(*starts_TB.shape, HIDDEN, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda h: READ_OUTS[name](h, sequences(starts_TB, valid_TB), True), h_TBH)
