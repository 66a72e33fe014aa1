"""The loss of whole sequences: that of each one alone, and nothing else of the window counts."""

import pytest
import torch
from torch.nn import functional

from rnn_core.heads.sequence import SequenceHead
from rnn_core.lanes import Window
from rnn_core.readouts import READ_OUTS, sequences
from tests.rnn_core.test_readouts import HIDDEN, alone, packed

LENGTHS, CLASSES = [3, 1, 4, 2], 3


def window_of(lengths):
    """A window of packed sequences, and where in the data each step stands."""
    positions_TB, starts_TB, valid_TB = packed(lengths)
    labels = torch.tensor([label % CLASSES for label, n in enumerate(lengths) for _ in range(n)])
    label_TB = torch.where(valid_TB, labels[positions_TB.clip(0)], -100)
    fields = {"label_TB": label_TB}
    return Window(fields=fields, starts_TB=starts_TB, valid_TB=valid_TB, epoch=0), positions_TB


@pytest.mark.parametrize("name", READ_OUTS)
def test_the_loss_is_the_sum_over_the_sequences(name):
    torch.manual_seed(0)
    head = SequenceHead(HIDDEN, CLASSES, name, bidirectional=True).double()
    window, positions_TB = window_of(LENGTHS)
    steps = torch.randn(sum(LENGTHS), HIDDEN, dtype=torch.float64)
    hidden_TBH = torch.where(window.valid_TB[:, :, None], steps[positions_TB.clip(0)], torch.nan)
    loss, count = head.loss_of(window, hidden_TBH)
    read = torch.stack([alone(part, name, True) for part in steps.split(LENGTHS)])
    logits = read @ head.weight.t() + head.bias
    wanted = functional.cross_entropy(logits, torch.arange(len(LENGTHS)) % CLASSES, reduction="sum")
    torch.testing.assert_close(loss, wanted)
    assert count == len(LENGTHS)
    begins = torch.tensor(LENGTHS).cumsum(0) - torch.tensor(LENGTHS)
    where = sequences(window.starts_TB, window.valid_TB).at_first(torch.from_numpy(positions_TB))
    order = [begins.tolist().index(begin) for begin in where.tolist()]
    torch.testing.assert_close(head.predict(window, hidden_TBH), logits[order])


@pytest.mark.parametrize("name", READ_OUTS)
def test_the_lanes_apart_give_the_same_sum(name):
    torch.manual_seed(0)
    head = SequenceHead(HIDDEN, CLASSES, name, bidirectional=False).double()
    window, _ = window_of(LENGTHS)
    hidden_TBH = torch.randn(*window.starts_TB.shape, HIDDEN, dtype=torch.float64)
    lanes = [head.loss_of(window.lane(i), hidden_TBH[:, i : i + 1]) for i in range(window.starts_TB.shape[1])]
    loss, count = head.loss_of(window, hidden_TBH)
    torch.testing.assert_close(sum(part for part, _ in lanes), loss)
    assert sum(number for _, number in lanes) == count
