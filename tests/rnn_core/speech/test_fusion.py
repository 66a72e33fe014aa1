"""A trained language model beside a search: states as those of reading the string, scores as a sum by hand."""

import numpy as np
import pytest
import torch

from rnn_core import networks
from rnn_core.lanes import Window
from rnn_core.models import language_model
from rnn_core.speech.ctc_decoding import Search
from rnn_core.speech.fusion import TrainedLanguageModel

END, TOKENS = 4, [2, 0, 3]
"""Of a vocabulary of 6; the labels are the classes 1 to 3."""


def network_of(cell: str) -> networks.Network:
    torch.manual_seed(4)
    options = {"embedding_size": 5, "hidden_size": 6, "num_layers": 2, "input_dropout": 0.0, "dropout": 0.0}
    config = language_model.Config(cell=cell, tie=False, **options)
    return networks.network("language_model", config, language_model.Sizes(vocabulary=6)).eval()


@torch.no_grad()
def read_whole(network: networks.Network, labels: list[int]) -> np.ndarray:
    """log_p_TV of what follows the end mark and each label, as one window."""
    tokens_TB = torch.tensor([END, *(TOKENS[label - 1] for label in labels)])[:, None]
    starts_TB = torch.arange(len(tokens_TB))[:, None] == 0
    window = Window(fields={"tokens_TB": tokens_TB}, starts_TB=starts_TB, valid_TB=starts_TB | True, epoch=0)
    hidden_TBH, _ = network(window, network.initial_carry(1))
    return network.head.predict(hidden_TBH)[:, 0].double().log_softmax(1)[:, [END, *TOKENS]].numpy()


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_states_are_those_of_reading_the_string(cell: str) -> None:
    network = network_of(cell)
    model = TrainedLanguageModel(network, TOKENS, END)
    strings = [[1, 2, 3], [3, 3, 1]]
    log_p_NV, states = model([None, None], [None, None])
    found = [log_p_NV]
    for labels in zip(*strings, strict=True):
        log_p_NV, states = model(states, labels)
        found.append(log_p_NV)
    for number, string in enumerate(strings):
        np.testing.assert_allclose([step[number] for step in found], read_whole(network, string), atol=1e-6)


def test_a_search_adds_its_logarithms() -> None:
    network = network_of("lstm")
    p_TV = np.random.default_rng(1).dirichlet(np.ones(4), 3)
    search = Search(width=1000, language_model=TrainedLanguageModel(network, TOKENS, END), weight=0.7, bonus=0.2)
    beam = search.advance(search.start(), np.log(p_TV))
    plain = Search(width=1000)
    heard = plain.advance(plain.start(), np.log(p_TV))
    scores = dict(zip(heard.strings, heard.score_K, strict=True))
    assert beam.next_KV is not None
    for string, score, next_V in zip(beam.strings, beam.score_K, beam.next_KV, strict=True):
        log_p_TV = read_whole(network, list(string))
        told = sum(log_p_TV[place, label] for place, label in enumerate(string))
        assert score == pytest.approx(scores[string] + 0.7 * told + 0.2 * len(string))
        np.testing.assert_allclose(next_V, log_p_TV[-1], atol=1e-6)
