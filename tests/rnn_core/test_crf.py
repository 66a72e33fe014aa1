"""The conditional random field against all labellings written out; marks that nothing crosses; what it learns."""

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from rnn_core import bptt, networks, optim
from rnn_core.heads.chains import lay_out
from rnn_core.heads.crf import CrfHead
from rnn_core.heads.softmax import SoftmaxHead
from rnn_core.lanes import Window
from rnn_core.models import tagging

H = 4


def head_of(classes: int, scale: float = 1.0, seed: int = 0) -> CrfHead:
    torch.manual_seed(seed)
    head = CrfHead(H, classes).double()
    for parameter in head.parameters():
        torch.nn.init.normal_(parameter, std=scale)
    return head


def sequences_of(starts_TB: Tensor, valid_TB: Tensor) -> list[list[tuple[int, int]]]:
    """The steps (t, b) of each sequence, by a plain walk through the lanes."""
    sequences: list[list[tuple[int, int]]] = []
    for lane in range(starts_TB.shape[1]):
        inside = False
        for t in range(len(starts_TB)):
            if not valid_TB[t, lane]:
                inside = False
                continue
            if starts_TB[t, lane] or not inside:
                sequences.append([])
            sequences[-1].append((t, lane))
            inside = True
    return sequences


def labellings(head: CrfHead, hidden_TBH: Tensor, steps: list[tuple[int, int]]) -> tuple[list[tuple[int, ...]], Tensor]:
    """All labellings of a sequence, and the score of each."""
    scores = [head.weight @ hidden_TBH[step] + head.bias for step in steps]
    ways = list(itertools.product(range(len(head.first)), repeat=len(steps)))
    found = []
    for way in ways:
        score = head.first[way[0]] + head.last[way[-1]] + sum(s[label] for s, label in zip(scores, way, strict=True))
        found.append(score + sum(head.between[pair] for pair in itertools.pairwise(way)))
    return ways, torch.stack(found)


def window_of(starts_TB: Tensor, valid_TB: Tensor, **fields: Tensor) -> Window:
    return Window(fields=fields, starts_TB=starts_TB, valid_TB=valid_TB, epoch=0)


@st.composite
def cases(draw: st.DrawFn) -> tuple[Tensor, Tensor, int, int]:
    steps, lanes, classes = draw(st.integers(1, 5)), draw(st.integers(1, 3)), draw(st.integers(1, 3))
    marks = st.lists(st.booleans(), min_size=steps * lanes, max_size=steps * lanes)
    starts_TB, padding_TB = (torch.tensor(draw(marks)).view(steps, lanes) for _ in range(2))
    return starts_TB, ~padding_TB, classes, draw(st.integers(0, 99))


@settings(deadline=None, max_examples=60)
@given(cases())
def test_loss_gradients_and_decisions_are_those_of_all_labellings_written_out(
    case: tuple[Tensor, Tensor, int, int],
) -> None:
    starts_TB, valid_TB, classes, seed = case
    head = head_of(classes, seed=seed)
    hidden_TBH = torch.randn(*valid_TB.shape, H, dtype=torch.float64, requires_grad=True)
    targets_TB = torch.randint(classes, valid_TB.shape)
    expected_loss, p_TBV = hidden_TBH.sum() * 0, torch.zeros(*valid_TB.shape, classes, dtype=torch.float64)
    best_TB = torch.zeros_like(targets_TB)
    for steps in sequences_of(starts_TB, valid_TB):
        ways, scores = labellings(head, hidden_TBH, steps)
        right = ways.index(tuple(int(targets_TB[step]) for step in steps))
        expected_loss = expected_loss + scores.logsumexp(0) - scores[right]
        for step, label in zip(steps, ways[int(scores.argmax())], strict=True):
            best_TB[step] = label
        for way, p in zip(ways, scores.detach().softmax(0), strict=True):
            for step, label in zip(steps, way, strict=True):
                p_TBV[(*step, label)] += p
    loss, count = head.loss(hidden_TBH, targets_TB, valid_TB, starts_TB)
    assert count == int(valid_TB.sum())
    torch.testing.assert_close(loss, expected_loss, rtol=1e-9, atol=1e-9)
    weights = [hidden_TBH, *head.parameters()]
    # A factor, so that a gradient which is not 1 reaches the loss.
    mine = torch.autograd.grad(loss * 0.7, weights)
    theirs = torch.autograd.grad(expected_loss * 0.7, weights, allow_unused=True)
    for gradient, other in zip(mine, theirs, strict=True):
        other = torch.zeros_like(gradient) if other is None else other
        torch.testing.assert_close(gradient, other, rtol=1e-9, atol=1e-9)
    with torch.no_grad():
        assert torch.equal(head.decide(window_of(starts_TB, valid_TB), hidden_TBH), best_TB)
        torch.testing.assert_close(
            head.marginals(window_of(starts_TB, valid_TB), hidden_TBH), p_TBV, rtol=1e-9, atol=1e-9
        )


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 40), st.integers(1, 6), st.integers(0, 99))
def test_steps_are_laid_out_by_their_places(steps: int, lanes: int, seed: int) -> None:
    torch.manual_seed(seed)
    starts_TB, valid_TB = torch.rand(steps, lanes) < 0.2, torch.rand(steps, lanes) < 0.9
    chains, sequences = lay_out(starts_TB, valid_TB), sequences_of(starts_TB, valid_TB)
    rows = chains.steps_M.tolist()
    assert sorted(rows) == sorted(t * lanes + b for sequence in sequences for t, b in sequence)
    assert sum(chains.sizes) == len(rows)
    place = {t * lanes + b: (k, len(s) - 1 - k) for s in sequences for k, (t, b) in enumerate(s)}
    sizes = [place[step][0] for step in rows]
    assert sizes == [k for k, size in enumerate(chains.sizes) for _ in range(size)]
    assert [place[rows[mirror]][1] for mirror in range(len(rows))] == [sizes[m] for m in chains.mirror_M]
    for row, before in enumerate(chains.before_M.tolist(), chains.sequences):
        assert rows[before] == rows[row] - lanes


@pytest.mark.parametrize("scale", [1e-3, 30.0])
def test_long_sequences_with_large_and_small_scores_stay_exact(scale: float) -> None:
    """The recursion in logarithms, a step at a time."""
    head = head_of(7, scale)
    hidden_TBH, targets_TB = torch.randn(200, 2, H, dtype=torch.float64), torch.randint(7, (200, 2))
    starts_TB = torch.zeros(200, 2, dtype=torch.bool)
    loss, _ = head.loss(hidden_TBH, targets_TB, ~starts_TB, starts_TB)
    scores_TBV = head.predict(hidden_TBH)
    log_BV = head.first + scores_TBV[0]
    for scores_BV in scores_TBV[1:]:
        log_BV = (log_BV[:, :, None] + head.between).logsumexp(1) + scores_BV
    right_B = (
        head.first[targets_TB[0]] + head.last[targets_TB[-1]] + scores_TBV.gather(2, targets_TB[..., None]).sum(0)[:, 0]
    )
    right_B = right_B + head.between[targets_TB[:-1], targets_TB[1:]].sum(0)
    torch.testing.assert_close(loss, ((log_BV + head.last).logsumexp(1) - right_B).sum(), rtol=1e-10, atol=1e-8)


def test_float32_is_near_float64() -> None:
    head, valid_TB = head_of(17), torch.ones(64, 8, dtype=torch.bool)
    hidden_TBH, targets_TB = torch.randn(64, 8, H, dtype=torch.float64), torch.randint(17, (64, 8))
    starts_TB = torch.rand(64, 8) < 0.1
    exact, _ = head.loss(hidden_TBH, targets_TB, valid_TB, starts_TB)
    loss, _ = head.float().loss(hidden_TBH.float(), targets_TB, valid_TB, starts_TB)
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss.double(), exact, rtol=1e-6, atol=0)


def test_padding_is_not_read_and_an_empty_window_costs_nothing() -> None:
    head = head_of(3)
    valid_TB = torch.tensor([[1, 1, 0], [1, 1, 0], [0, 1, 0]], dtype=torch.bool)
    starts_TB = torch.tensor([[1, 1, 1], [0, 1, 0], [1, 0, 0]], dtype=torch.bool)
    hidden_TBH, targets_TB = torch.randn(3, 3, H, dtype=torch.float64), torch.randint(3, (3, 3))
    loss, _ = head.loss(hidden_TBH, targets_TB, valid_TB, starts_TB)
    hidden_TBH[~valid_TB], targets_TB[~valid_TB] = torch.nan, -1
    hidden_TBH.requires_grad_()
    again, count = head.loss(hidden_TBH, targets_TB, valid_TB, starts_TB)
    again.backward()
    assert torch.equal(again, loss)
    assert count == 5
    assert (hidden_TBH.grad[~valid_TB] == 0).all()
    assert (hidden_TBH.grad[valid_TB] != 0).all()
    head.zero_grad()
    none, count = head.loss(hidden_TBH, targets_TB, torch.zeros_like(valid_TB), starts_TB)
    none.backward()
    assert (none.item(), count) == (0, 0)
    assert all((parameter.grad == 0).all() for parameter in head.parameters())
    assert (head.decide(window_of(starts_TB, torch.zeros_like(valid_TB)), hidden_TBH) == 0).all()


def test_without_scores_between_it_is_a_softmax() -> None:
    head = head_of(3, scale=0.0)
    hidden_TBH, targets_TB = torch.randn(6, 2, H, dtype=torch.float64), torch.randint(3, (6, 2))
    starts_TB = torch.rand(6, 2) < 0.3
    valid_TB = torch.rand(6, 2) < 0.8
    softmax = SoftmaxHead(H, 3).double()
    with torch.no_grad():
        head.weight.copy_(softmax.weight)
    window = window_of(starts_TB, valid_TB, targets_TB=targets_TB)
    torch.testing.assert_close(head.loss_of(window, hidden_TBH)[0], softmax.loss_of(window, hidden_TBH)[0])
    decided = [h.decide(window, hidden_TBH)[valid_TB] for h in (head, softmax)]
    assert torch.equal(*decided)


def network_of(head: str) -> networks.Network:
    torch.manual_seed(0)
    config = tagging.Config(
        cell="elman",
        hidden_size=8,
        num_layers=1,
        input_dropout=0.0,
        dropout=0.0,
        embedding_size=4,
        bidirectional=False,
        word_dropout=0.0,
        min_count=1,
        characters=None,
        head=head,
    )
    return networks.network("tagging", config, tagging.Sizes(words=5, characters=1, tags=3))


def test_it_learns_what_no_step_alone_shows() -> None:
    """Tags 0 1 2 0 1 2 ... from anywhere, by words of which only the fourth says which. The network reads forward, so
    the tags before that word follow from the head's own scores between tags alone."""
    torch.manual_seed(3)
    shift_B = torch.randint(3, (16,))
    targets_TB = (torch.arange(6)[:, None] + shift_B) % 3
    words_TB = torch.ones(6, 16, dtype=torch.int64)
    words_TB[3] = 2 + targets_TB[3] % 3
    starts_TB = torch.zeros(6, 16, dtype=torch.bool)
    starts_TB[0] = True
    valid_TB = torch.ones_like(starts_TB)
    window = window_of(starts_TB, valid_TB, words_TB=words_TB, targets_TB=targets_TB)
    right = {}
    for name in ("softmax", "crf"):
        network = network_of(name)
        optimizer = optim.optimizer(optim.OptimizerConfig(name="adamw", rate=0.05), network.parameters())
        state = bptt.TrainState(network=network, optimizer=optimizer, carry=())
        steps = list(itertools.islice(bptt.fit(state, lambda n: window, rate=lambda n: 0.05, clip=1.0), 60))
        assert steps[-1].loss < steps[0].loss
        hidden_TBH, _ = network(window, ())
        right[name] = float((network.decide(window, hidden_TBH) == targets_TB).double().mean())
    # Before the word that tells, a network that has not read it can only guess.
    assert right["crf"] == 1.0
    assert right["softmax"] < 0.9
