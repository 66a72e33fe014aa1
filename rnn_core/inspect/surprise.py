"""How surprised a network is at each step: its loss there; and the examples it knows best and worst."""

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rnn_core.lanes import Window

ROWS = 512
"""Steps whose logits are there together."""


@dataclass(frozen=True)
class Example:
    """Consecutive steps of one sequence: all of them that stand in one window."""

    window: int
    """Its number."""
    lane: int
    steps: slice
    """Of the window."""
    losses_T: NDArray[np.float64]
    """In nats."""
    answered_T: NDArray[np.int64]
    """The likeliest class."""

    @property
    def loss(self) -> float:
        """Nats a step."""
        return float(self.losses_T.mean())


@torch.no_grad()
def examples(network: Any, windows: Callable[[int], Window], count: int) -> list[Example]:
    """All examples of the first `count` windows, by rising loss.

    Args:
        network: its head must give logits, a class each, and its loss be cross-entropy.
    """
    training, _ = network.training, network.eval()
    found: list[Example] = []
    carry = network.initial_carry(windows(0).starts_TB.shape[1])
    for number in range(count):
        window = windows(number)
        hidden_TBH, carry = network(window, carry)
        losses_TB, answered_TB = _steps(network.head, window, hidden_TBH)
        for lane, begin, end in _sequences(window):
            steps = slice(begin, end)
            found.append(Example(number, lane, steps, losses_TB[steps, lane], answered_TB[steps, lane]))
    network.train(training)
    return sorted(found, key=lambda example: example.loss)


def _steps(head: Any, window: Window, hidden_TBH: Tensor) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """losses_TB and answered_TB; zeros where there is padding."""
    valid_N = window.valid_TB.flatten()
    rows, targets = hidden_TBH.flatten(0, 1)[valid_N].split(ROWS), window.fields["targets_TB"].flatten()[valid_N]
    losses_N = torch.zeros(len(valid_N), dtype=torch.float64, device=hidden_TBH.device)
    answered_N = torch.zeros_like(losses_N, dtype=torch.long)
    losses, answers = [], []
    for hidden_RH, targets_R in zip(rows, targets.split(ROWS), strict=True):
        log_p_RV = head.predict(hidden_RH).double().log_softmax(-1)
        losses.append(-log_p_RV.gather(1, targets_R[:, None]).squeeze(1))
        answers.append(log_p_RV.argmax(1))
    losses_N[valid_N], answered_N[valid_N] = torch.cat(losses), torch.cat(answers)
    shape = window.valid_TB.shape
    return losses_N.view(shape).cpu().numpy(), answered_N.view(shape).cpu().numpy()


def _sequences(window: Window) -> list[tuple[int, int, int]]:
    """(lane, first step, step after the last) of each piece between two starts that is no padding."""
    starts_TB, valid_TB = window.starts_TB.cpu().numpy(), window.valid_TB.cpu().numpy()
    found = []
    for lane in range(starts_TB.shape[1]):
        borders = sorted({0, *np.flatnonzero(starts_TB[:, lane]).tolist(), len(starts_TB)})
        found += [(lane, begin, end) for begin, end in itertools.pairwise(borders) if valid_TB[begin, lane]]
    return found
