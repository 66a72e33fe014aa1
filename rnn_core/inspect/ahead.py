"""What a network foretold of the very next value at each step of a series, while it read it."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from rnn_core.inspect.surprise import Example
from rnn_core.lanes import Window

DRAWS, SEED = 500, 1
"""Where the head has no formula for its quantiles."""


@torch.no_grad()
def ahead(network: Any, window: Window, carry: Any, example: Example, levels: tuple[float, ...]) -> NDArray[np.float64]:
    """q_TQ: quantiles of the value after each step of an example, in the unit of the data.

    Args:
        network: of forecasts.
        carry: of all lanes, before the window.
    """
    training, _ = network.training, network.eval()
    hidden_TBH, _ = network(window, carry)
    network.train(training)
    base_TBS, scale_TB, _ = network.head.scaling.placed(window.fields, hidden_TBH)
    hidden_TH, base_TS, scale_T = (x[example.steps, example.lane] for x in (hidden_TBH, base_TBS, scale_TB))
    generator = torch.Generator(hidden_TH.device).manual_seed(SEED)
    q_TSQ = network.head.quantiles(
        hidden_TH, base_TS, scale_T, torch.tensor(levels, dtype=torch.float64), DRAWS, generator
    )
    q_TQ: NDArray[np.float64] = q_TSQ[:, 0].double().cpu().numpy()
    return q_TQ
