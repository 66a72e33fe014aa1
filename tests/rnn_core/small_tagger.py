"""A bidirectional tagger of a few weights, and a window of made-up sentences for it."""

import numpy as np
import torch

from rnn_core import arrow, networks
from rnn_core.lanes import Windows
from rnn_core.models import tagging

STEPS = 12


def tagger(cell):
    torch.manual_seed(2)
    config = tagging.Config(
        cell=cell, embedding_size=4, hidden_size=5, num_layers=1, bidirectional=True, input_dropout=0.1, dropout=0.1,
        word_dropout=0.1, min_count=1, characters=None,
    )  # fmt: skip
    return networks.network("tagging", config, tagging.Sizes(words=9, characters=3, tags=4)).double()


def sentences(*lengths):
    random, rows = np.random.default_rng(1), []
    for n in lengths:
        words, tags = random.integers(2, 9, n), random.integers(0, 4, n)
        rows.append({"words": words, "tags": tags, "characters": np.ones(n, np.int32), "ends": np.arange(1, n + 1)})
    columns = arrow.from_rows([{k: v.astype(np.int32) for k, v in row.items()} for row in rows], "tagging")
    filling = tagging.filling(columns, lanes=2, window=STEPS, seed=None, carries=False)
    return Windows(filling=filling, assemble=tagging.assemble(columns), lanes=slice(0, 2))(0)
