"""Whether the clocks of a training's workers agree: the times of its points come from whoever writes, now one machine,
after a restart another."""

import time

import torch

from pipelines import group
from rnn_core.errors import ConfigError

ALLOWED_SECONDS = 60
"""A curve over time bears that much, and so do the signatures of object stores, which refuse minutes."""


def check() -> None:
    """Call it on all workers of a group.

    Raises:
        ConfigError: on each of them, where two differ by more than ALLOWED_SECONDS.
    """
    group.gathered(torch.zeros(1))  # so that all look at the same moment
    clocks = group.gathered(torch.tensor(time.time(), dtype=torch.float64)).tolist()
    ahead = [clock - clocks[0] for clock in clocks]
    worst = max(range(len(ahead)), key=lambda rank: abs(ahead[rank]))
    if abs(ahead[worst]) > ALLOWED_SECONDS:
        found = f"that of worker {worst} is {abs(ahead[worst]):.0f} s {'ahead of' if ahead[worst] > 0 else 'behind'}"
        allowed = f"{ALLOWED_SECONDS} s at most: let all machines set their clocks by one source (NTP)"
        raise ConfigError("clocks of the workers' machines", f"{found} that of worker 0", allowed)
