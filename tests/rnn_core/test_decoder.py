"""The decoder: all at once equals step by step, whatever the cell and the feeding; lanes, hypotheses, start states."""

import dataclasses

import pytest
import torch

from rnn_core.attention import AttentionConfig
from rnn_core.cells import CELLS
from rnn_core.dropout import Draws
from rnn_core.errors import ConfigError
from rnn_core.models.decoder import Decoder, DecoderConfig

T, B, S, E, H, M, OUT = 4, 3, 5, 6, 7, 8, 9
ADDITIVE = AttentionConfig(score="additive", size=4)
MULTIPLICATIVE = AttentionConfig(score="multiplicative")
COVERING = AttentionConfig(score="additive", size=4, coverage=True)
KINDS = [
    (attention, feeding)
    for attention in (None, ADDITIVE, MULTIPLICATIVE, COVERING)
    for feeding in ("none", "output", "context")
    if attention or feeding != "context"
]
PLAIN = {"hidden_size": H, "num_layers": 2, "input_dropout": 0.0, "dropout": 0.0, "embedding_size": E}


def decoder_of(cell="lstm", attention=MULTIPLICATIVE, feeding="none", **options):
    torch.manual_seed(0)
    config = DecoderConfig(cell=cell, attention=attention, feeding=feeding, **PLAIN | options)
    decoder = Decoder(config, M, OUT).double()
    for parameter in decoder.parameters():
        if not parameter.any():
            torch.nn.init.normal_(parameter)
    return decoder


def inputs(seed=0):
    random = torch.Generator().manual_seed(seed)
    x_TBE, values_BSM = (torch.randn(size, generator=random, dtype=torch.float64) for size in ((T, B, E), (B, S, M)))
    return x_TBE, values_BSM, torch.arange(S) < torch.tensor([[5], [2], [3]])


def one_by_one(decoder, x_TBE, memory, width=1):
    """o_TBO and weights_BTS by steps as a search takes them, every hypothesis given the same tokens."""
    state = decoder.start(memory)
    carry = tuple(tuple(s[:, None].expand(-1, width, -1) for s in layer) for layer in state.carry)
    others = [None if s is None else s[:, None].expand(-1, width, -1) for s in state[1:]]
    state, outputs, weights = type(state)(carry, *others), [], []
    for x_BE in x_TBE:
        o_BKO, weights_BKS, state = decoder.step(x_BE[:, None].expand(-1, width, -1), memory, state)
        torch.testing.assert_close(o_BKO, o_BKO[:, :1].expand_as(o_BKO))
        outputs.append(o_BKO[:, 0])
        weights.append(weights_BKS if weights_BKS is None else weights_BKS[:, 0])
    return torch.stack(outputs), None if weights[0] is None else torch.stack(weights, 1)


def check_all_at_once(decoder):
    x_TBE, values_BSM, valid_BS = inputs()
    memory = decoder.remember(values_BSM, valid_BS)
    o_TBO, weights_BTS = decoder(x_TBE, memory, None)
    expected_TBO, expected_BTS = one_by_one(decoder, x_TBE, memory, width=2)
    assert o_TBO.shape == (T, B, OUT)
    torch.testing.assert_close(o_TBO, expected_TBO)
    assert (weights_BTS is None) == (expected_BTS is None) == (decoder.attention is None)
    if weights_BTS is not None:
        torch.testing.assert_close(weights_BTS, expected_BTS)


@pytest.mark.parametrize("cell", CELLS)
def test_every_cell_says_the_same_all_at_once_and_step_by_step(cell):
    check_all_at_once(decoder_of(cell))


@pytest.mark.parametrize(("attention", "feeding"), KINDS)
def test_so_does_every_way_to_attend_and_feed(attention, feeding):
    check_all_at_once(decoder_of("gru", attention, feeding))
    check_all_at_once(decoder_of("memoryless", attention, feeding))


@pytest.mark.parametrize(("attention", "feeding"), KINDS)
def test_lanes_and_padding_of_the_memory_are_not_seen(attention, feeding):
    decoder = decoder_of(attention=attention, feeding=feeding)
    x_TBE, values_BSM, valid_BS = inputs()
    o_TBO, _ = decoder(x_TBE, decoder.remember(values_BSM, valid_BS), None)
    alone, valid_1S = values_BSM[1:2].clone(), valid_BS[1:2]
    alone[0, 2:] = 1e6
    o_T1O, _ = decoder(x_TBE[:, 1:2], decoder.remember(alone, valid_1S), None)
    torch.testing.assert_close(o_T1O, o_TBO[:, 1:2])


def test_a_step_sees_the_past_of_its_own_sequence_only():
    for attention, feeding in KINDS:
        decoder = decoder_of(attention=attention, feeding=feeding)
        x_TBE, values_BSM, valid_BS = inputs()
        memory = decoder.remember(values_BSM, valid_BS)
        before = decoder(x_TBE, memory, None)[0]
        x_TBE[2, 1] += 1
        after = decoder(x_TBE, memory, None)[0]
        changed_TB = (before != after).any(2)
        assert changed_TB[2:, 1].all()
        assert not changed_TB[:2].any()
        assert not changed_TB[:, [0, 2]].any()


@pytest.mark.parametrize("cell", CELLS)
def test_the_memory_decides_the_start_state(cell):
    decoder = decoder_of(cell, attention=None)
    x_TBE, values_BSM, valid_BS = inputs()
    values_BSM.requires_grad_()
    o_TBO, _ = decoder(x_TBE, decoder.remember(values_BSM, valid_BS), None)
    o_TBO.square().sum().backward()
    if cell == "memoryless":
        assert values_BSM.grad is None or not values_BSM.grad.any()
    else:
        assert (values_BSM.grad != 0).any(2).equal(valid_BS)


@pytest.mark.parametrize("feeding", ["none", "output", "context"])
def test_dropout_has_one_mask_a_lane_whichever_way_the_steps_are_taken(feeding):
    decoder = decoder_of("elman", feeding=feeding, dropout=0.5, input_dropout=0.5)
    x_TBE, values_BSM, valid_BS = inputs()
    draws = Draws(seed=1, update=2, lanes_B=torch.arange(B))
    memory = decoder.remember(values_BSM, valid_BS)
    o_TBO, _ = decoder(x_TBE, memory, draws)
    dropped_TBO = o_TBO == 0
    assert dropped_TBO.equal(dropped_TBO[:1].expand_as(dropped_TBO))
    assert 0.2 < dropped_TBO.double().mean() < 0.8
    again = decoder(x_TBE, memory, draws)[0]
    other = decoder(x_TBE, memory, dataclasses.replace(draws, update=3))[0]
    assert torch.equal(o_TBO, again)
    assert not torch.equal(o_TBO, other)
    alone = dataclasses.replace(draws, lanes_B=torch.tensor([1]))
    o_T1O, _ = decoder(x_TBE[:, 1:2], decoder.remember(values_BSM[1:2], valid_BS[1:2]), alone)
    torch.testing.assert_close(o_T1O, o_TBO[:, 1:2])


def test_its_draws_are_its_own():
    config = DecoderConfig(cell="lstm", attention=None, **PLAIN)
    first = Decoder(config, M, OUT, first_mask=3)
    assert first.next_mask == first.stack.next_mask + 1


def test_context_is_fed_with_attention_only():
    with pytest.raises(ConfigError, match="model.feeding: found context without attention"):
        DecoderConfig(cell="lstm", attention=None, feeding="context", **PLAIN)
