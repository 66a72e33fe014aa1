"""The CTC head against the sum over all paths, written out; marks that nothing crosses; padding that counts nothing."""

import itertools

import pytest
import torch
from torch import Tensor

from rnn_core.heads import ctc
from rnn_core.heads.ctc import CTCHead
from rnn_core.lanes import Window
from rnn_core.speech import ctc_alignment, ctc_decoding

T, B, H, V = 7, 3, 5, 3
# Lane 0: sequences of 4 and 3 steps. Lane 1: 5 steps and padding. Lane 2: padding only.
STARTS_TB = torch.tensor(
    [[1, 1, 1], [0, 0, 0], [0, 0, 0], [0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 0]], dtype=torch.bool
)
VALID_TB = torch.tensor([[1, 1, 0]] * 5 + [[1, 0, 0]] * 2, dtype=torch.bool)
ROW_TB = torch.tensor([[1, 2, 0]] * 4 + [[0, 2, 0]] * 3)
STRINGS = [[2], [1, 1], []]
"""By row; the second needs a blank between its labels, the third has none."""


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(3)


@pytest.fixture
def head() -> CTCHead:
    return CTCHead(H, V).double()


def window(strings: list[list[int]] = STRINGS) -> Window:
    longest = max(map(len, strings))
    labels_NL = torch.tensor([string + [0] * (longest - len(string)) for string in strings])
    counts_N = torch.tensor([len(string) for string in strings])
    fields = {"row_TB": ROW_TB, "labels_NL": labels_NL, "label_counts_N": counts_N}
    return Window(fields=fields, starts_TB=STARTS_TB, valid_TB=VALID_TB, epoch=0)


def joined(path: tuple[int, ...]) -> list[int]:
    return [label for label, _ in itertools.groupby(path) if label]


def by_all_paths(p_TV: Tensor, string: list[int]) -> Tensor:
    """P(string), every path of its steps looked at."""
    paths = itertools.product(range(p_TV.shape[1]), repeat=len(p_TV))
    return sum(p_TV[range(len(path)), path].prod() for path in paths if joined(path) == string)


def parts(hidden_TBH: Tensor) -> list[Tensor]:
    """The hidden states of the three sequences, in the order of the rows."""
    return [hidden_TBH[4:, 0], hidden_TBH[:4, 0], hidden_TBH[:5, 1]]


def test_loss_is_that_of_all_paths(head: CTCHead) -> None:
    hidden_TBH = torch.randn(T, B, H, dtype=torch.float64)
    loss, count = head.loss_of(window(), hidden_TBH)
    p = [(h @ head.weight.T + head.bias).softmax(1) for h in parts(hidden_TBH)]
    expected = -sum(by_all_paths(p_TV, string).log() for p_TV, string in zip(p, STRINGS, strict=True))
    torch.testing.assert_close(loss, expected)
    assert count == 3


def test_gradients_are_those_of_all_paths(head: CTCHead) -> None:
    hidden_TBH = torch.randn(T, B, H, dtype=torch.float64, requires_grad=True)
    head.loss_of(window(), hidden_TBH)[0].backward()
    found, weight = hidden_TBH.grad.clone(), head.weight.grad.clone()
    hidden_TBH.grad = head.weight.grad = None
    p = [(h @ head.weight.T + head.bias).softmax(1) for h in parts(hidden_TBH)]
    (-sum(by_all_paths(p_TV, string).log() for p_TV, string in zip(p, STRINGS, strict=True))).backward()
    torch.testing.assert_close(found, hidden_TBH.grad)
    torch.testing.assert_close(weight, head.weight.grad)
    assert (found[~VALID_TB] == 0).all()


def test_no_sequence_knows_its_neighbour(head: CTCHead) -> None:
    hidden_TBH = torch.randn(T, B, H, dtype=torch.float64)
    alone = head.loss_of(window().lane(0), hidden_TBH[:, :1])[0] + head.loss_of(window().lane(1), hidden_TBH[:, 1:2])[0]
    torch.testing.assert_close(head.loss_of(window(), hidden_TBH)[0], alone)
    hidden_TBH.requires_grad_()
    head.predict(window(), hidden_TBH)[1].sum().backward()
    assert (hidden_TBH.grad[:4, 0] == 0).all()
    assert (hidden_TBH.grad[:, 1:] == 0).all()


def test_predict_goes_lane_by_lane(head: CTCHead) -> None:
    hidden_TBH = torch.randn(T, B, H, dtype=torch.float64)
    found = head.predict(window(), hidden_TBH)
    second, first, third = parts(hidden_TBH)
    for log_p_TV, h_TH in zip(found, (first, second, third), strict=True):
        torch.testing.assert_close(log_p_TV, (h_TH @ head.weight.T + head.bias).log_softmax(1))


def test_a_window_of_padding_costs_nothing(head: CTCHead) -> None:
    hidden_TBH = torch.randn(T, B, H, dtype=torch.float64, requires_grad=True)
    loss, count = head.loss_of(window().lane(2), hidden_TBH[:, 2:])
    assert (loss.item(), count) == (0, 0)
    loss.backward()
    assert (hidden_TBH.grad == 0).all()
    assert all((p.grad == 0).all() for p in head.parameters())


def test_a_string_too_long_for_its_steps_has_no_path(head: CTCHead) -> None:
    loss, _ = head.loss_of(window([[1, 1, 2], [1], []]), torch.randn(T, B, H, dtype=torch.float64))
    assert loss.isinf()


def test_the_blank_has_one_number() -> None:
    assert ctc.BLANK == ctc_decoding.BLANK == ctc_alignment.BLANK
