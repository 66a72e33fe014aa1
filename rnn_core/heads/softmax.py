"""One class of V at each step: softmax and cross-entropy."""

import torch
from torch import Tensor, nn

from rnn_core.errors import ConfigError
from rnn_core.heads.cross_entropy import cross_entropy
from rnn_core.heads.steps import StepHead, counted
from rnn_core.products import linear


class SoftmaxHead(StepHead):
    """p(class v) at a step = softmax(W h + b)_v."""

    def __init__(self, hidden_size: int, num_classes: int, weight: Tensor | None = None):
        """
        Args:
            hidden_size: H of the hidden states that come in.
            num_classes: V.
            weight: w_VE of the embedding, a parameter, to be used for the output too (Press and Wolf 2017: Using the
                output embedding to improve language models). None: the head has its own w_VH.

        Raises:
            ConfigError: the embedding's width E is not H.
        """
        super().__init__()
        if weight is None:
            bound = hidden_size**-0.5
            weight = nn.Parameter(torch.empty(num_classes, hidden_size).uniform_(-bound, bound))
        assert isinstance(weight, nn.Parameter)
        assert weight.shape[0] == num_classes, (weight.shape, num_classes)
        if weight.shape[1] != hidden_size:
            found = f"tied embeddings are {weight.shape[1]} wide, the hidden states {hidden_size}"
            raise ConfigError("model.embedding_size", found, f"{hidden_size}, or model.tie: false")
        self.weight = weight
        # Zero: what is common is learnt from the data, not drawn.
        self.bias = nn.Parameter(torch.zeros(num_classes))

    def loss(self, hidden_TBH: Tensor, targets_TB: Tensor, valid_TB: Tensor) -> tuple[Tensor, int]:
        """Cross-entropy in nats, summed over the valid steps, and how many these are.

        Args:
            hidden_TBH: hidden states.
            targets_TB: int64, the right class of each valid step; anything elsewhere.
            valid_TB: bool. What stands at other steps is not read, and gets no gradient.
        """
        hidden_NH, targets_N, count = counted(hidden_TBH, targets_TB, valid_TB)
        return cross_entropy(hidden_NH, self.weight, self.bias, targets_N), count

    def predict(self, hidden: Tensor) -> Tensor:
        """logits_..V of hidden_..H with any leading dimensions."""
        return linear(hidden, self.weight, self.bias)
