"""Where attention was: shares of one, nothing on padding, the same as the model tells itself."""

import dataclasses

import numpy as np
import pytest
import torch

from rnn_core.attention import AttentionConfig
from rnn_core.inspect import attended, source_flow
from rnn_core.models import captioning
from tests.rnn_core import test_captioning as captions
from tests.rnn_core import test_transduction as pairs

FED = [
    {},
    {"feeding": "output"},
    {"feeding": "context", "attention": AttentionConfig(score="additive", size=7, coverage=True)},
]


def window_of():
    windows = pairs.windows_of(pairs.columns_of(9))
    return dataclasses.replace(windows(0), draws=None)


@pytest.mark.parametrize("options", FED, ids=lambda options: options.get("feeding", "none"))
def test_rows_of_weights_sum_to_one_and_padding_has_none(options):
    network, window = pairs.network_of(**options), window_of()
    weights_TBS = attended(network, window)
    np.testing.assert_allclose(weights_TBS.sum(2), 1, rtol=1e-9)
    outside_BS = ~window.fields["source_valid_SB"].t()
    assert outside_BS.any()
    assert (weights_TBS[:, outside_BS] == 0).all()
    network.eval()
    torch.testing.assert_close(weights_TBS.transpose(0, 1), network.model.attended(window).detach())


def test_without_attention_there_is_nothing():
    assert attended(pairs.network_of(attention=None), window_of()) is None


def test_a_caption_looks_where_its_model_says_that_it_does():
    network = captions.network()
    windows = captions.windows_of(captions.columns_of([[[2, 3, 4], [5]], [[6, 7]]]))
    window = windows(0)
    weights_TBS = attended(network, window)
    np.testing.assert_allclose(weights_TBS[window.valid_TB].sum(1), 1, rtol=1e-5)
    network.eval()
    with torch.no_grad():
        seen = network.model.look(window.fields)
        for t, lane in (window.starts_TB & window.valid_TB).nonzero().tolist():
            image = int(window.fields["images_TB"][t, lane])
            tokens = window.fields["targets_TB"][t:, lane].tolist()
            tokens = tokens[: tokens.index(captions.END)]
            memory = captioning.Memory(*(x[image : image + 1] for x in seen.memory))
            alone = captioning.attended(network, captioning.Seen(memory, seen.whole_NE[image : image + 1]), tokens)
            torch.testing.assert_close(weights_TBS[t : t + len(tokens) + 1, lane], alone, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("options", [*FED, {"attention": None}], ids=str)
def test_the_gradient_by_a_source_is_that_of_each_step_by_itself(options):
    """Each step's loss by what the encoder says, the decoder run from there, but for what the fed output passes on."""
    network, window = pairs.network_of(**options).eval(), window_of()
    norms_TS = source_flow(network, window, 1, slice(0, 3))
    model, fields = network.model, window.fields
    x_SBE = model.source_embedding(fields["source_SB"]) * model.source_scale
    h_SBM = model.encoder(x_SBE, fields["source_starts_SB"], (), None)[0].detach().requires_grad_()
    memory = model.decoder.remember(h_SBM.transpose(0, 1), fields["source_valid_SB"].t())
    o_TBO, _ = model.decoder(model.embedding(fields["tokens_TB"]) * model.scale, memory, None)
    for t in range(3):
        only_TB = torch.zeros_like(window.valid_TB)
        only_TB[t, 1] = window.valid_TB[t, 1]
        loss, _ = network.loss(dataclasses.replace(window, valid_TB=only_TB), o_TBO)
        (of_SBM,) = torch.autograd.grad(loss, h_SBM, retain_graph=True)
        length = norms_TS.shape[1]
        assert length == int(fields["source_valid_SB"][:, 1].sum())
        np.testing.assert_allclose(norms_TS[t], of_SBM[:length, 1].norm(dim=1), rtol=1e-8, atol=1e-14)
