"""A model (hidden states from a window) and its head (a loss from hidden states) as one network."""

import dataclasses
from collections.abc import Callable
from typing import Any, TypeVar

from torch import Tensor, nn

from rnn_core.heads.adaptive import AdaptiveHead
from rnn_core.heads.ctc import CTCHead
from rnn_core.heads.sequence import SequenceHead
from rnn_core.heads.softmax import SoftmaxHead
from rnn_core.lanes import Window
from rnn_core.models import KINDS

Config = TypeVar("Config")

HEADS: dict[str, Callable[[Any, Any], nn.Module]] = {
    "softmax": lambda model, config: SoftmaxHead(model.output_size, model.num_classes, weight=model.tied_weight),
    "ctc": lambda model, config: CTCHead(model.output_size, model.num_classes),
    "adaptive": lambda model, config: AdaptiveHead(model.output_size, model.num_classes, config.cutoffs),
    "sequence": lambda model, config: SequenceHead(
        model.output_size,
        model.num_classes,
        config.read_out,
        bidirectional=config.bidirectional,
        smoothing=config.smoothing,
    ),
}
"""A head for a model and its `Config`, which names it in `head` (a field, or what is the same for all of the kind); a
kind that names none has a softmax."""


class Network(nn.Module):
    """`network(window, carry) -> (hidden_TBH, carry)`, then `network.loss` or `network.head.predict`.

    The hidden states are the head's input, for most kinds those of each step.
    """

    model: Any
    head: Any

    def __init__(self, model: nn.Module, head: nn.Module):
        super().__init__()
        self.model, self.head = model, head

    def forward(self, window: Window, carry: Any) -> tuple[Tensor, Any]:
        output: tuple[Tensor, Any] = self.model(window, carry)
        return output

    def loss(self, window: Window, hidden_TBH: Tensor) -> tuple[Tensor, int]:
        """Sum of the head's loss over the window, in nats, and of how many steps (or sequences) it is the sum."""
        loss: tuple[Tensor, int] = self.head.loss_of(window, hidden_TBH)
        return loss

    def initial_carry(self, lanes: int) -> Any:
        return self.model.initial_carry(lanes)


def network(kind: str, config: Any, sizes: Any) -> Network:
    """A network with fresh weights from torch's present random state.

    Args:
        kind: a name in KINDS.
        config, sizes: that kind's `Config` and `Sizes`.

    Raises:
        ConfigError: no such cell, or sizes (cutoffs) that do not fit each other.
    """
    model = KINDS[kind].Model(config, sizes)
    return Network(model, HEADS[getattr(config, "head", "softmax")](model, config))


def widen(config: Config, parameters: Callable[[Config], int], target: int) -> Config:
    """`config` with the hidden size whose network has as many parameters as `target`, or just fewer.

    So a cell without memory is compared at equal size.

    Args:
        parameters: how many a network of a config has; grows with its `hidden_size`.
    """

    def sized(hidden_size: int) -> Config:
        return dataclasses.replace(config, hidden_size=hidden_size)  # type: ignore[type-var]

    low, high = 1, 2
    while parameters(sized(high)) <= target:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        if parameters(sized(middle)) <= target:
            low = middle
        else:
            high = middle
    return sized(low)
