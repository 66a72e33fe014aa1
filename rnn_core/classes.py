"""What a trained classifier says of whole sequences: probabilities of their classes, and the sums of a split."""

from collections.abc import Iterator

import torch
from torch import Tensor

from rnn_core import bptt
from rnn_core.arrow import Columns
from rnn_core.lanes import Windows
from rnn_core.metrics.classified import Classified
from rnn_core.models import classification
from rnn_core.networks import Network
from rnn_core.readouts import sequences

LANES = 16
"""Of sequences that are no split's, at most."""


@torch.no_grad()
def judged(network: Network, windows: Windows) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """rows_N, log_p_NV (float64) and labels_N of each window's sequences, on the CPU."""
    for window, hidden_TBH in bptt.read(network, windows, network.initial_carry(windows.width)):
        where = sequences(window.starts_TB, window.valid_TB)
        log_p_NV = network.head.predict(window, hidden_TBH).double().log_softmax(1).cpu()
        rows_N, labels_N = (where.at_first(window.fields[name]).cpu() for name in ("row_TB", "label_TB"))
        yield rows_N, log_p_NV, labels_N


def measure(network: Network, windows: Windows, classes: int) -> dict[str, Tensor]:
    """The sums of `Classified` over the windows' sequences."""
    classified = Classified(classes)
    for _, log_p_NV, labels_N in judged(network, windows):
        classified.add(log_p_NV, labels_N)
    return classified.sums


def probabilities(network: Network, columns: Columns) -> list[list[float]]:
    """Of each row's classes; the rows' labels are not looked at."""
    lanes, window = min(columns.num_rows, LANES), int(columns.steps().max())
    filling = classification.filling(columns, lanes=lanes, window=window, seed=None, carries=False)
    windows = Windows(filling=filling, assemble=classification.assemble(columns), lanes=slice(0, lanes))
    found: dict[int, list[float]] = {}
    for rows_N, log_p_NV, _ in judged(network, windows):
        found |= dict(zip(rows_N.tolist(), log_p_NV.exp().tolist(), strict=True))
    return [found[row] for row in range(columns.num_rows)]
