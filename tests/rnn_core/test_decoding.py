"""Greedy and beam search against exhaustive search on tiny vocabularies; penalties, lanes, lengths."""

import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rnn_core import decoding
from rnn_core.decoding import SearchConfig
from rnn_core.errors import ConfigError

BEGIN, END, V, H, S = 0, 1, 4, 6, 3


class Tiny:
    """A random network over V tokens: attention weights and the next state from the state and the last token."""

    def __init__(self, seed: int, sharp: float = 1.5):
        random = torch.Generator().manual_seed(seed)
        self.embedding, self.w, self.out = (
            sharp * torch.randn(size, H, generator=random, dtype=torch.float64) for size in (V, H, V)
        )
        self.steps = 0

    def __call__(self, tokens_BK, memory, state):
        self.steps += tokens_BK.numel()
        (h_BKH,), (values_BSH,) = state, memory
        h_BKH = (h_BKH @ self.w.t() + self.embedding[tokens_BK]).tanh()
        weights_BKS = (h_BKH @ values_BSH.transpose(1, 2)).softmax(2)
        h_BKH = h_BKH + weights_BKS @ values_BSH
        return (h_BKH @ self.out.t()).log_softmax(2), weights_BKS, (h_BKH,)


def memory_of(lanes, seed=0):
    random = torch.Generator().manual_seed(seed)
    values_BSH = torch.randn(lanes, S, H, generator=random, dtype=torch.float64)
    return (values_BSH,), (values_BSH.mean(1)[:, None],)


def worth(model, memory, state, answer, config):
    """s(y) of one lane's answer, from the equations of the module's docstring."""
    log_p, attended_S, token = 0.0, torch.zeros(S, dtype=torch.float64), BEGIN
    for following in [*answer, END]:
        scores, weights, state = model(torch.tensor([[token]]), memory, state)
        log_p += float(scores[0, 0, following])
        attended_S += weights[0, 0]
        token = following
    penalty = ((5 + len(answer) + 1) / 6) ** config.length_penalty
    covered = sum(math.log(min(float(a), 1.0)) for a in attended_S)
    return log_p / penalty + config.coverage_penalty * covered


def best_of_all(model, memory, state, longest, config):
    others = [token for token in range(V) if token != END]
    answers = itertools.chain(*(itertools.product(others, repeat=n) for n in range(longest + 1)))
    return max((worth(model, memory, state, answer, config), answer) for answer in answers)


def lane(tree, index):
    return tuple(tensor[index : index + 1] for tensor in tree)


def found(model, memory, state, longest_B, config):
    search = {"begin": BEGIN, "end": END, "longest_B": torch.tensor(longest_B), "config": config}
    return decoding.search(model, memory, state, **search)


@settings(max_examples=25)
@given(
    seed=st.integers(0, 999),
    longest=st.lists(st.integers(0, 3), min_size=1, max_size=4),
    alpha=st.sampled_from([0.0, 0.6, 1.0, 2.0]),
    beta=st.sampled_from([0.0, 0.2, 1.0]),
)
def test_a_beam_of_all_hypotheses_finds_the_best_answer_of_all(seed, longest, alpha, beta):
    model, (memory, state) = Tiny(seed), memory_of(len(longest), seed)
    config = SearchConfig(width=27, length_penalty=alpha, coverage_penalty=beta)
    answers = found(model, memory, state, longest, config)
    for index, most in enumerate(longest):
        part = lane(memory, index), lane(state, index)
        best, expected = best_of_all(model, *part, most, config)
        assert worth(model, *part, answers[index], config) == pytest.approx(best, abs=1e-9)
        assert len(answers[index]) <= most
        assert answers[index] == list(expected)


@settings(max_examples=25)
@given(seed=st.integers(0, 999), width=st.integers(1, 5), alpha=st.sampled_from([0.0, 1.0]))
def test_lanes_do_not_see_each_other(seed, width, alpha):
    longest, (memory, state) = [6, 0, 3, 9, 5], memory_of(5, seed)
    penalties = {"length_penalty": alpha, "coverage_penalty": 0.3} if width > 1 else {}
    config = SearchConfig(**{"width": width, "length_penalty": 0.0, "coverage_penalty": 0.0} | penalties)
    model = Tiny(seed)
    together = found(model, memory, state, longest, config)
    alone = [found(model, lane(memory, b), lane(state, b), [longest[b]], config)[0] for b in range(5)]
    assert together == alone


@settings(max_examples=25)
@given(seed=st.integers(0, 999))
def test_greedy_takes_the_most_probable_token(seed):
    model, (memory, state), longest = Tiny(seed), memory_of(3, seed), [8, 2, 5]
    answers = found(model, memory, state, longest, SearchConfig(width=1, length_penalty=0.0, coverage_penalty=0.0))
    for index, most in enumerate(longest):
        expected, token, here = [], BEGIN, lane(state, index)
        while len(expected) < most:
            scores, _, here = model(torch.tensor([[token]]), lane(memory, index), here)
            token = int(scores.argmax())
            if token == END:
                break
            expected.append(token)
        assert answers[index] == expected


def test_a_wider_beam_is_no_worse_here_and_stops_when_nothing_better_is_possible():
    config = {"length_penalty": 0.0, "coverage_penalty": 0.0}
    totals = {}
    for width in (2, 27):
        totals[width] = 0.0
        for seed in range(20):
            model, (memory, state) = Tiny(seed), memory_of(1, seed)
            settings_ = SearchConfig(width=width, **config)
            (answer,) = found(model, memory, state, [3], settings_)
            totals[width] += worth(model, memory, state, answer, settings_)
    assert totals[27] >= totals[2]
    model, (memory, state) = Tiny(0, sharp=8.0), memory_of(1)
    model.out[END] += 50 * model.out[END].sign()
    found(model, memory, state, [1000], SearchConfig(width=2, **config))
    assert model.steps < 200


def test_length_penalty_prefers_longer_answers():
    lengths = []
    for alpha in (0.0, 1.0, 3.0):
        config = SearchConfig(width=8, length_penalty=alpha, coverage_penalty=0.0)
        lengths.append(sum(len(found(Tiny(seed), *memory_of(1, seed), [6], config)[0]) for seed in range(30)))
    assert lengths[0] < lengths[1] < lengths[2]


def test_a_coverage_penalty_needs_attention():
    def blind(tokens_BK, memory, state):
        scores_BKV, _, state = Tiny(0)(tokens_BK, memory, state)
        return scores_BKV, None, state

    config = SearchConfig(width=2, length_penalty=0.0, coverage_penalty=0.0)
    assert found(blind, *memory_of(1), [4], config) == found(Tiny(0), *memory_of(1), [4], config)
    with pytest.raises(ConfigError, match="model.search.coverage_penalty: found above 0 without attention"):
        found(blind, *memory_of(1), [4], SearchConfig(width=2, length_penalty=0.0, coverage_penalty=0.1))


@pytest.mark.parametrize(
    ("width", "alpha", "beta", "key"),
    [(0, 0.0, 0.0, "width"), (2, -1.0, 0.0, "length_penalty"), (1, 0.0, 0.2, "coverage_penalty")],
)
def test_settings_of_a_search(width, alpha, beta, key):
    with pytest.raises(ConfigError, match=f"model.search.{key}"):
        SearchConfig(width=width, length_penalty=alpha, coverage_penalty=beta)
