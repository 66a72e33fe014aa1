"""A network that begins with a language model: common words, forward layers, and nothing else."""

import hashlib
import json

import pytest
import torch

from rnn_core import networks
from rnn_core.checkpoint import save_network
from rnn_core.errors import ConfigError, DataError
from rnn_core.models import classification, language_model
from rnn_core.text import transfer
from rnn_core.text.transfer import Start

PLAIN = {"cell": "lstm", "num_layers": 1, "input_dropout": 0.0, "dropout": 0.0}
THEIRS = ["the", "<unk>", "cat", "sat", "<eos>"]
OWN = ["<pad>", "<unk>", "dog", "sat", "the"]


@pytest.fixture
def trained(tmp_path):
    """A language model's folder, and the model."""
    torch.manual_seed(0)
    config = language_model.Config(**PLAIN, embedding_size=3, hidden_size=4, tie=False)
    made = networks.network("language_model", config, language_model.Sizes(vocabulary=len(THEIRS)))
    (tmp_path / "lm").mkdir()
    save_network(made, tmp_path / "lm/model.safetensors")
    (tmp_path / "lm/sidecar.json").write_text(json.dumps({"words": THEIRS}))
    digest = hashlib.sha256((tmp_path / "lm/model.safetensors").read_bytes()).hexdigest()
    return made, Start(path="lm", sha256=digest)


def classifier(**changes):
    torch.manual_seed(1)
    settings = {"embedding_size": 3, "hidden_size": 4, "bidirectional": True, "read_out": "mean", "step_dropout": 0.0}
    config = classification.Config(**PLAIN | settings | changes)
    return networks.network("classification", config, classification.Sizes(input="tokens", size=5, classes=2))


def test_common_words_and_forward_layers_are_taken_over(trained, tmp_path):
    theirs, start = trained
    made, before = classifier(), classifier().state_dict()
    weight = made.model.encoder.embedding.weight
    assert transfer.fill(weight, OWN, made.model.stack, start, tmp_path) == 3
    for row, word in enumerate(OWN):
        source = theirs.model.embedding.weight[THEIRS.index(word)] if word in THEIRS else None
        wanted = before["model.encoder.embedding.weight"][row] if source is None else source
        assert torch.equal(weight[row], wanted), word
    for name, parameter in made.state_dict().items():
        if name.startswith("model.stack.forwards"):
            assert torch.equal(parameter, theirs.state_dict()[name])
        elif "embedding" not in name:
            assert torch.equal(parameter, before[name])


def test_shapes_that_differ_are_named(trained, tmp_path):
    _, start = trained
    for changes, message in (({"embedding_size": 2}, r"model\.embedding_size"), ({"hidden_size": 5}, r"forwards\.0")):
        made = classifier(**changes)
        with pytest.raises(ConfigError, match=message):
            transfer.fill(made.model.encoder.embedding.weight, OWN, made.model.stack, start, tmp_path)


def test_another_model_than_the_block_names(trained, tmp_path):
    made, weight = classifier(), classifier().model.encoder.embedding.weight
    with pytest.raises(DataError, match=r"sha256 .*; 00 \(model\.start\.sha256\)"):
        transfer.fill(weight, OWN, made.model.stack, Start(path="lm", sha256="00"), tmp_path)
    with pytest.raises(DataError, match="none: cannot be read"):
        transfer.fill(weight, OWN, made.model.stack, Start(path="none", sha256="00"), tmp_path)
    (tmp_path / "lm/sidecar.json").write_text("{}")
    with pytest.raises(DataError, match="lm: cannot be read"):
        transfer.fill(weight, OWN, made.model.stack, trained[1], tmp_path)
