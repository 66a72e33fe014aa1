"""A trained language model beside a search over strings (shallow fusion, Gulcehre et al. 2015: On using monolingual
corpora in neural machine translation): a network of the kind `language_model` as `ctc_decoding.LanguageModel`."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from rnn_core.bptt import map_carry
from rnn_core.lanes import Window


class TrainedLanguageModel:
    """log p of the next label; a state is the carry of one lane, what is asked together is one step of all lanes."""

    def __init__(self, network: Any, tokens: Sequence[int], end: int):
        """
        Args:
            network: reads one token a label, frozen.
            tokens: its token of each label, that of class 1 first.
            end: its token for the end of a string, which also stands before the first label.
        """
        self._network, self._tokens = network, torch.tensor([end, *tokens])

    @torch.no_grad()
    def __call__(
        self, states: Sequence[Any], labels: Sequence[int | None]
    ) -> tuple[NDArray[np.float64], Sequence[Any]]:
        carries = [self._network.initial_carry(1) if state is None else state for state in states]
        tokens_TB = self._tokens[[label or 0 for label in labels]][None]
        valid_TB = torch.ones_like(tokens_TB, dtype=torch.bool)
        window = Window(fields={"tokens_TB": tokens_TB}, starts_TB=~valid_TB, valid_TB=valid_TB, epoch=0)
        hidden_TBH, carry = self._network(window, map_carry(lambda *lanes: torch.cat(lanes), *carries))
        log_p_NV = self._network.head.predict(hidden_TBH)[0].double().log_softmax(1)[:, self._tokens]
        return log_p_NV.numpy(), [
            map_carry(lambda whole, lane=lane: whole[lane : lane + 1], carry) for lane in range(len(states))
        ]
