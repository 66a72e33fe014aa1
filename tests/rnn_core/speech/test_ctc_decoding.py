"""Best path, search and alignment, each against all paths of tiny sequences; pieces give what the whole gives."""

import itertools
from collections import defaultdict

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rnn_core import networks
from rnn_core.models import recognition
from rnn_core.speech.ctc_alignment import align, steps_needed
from rnn_core.speech.ctc_decoding import Search, best_path, listen

WIDE = 10_000


def log_p(seed: int, steps: int = 5, classes: int = 3) -> np.ndarray:
    logits_TV = 2 * np.random.default_rng(seed).normal(size=(steps, classes))
    return logits_TV - np.log(np.exp(logits_TV).sum(1, keepdims=True))


def joined(path: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(label for label, _ in itertools.groupby(path) if label)


def all_strings(log_p_TV: np.ndarray) -> dict[tuple[int, ...], float]:
    """log P of every string, from all paths."""
    found: dict[tuple[int, ...], float] = defaultdict(float)
    for path in itertools.product(range(log_p_TV.shape[1]), repeat=len(log_p_TV)):
        found[joined(path)] += float(np.exp(sum(log_p_TV[t, v] for t, v in enumerate(path))))
    return {string: float(np.log(p)) for string, p in found.items()}


def markov(states, labels):
    """A language model for tests: what comes next depends on the last two labels; a state is the last one."""
    table = log_p(99, steps=9, classes=3).reshape(3, 3, 3)
    rows = [table[state or 0, label or 0] for state, label in zip(states, labels, strict=True)]
    return np.stack(rows), list(labels)


def markov_score(string: tuple[int, ...]) -> float:
    total, state, label = 0.0, None, None
    for after in (*string, 0):
        total += markov([state], [label])[0][0, after]
        state, label = label, after
    return total


def test_the_best_path_is_joined() -> None:
    path = [0, 1, 1, 0, 1, 2, 2, 0, 0, 2]
    assert best_path(np.eye(3)[path]) == ([1, 1, 2, 2], 2)
    assert best_path(np.eye(3)[[0, 0]]) == ([], 0)


@given(st.integers(0, 1000))
@settings(max_examples=20, deadline=None)
def test_a_wide_search_finds_the_likeliest_of_all_strings(seed: int) -> None:
    log_p_TV = log_p(seed)
    strings = all_strings(log_p_TV)
    search = Search(width=WIDE)
    beam = search.advance(search.start(), log_p_TV)
    found = dict(zip(beam.strings, beam.score_K, strict=True))
    assert set(found) == set(strings)
    for string, score in strings.items():
        assert found[string] == pytest.approx(score)
    assert tuple(search(log_p_TV)) == max(strings, key=strings.__getitem__)
    of_one = {string: score for string, score in strings.items() if len(string) == 1}
    assert tuple(Search(width=WIDE, most=1, fewest=1)(log_p_TV)) == max(of_one, key=of_one.__getitem__)


@given(st.integers(0, 1000), st.floats(0, 2), st.floats(-1, 2))
@settings(max_examples=20, deadline=None)
def test_a_language_model_shifts_the_scores(seed: int, weight: float, bonus: float) -> None:
    log_p_TV = log_p(seed, steps=4)
    scores = {s: p + weight * markov_score(s) + bonus * len(s) for s, p in all_strings(log_p_TV).items()}
    search = Search(width=WIDE, language_model=markov, weight=weight, bonus=bonus)
    assert scores[tuple(search(log_p_TV))] == pytest.approx(max(scores.values()))


def test_a_narrow_search_is_still_a_search() -> None:
    """Two paths of one string together beat the best path, which stands for another."""
    log_p_TV = np.log([[0.6, 0.4], [0.6, 0.4]])
    assert best_path(log_p_TV)[0] == []
    assert Search(width=2)(log_p_TV) == [1]
    assert Search(width=1)(np.log([[0.1, 0.8, 0.1]] * 3)) == [1]


@given(st.integers(0, 1000), st.integers(1, 6))
@settings(max_examples=20, deadline=None)
def test_pieces_give_what_the_whole_gives(seed: int, cut: int) -> None:
    log_p_TV = log_p(seed, steps=7, classes=4)
    labels, last = best_path(log_p_TV[:cut])
    more, _ = best_path(log_p_TV[cut:], last)
    assert labels + more == best_path(log_p_TV)[0]
    search = Search(width=5)
    beam = search.advance(search.advance(search.start(), log_p_TV[:cut]), log_p_TV[cut:])
    assert search.best(beam) == search(log_p_TV)


@pytest.mark.parametrize("string", [(), (1,), (1, 2), (2, 2), (1, 2, 1)])
def test_alignment_is_the_likeliest_path_of_the_string(string: tuple[int, ...]) -> None:
    for seed in range(5):
        log_p_TV = log_p(seed)
        place_T = align(log_p_TV, np.array(string, np.int64))
        path = tuple(string[place] if place >= 0 else 0 for place in place_T)
        assert joined(path) == string
        places = [place for place, _ in itertools.groupby(place_T) if place >= 0]
        assert places == list(range(len(string)))
        paths = itertools.product(range(3), repeat=5)
        best = max(sum(log_p_TV[t, v] for t, v in enumerate(p)) for p in paths if joined(p) == string)
        assert sum(log_p_TV[t, v] for t, v in enumerate(path)) == pytest.approx(best)


def test_steps_that_a_string_needs() -> None:
    assert [steps_needed(np.array(s, np.int64)) for s in ([], [1], [1, 1], [1, 2, 2, 2])] == [0, 1, 3, 6]


@pytest.mark.parametrize("cell", ["gru", "lstm", "lru"])
def test_an_utterance_in_chunks_is_decoded_as_the_whole(cell: str) -> None:
    torch.manual_seed(5)
    config = recognition.Config(
        cell=cell, hidden_size=8, num_layers=2, input_dropout=0.0, dropout=0.0, bidirectional=False, augment=None
    )
    network = networks.network("recognition", config, recognition.Sizes(bands=3, stack=2, classes=5)).eval()
    network.head.weight.data *= 100
    steps_TD = 5 * torch.randn(40, 6)
    whole = list(listen(network, [steps_TD]))
    assert len(whole) == 1
    assert len(whole[0]) > 5
    for sizes in ([1] * 40, [7, 1, 32], [20, 20]):
        pieces = list(listen(network, steps_TD.split(sizes)))
        assert len(pieces) == len(sizes)
        assert [label for piece in pieces for label in piece] == whole[0]
