"""What a network said of a sequence, step by step where its head does, beside what was right: one function a head."""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rnn_core.lanes import Window
from rnn_core.speech.ctc_alignment import align

ROWS = 512
"""Steps whose logits are there together."""
BLANK = 0
"""As in `rnn_core.heads.ctc`."""


class Told(NamedTuple):
    loss: float
    """Of the whole, in the head's unit: a step, a sequence (a class of its own), or a label (CTC)."""
    losses_T: NDArray[np.float64]
    """Of each answer: one a step, or one for the whole; NaN where the right one is not known."""
    right_T: NDArray[np.int64]
    """Classes; none where values are foretold. CTC: those of the likeliest path of the right string."""
    answered_T: NDArray[np.int64]
    """The likeliest classes."""


Sequence = tuple[int, int, int]
"""Lane, first step, step after the last."""


def told(network: Any, window: Window, hidden_TBH: Tensor, sequences: list[Sequence]) -> list[Told]:
    """Of these sequences of a window, which are all there are, lane by lane.

    Args:
        network: in evaluation; its head one of TELLERS.
    """
    return list(TELLERS[type(network.head).__name__](network.head, window, hidden_TBH, sequences))


def _by_step(head: Any, window: Window, hidden_TBH: Tensor, sequences: list[Sequence]) -> Iterator[Told]:
    """Cross-entropy of a class of its own at each step."""
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
    return _cut(window, losses_N.view(shape), answered_N.view(shape), sequences)


def _together(head: Any, window: Window, hidden_TBH: Tensor, sequences: list[Sequence]) -> Iterator[Told]:
    """Classes chosen together (CRF): the loss of a step is by the share of all labellings that have its class there."""
    p_TBV = head.marginals(window, hidden_TBH).double()
    right_TB1 = window.fields["targets_TB"][:, :, None]
    losses_TB = -p_TBV.gather(2, right_TB1).squeeze(2).clamp(min=torch.finfo(torch.float32).tiny).log()
    return _cut(window, losses_TB, head.decide(window, hidden_TBH), sequences)


def _cut(window: Window, losses_TB: Tensor, answered_TB: Tensor, sequences: list[Sequence]) -> Iterator[Told]:
    losses, right, answered = (_array(x) for x in (losses_TB, window.fields["targets_TB"], answered_TB))
    for lane, begin, end in sequences:
        of_T = losses[begin:end, lane]
        yield Told(float(of_T.mean()), of_T, right[begin:end, lane], answered[begin:end, lane])


def _one_class(head: Any, window: Window, hidden_TBH: Tensor, sequences: list[Sequence]) -> Iterator[Told]:
    log_p_NV = head.predict(window, hidden_TBH).double().log_softmax(1)
    labels = window.fields["label_TB"]
    for (lane, begin, _), log_p_V in zip(sequences, log_p_NV, strict=True):
        right = int(labels[begin, lane])
        loss = -float(log_p_V[right])
        yield Told(loss, np.array([loss]), np.array([right]), np.array([int(log_p_V.argmax())]))


def _path(head: Any, window: Window, hidden_TBH: Tensor, sequences: list[Sequence]) -> Iterator[Told]:
    """CTC: the loss of the string; of a step, that of what the string's likeliest path says there."""
    rows_TB, counts_N = window.fields["row_TB"], window.fields["label_counts_N"]
    for (lane, begin, _), log_p_TV in zip(sequences, head.predict(window, hidden_TBH), strict=True):
        row = int(rows_TB[begin, lane])
        labels = window.fields["labels_NL"][row, : int(counts_N[row])]
        log_p = log_p_TV.double()
        lengths = torch.tensor([len(log_p)]), torch.tensor([len(labels)])
        loss = torch.nn.functional.ctc_loss(log_p[:, None], labels[None], *lengths, blank=BLANK, reduction="sum")
        labels_L, log_p_of = labels.cpu().numpy(), log_p.cpu().numpy()
        place_T = align(log_p_of, labels_L)
        right_T = np.where(place_T < 0, BLANK, labels_L[np.maximum(place_T, 0)] if len(labels_L) else BLANK)
        losses_T = -log_p_of[np.arange(len(right_T)), right_T]
        yield Told(float(loss) / max(1, len(labels)), losses_T, right_T, log_p_of.argmax(1))


def _value(head: Any, window: Window, hidden_TBH: Tensor, sequences: list[Sequence]) -> Iterator[Told]:
    """Of each step the mean over the next values that are known."""
    base_TBS, scale_TB, seasonal_TBS = head.scaling.placed(window.fields, hidden_TBH)
    targets_TBS = window.fields["targets_TBS"][:, :, : head.steps].to(hidden_TBH.dtype)
    known_TBS = ~targets_TBS.isnan() & seasonal_TBS & window.valid_TB[:, :, None]
    losses_TBS = head.losses(
        head.parameters_of(hidden_TBH), targets_TBS.masked_fill(~known_TBS, 0), base_TBS, scale_TB[:, :, None]
    )
    losses = _array(losses_TBS.double().masked_fill(~known_TBS, torch.nan).nanmean(2))
    nothing = np.zeros(0, np.int64)
    for lane, begin, end in sequences:
        of_T = losses[begin:end, lane]
        some_T = of_T[~np.isnan(of_T)]
        yield Told(float(some_T.mean()) if len(some_T) else np.nan, of_T, nothing, nothing)


def _array(tensor: Tensor) -> NDArray[Any]:
    array: NDArray[Any] = tensor.cpu().numpy()
    return array


TELLERS: dict[str, Callable[[Any, Window, Tensor, list[Sequence]], Iterator[Told]]] = {
    "SoftmaxHead": _by_step,
    "AdaptiveHead": _by_step,
    "CrfHead": _together,
    "SequenceHead": _one_class,
    "CTCHead": _path,
    "StudentTHead": _value,
    "NegativeBinomialHead": _value,
    "QuantileHead": _value,
}
"""By the name of the head's class: heads are arguments here, and imported nowhere."""
