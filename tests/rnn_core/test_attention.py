"""Attention against a plain loop over lanes, queries and places; masks, coverage, settings."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rnn_core import attention
from rnn_core.attention import Additive, AttentionConfig, Multiplicative
from rnn_core.errors import ConfigError

H, M, A = 5, 3, 4


def configs():
    scores = [{"score": "additive", "size": A}, {"score": "multiplicative"}]
    return [AttentionConfig(**score, coverage=coverage) for score in scores for coverage in (False, True)]


def case(config, B=3, T=4, S=6, seed=0):
    """An attention whose weights are all drawn, with queries, memory and coverage."""
    torch.manual_seed(seed)
    attend = attention.make(config, H, M).double()
    for parameter in attend.parameters():
        torch.nn.init.normal_(parameter)
    query_BTH, values_BSM = (torch.randn(size, dtype=torch.float64) for size in ((B, T, H), (B, S, M)))
    valid_BS = torch.arange(S) < torch.randint(1, S + 1, (B, 1))
    coverage_BTS = torch.rand(B, T, S, dtype=torch.float64) if config.coverage else None
    return attend, query_BTH, values_BSM, valid_BS, coverage_BTS


def plain(attend, query_H, values_SM, valid_S, coverage_S):
    """Context and weights of one query, from the equations of the module's docstring."""
    scores = []
    for s, m_M in enumerate(values_SM):
        if isinstance(attend, Additive):
            inner_A = attend.of_memory.weight @ m_M + attend.of_query.weight @ query_H + attend.of_memory.bias
            if coverage_S is not None:
                inner_A = inner_A + attend.u_A * coverage_S[s]
            scores.append(attend.v_A @ inner_A.tanh())
        else:
            score = query_H @ (attend.of_memory.weight @ m_M)
            scores.append(score if coverage_S is None else score + attend.u * coverage_S[s])
    total = sum(score.exp() for score, valid in zip(scores, valid_S, strict=True) if valid)
    weights = [score.exp() / total if valid else 0 * score for score, valid in zip(scores, valid_S, strict=True)]
    return sum(a * m_M for a, m_M in zip(weights, values_SM, strict=True)), torch.stack(weights)


@pytest.mark.parametrize("config", configs(), ids=str)
@settings(max_examples=15)
@given(sizes=st.tuples(st.integers(1, 3), st.integers(1, 3), st.integers(1, 5)), seed=st.integers(0, 99))
def test_context_and_weights_are_those_of_a_plain_loop(config, sizes, seed):
    attend, query_BTH, values_BSM, valid_BS, coverage_BTS = case(config, *sizes, seed=seed)
    context_BTM, weights_BTS = attend(query_BTH, attend.remember(values_BSM, valid_BS), coverage_BTS)
    for b, t in torch.ones(sizes[:2]).nonzero().tolist():
        coverage_S = None if coverage_BTS is None else coverage_BTS[b, t]
        context_M, weights_S = plain(attend, query_BTH[b, t], values_BSM[b], valid_BS[b], coverage_S)
        torch.testing.assert_close(context_BTM[b, t], context_M)
        torch.testing.assert_close(weights_BTS[b, t], weights_S)


@pytest.mark.parametrize("config", configs(), ids=str)
def test_padding_weighs_nothing_and_gets_no_gradient(config):
    attend, query_BTH, values_BSM, valid_BS, coverage_BTS = case(config)
    valid_BS[0], valid_BS[1] = torch.arange(6) < 2, True
    values_BSM.requires_grad_()
    context_BTM, weights_BTS = attend(query_BTH, attend.remember(values_BSM, valid_BS), coverage_BTS)
    assert (weights_BTS[0, :, 2:] == 0).all()
    assert (weights_BTS[1] > 0).all()
    torch.testing.assert_close(weights_BTS.sum(2), torch.ones_like(weights_BTS[:, :, 0]))
    context_BTM.square().sum().backward()
    assert (values_BSM.grad[0, 2:] == 0).all()
    assert (values_BSM.grad[1] != 0).all()


@pytest.mark.parametrize("config", configs(), ids=str)
def test_a_lane_of_padding_alone_is_finite(config):
    attend, query_BTH, values_BSM, valid_BS, coverage_BTS = case(config)
    valid_BS[0] = False
    context_BTM, weights_BTS = attend(query_BTH, attend.remember(values_BSM, valid_BS), coverage_BTS)
    torch.testing.assert_close(weights_BTS[0], torch.full((4, 6), 1 / 6, dtype=torch.float64))
    context_BTM.sum().backward()
    assert all(p.grad.isfinite().all() for p in attend.parameters())


@pytest.mark.parametrize("config", configs(), ids=str)
def test_gradients_are_those_of_finite_differences(config):
    attend, query_BTH, values_BSM, valid_BS, coverage_BTS = case(config, 2, 2, 3)

    def context(query_BTH, values_BSM, *weights):
        # gradcheck moves the weights in place, so the attention's own are those given.
        return attend(query_BTH, attend.remember(values_BSM, valid_BS), coverage_BTS)[0]

    inputs = [query_BTH.requires_grad_(), values_BSM.requires_grad_(), *attend.parameters()]
    assert torch.autograd.gradcheck(context, inputs)


def test_coverage_begins_without_influence():
    for config in configs():
        if config.coverage:
            attend = attention.make(config, H, M)
            query_BTH, values_BSM, valid_BS = torch.randn(2, 3, H), torch.randn(2, 4, M), torch.ones(2, 4).bool()
            memory = attend.remember(values_BSM, valid_BS)
            none, much = (attend(query_BTH, memory, torch.full((2, 3, 4), u))[0] for u in (0.0, 5.0))
            assert torch.equal(none, much)


@pytest.mark.parametrize("config", configs(), ids=str)
def test_autocast_rounds_neither_scores_nor_means(config):
    attend, query_BTH, values_BSM, valid_BS, coverage_BTS = case(config)
    attend, values_BSM = attend.float(), torch.ones_like(values_BSM).float() / 3
    memory = attend.remember(values_BSM, valid_BS)
    coverage_BTS = None if coverage_BTS is None else coverage_BTS.float()
    with torch.autocast("cpu", torch.bfloat16):
        context_BTM, weights_BTS = attend(query_BTH.float(), memory, coverage_BTS)
    assert (context_BTM.dtype, weights_BTS.dtype) == (torch.float32, torch.float32)
    torch.testing.assert_close(context_BTM, torch.full_like(context_BTM, 1 / 3), rtol=1e-6, atol=0)


@pytest.mark.parametrize(("score", "size"), [("additive", None), ("multiplicative", 4), ("additive", 0)])
def test_the_size_belongs_to_the_additive_score(score, size):
    with pytest.raises(ConfigError, match="model.attention.size"):
        AttentionConfig(score=score, size=size)


def test_sizes():
    assert isinstance(attention.make(AttentionConfig(score="multiplicative"), H, M), Multiplicative)
    assert attention.make(AttentionConfig(score="additive", size=A), H, M).v_A.shape == (A,)
