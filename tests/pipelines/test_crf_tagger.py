"""A tagger whose head tags a sentence as a whole: what is measured and what is answered is what the head decides."""

import numpy as np
import pytest
import torch

from pipelines import networks, tasks
from rnn_core import arrow
from rnn_core.lanes import Windows
from rnn_core.models import tagging

POS = tasks.load("pos_tagging")
TEXTS = ["the cat sat on the mat", "so it did", "cats sit", "mat", "the mat did sit on cats so the cat sat"]
MODEL = {
    "cell": "gru",
    "hidden_size": 5,
    "num_layers": 1,
    "input_dropout": 0.0,
    "dropout": 0.0,
    "embedding_size": 4,
    "bidirectional": True,
    "word_dropout": 0.0,
    "min_count": 1,
    "characters": {"cell": "gru", "embedding_size": 3, "hidden_size": 2},
    "head": "crf",
}


@pytest.fixture(scope="module")
def tagger():
    """Network, sidecar and sentences; scores between tags so large that they decide, not the steps alone."""
    sentences = [POS.Sentence(tuple(words), tuple(tags_of(words)), 1) for words in map(str.split, TEXTS)]
    sidecar = POS.sidecar(POS.count(sentences), POS.Data(max_length=20, too_long="split"))
    torch.manual_seed(2)
    network = networks.build(POS, MODEL, sidecar).eval()
    for weight in (network.head.between, network.head.first, network.head.last):
        torch.nn.init.normal_(weight, std=2.0)
    return network, sidecar, sentences


def tags_of(words):
    return [POS.TAGS[len(word) % len(POS.TAGS)] for word in words]


def decided_alone(network, sidecar, sentence):
    """Names of the tags of a sentence that has a window for itself."""
    columns = arrow.from_rows([POS.encoder(sidecar)(sentence)], POS.KIND)
    filling = tagging.filling(columns, lanes=1, window=len(sentence.words), seed=None, carries=False)
    window = Windows(filling=filling, assemble=tagging.assemble(columns), lanes=slice(0, 1))(0)
    with torch.no_grad():
        hidden_TBH, _ = network(window, ())
        alone_T = network.head.predict(hidden_TBH).argmax(2)[:, 0]
        decided_T = network.decide(window, hidden_TBH)[:, 0]
    return [sidecar["tags"][tag] for tag in decided_T], bool((alone_T != decided_T).any())


def test_answers_are_the_heads_decisions(tagger):
    network, sidecar, sentences = tagger
    expected = [decided_alone(network, sidecar, sentence) for sentence in sentences]
    assert [answer["tags"] for answer in POS.answers(network, TEXTS, sidecar)] == [tags for tags, _ in expected]
    assert any(differs for _, differs in expected)


def test_measures_are_of_the_heads_decisions(tagger):
    network, sidecar, sentences = tagger
    columns = arrow.from_rows([POS.encoder(sidecar)(sentence) for sentence in sentences], POS.KIND)
    filling = tagging.filling(columns, lanes=2, window=12, seed=None, carries=False)
    windows = Windows(filling=filling, assemble=tagging.assemble(columns), lanes=slice(0, 2))
    sums = POS.measure(network, windows, sidecar)
    pairs = [
        (right, said)
        for sentence in sentences
        for right, said in zip(sentence.tags, decided_alone(network, sidecar, sentence)[0], strict=True)
    ]
    counts = np.zeros((len(POS.TAGS), len(POS.TAGS)))
    for right, said in pairs:
        counts[POS.TAGS.index(right), POS.TAGS.index(said)] += 1
    assert (sums["all"].numpy() == counts).all()
    accuracy = 100 * np.mean([right == said for right, said in pairs])
    assert POS.metrics(sums, sidecar)["accuracy"] == pytest.approx(accuracy)
