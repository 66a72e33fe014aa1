"""Word vectors of a file in the tasks that read words one by one."""

import hashlib

import pytest
import torch

from pipelines import networks, tasks

LAYER = {"cell": "gru", "hidden_size": 4, "num_layers": 1, "input_dropout": 0.0, "dropout": 0.0, "embedding_size": 3}
MODELS = {
    "language_model": LAYER | {"tie": True},
    "pos_tagging": LAYER | {"bidirectional": True, "word_dropout": 0.0, "min_count": 1, "characters": None},
}
WORDS = ["<pad>", "<unk>", "tide", "moon"]
SIDECAR = {"words": WORDS, "word_counts": [0, 0, 3, 2], "characters": [], "tags": ["NOUN"], "level": "word"}


@pytest.mark.parametrize("task", MODELS)
def test_known_words_begin_with_their_vectors(task, tmp_path, capsys):
    content = b"tide 3 1 2\nsun 1 2 3\n"
    (tmp_path / "v.txt").write_bytes(content)
    module = tasks.load(task)
    model = MODELS[task] | {"vectors": {"path": "v.txt", "sha256": hashlib.sha256(content).hexdigest()}}
    network = networks.build(module, model, SIDECAR)
    weight = network.model.embedding.weight
    before = weight.detach().clone()
    module.begin(network, model, SIDECAR, tmp_path)
    assert (weight != before).any(1).tolist() == [word == "tide" for word in WORDS]
    assert torch.equal(weight[2].argsort(), torch.tensor([1, 2, 0]))
    assert f"{task}: 1 of 4 words begin with vectors of a file" in capsys.readouterr().out


@pytest.mark.parametrize("task", MODELS)
def test_a_block_that_names_none_begins_as_it_was_drawn(task, tmp_path):
    module = tasks.load(task)
    network = networks.build(module, MODELS[task], SIDECAR)
    before = network.model.embedding.weight.detach().clone()
    module.begin(network, MODELS[task], SIDECAR, tmp_path)
    assert torch.equal(network.model.embedding.weight, before)
