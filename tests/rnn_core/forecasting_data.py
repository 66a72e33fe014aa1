"""Rows of the kind `forecasting` made up for tests, and small networks that read them."""

import numpy as np
import torch

from rnn_core import arrow, networks
from rnn_core.lanes import Windows
from rnn_core.models import forecasting
from rnn_core.series.scaling import ScalingConfig

HORIZON, LAGS = 3, (0, 1, 2, 3)


def row_of(values, origins=(), known=1, past=1, number=1, lags=LAGS):
    """A series; its covariates are functions of the step, so that a test can tell them."""
    values, steps = np.asarray(values, np.float32), len(values)
    ahead = np.arange((steps + HORIZON) * known, dtype=np.float32)
    return {
        "values": values,
        "known": ahead / 100,
        "past": np.arange(steps * past, dtype=np.float32) / 100 + 7,
        "static": [number],
        "origins": list(origins),
        "units": [2.0] * len(origins),
        "naive2": np.full(len(origins) * HORIZON, 5, np.float32),
        "lags": list(lags),
        "horizon": HORIZON,
        "series": number,
    }


def series_of(lengths, origins=None, seed=0):
    random = np.random.default_rng(seed)
    values = [random.gamma(3.0, 4.0, length).round() for length in lengths]
    origins = origins or [()] * len(lengths)
    return arrow.from_rows([row_of(v, o) for v, o in zip(values, origins, strict=True)], "forecasting")


def windows_of(columns, *, lanes, window, carries, seed=None):
    filling = forecasting.filling(columns, lanes=lanes, window=window, seed=seed, carries=carries)
    return Windows(filling=filling, assemble=forecasting.assemble(columns), lanes=slice(0, lanes), seed=seed)


def network_of(head="student_t", output="direct", cell="gru", scaling=None, **options):
    torch.manual_seed(1)
    scaling = ScalingConfig(**(scaling or {"scale": "level", "level": 2, "season": 2}))
    settings = {"hidden_size": 5, "num_layers": 1, "input_dropout": 0.0, "dropout": 0.0, "skip": True}
    settings |= {"embedding_size": 2, "context": None, "levels": (0.1, 0.5, 0.9) if head == "quantile" else None}
    config = forecasting.Config(cell=cell, head=head, output=output, scaling=scaling, **(settings | options))
    sizes = forecasting.Sizes(horizon=HORIZON, lags=LAGS, known=1, past=1, static=(3,), unit=12.0)
    network = networks.network("forecasting", config, sizes)
    for parameter in network.head.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return network
