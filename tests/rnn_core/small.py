"""A language model so small that whole trainings of it are tests."""

import numpy as np
import torch

from rnn_core import arrow, bptt, networks, optim
from rnn_core.lanes import Windows
from rnn_core.models import language_model

VOCABULARY, LANES, CLIP = 7, 3, 0.5


def columns_of(tokens, firsts=None):
    rows = [{"tokens": np.array(piece, np.int32), "first": True} for piece in (firsts or [tokens])]
    return arrow.from_rows(rows, "language_model")


def windows_of(columns, window, lanes=LANES, seed=4, carries=True):
    filling = language_model.filling(columns, lanes=lanes, window=window, seed=seed, carries=carries)
    return Windows(filling=filling, assemble=language_model.assemble(columns), lanes=slice(0, lanes), seed=seed)


def network_of(cell="lstm", dropout=0.3, layers=2, **options):
    torch.manual_seed(1)
    sizes = {"embedding_size": 5, "hidden_size": 6, "num_layers": layers}
    config = language_model.Config(cell=cell, input_dropout=dropout, dropout=dropout, tie=False, **sizes, **options)
    return networks.network("language_model", config, language_model.Sizes(vocabulary=VOCABULARY)).double()


def state_of(network, lanes=LANES):
    optimizer = optim.optimizer(optim.OptimizerConfig(name="sgd", rate=0.5), network.parameters())
    return bptt.TrainState(network=network, optimizer=optimizer, carry=network.initial_carry(lanes))


def tokens(count, seed=0):
    return np.random.default_rng(seed).integers(0, VOCABULARY, count)
