"""From what a CTC head says of each step to a string: the best path, and the search over strings.

A string's probability is the sum over its paths (`rnn_core.heads.ctc`). The best path is the likeliest label of each
step, joined; the search keeps the likeliest beginnings of strings and adds up their paths (Graves 2012: Supervised
sequence labelling, prefix search; Hannun et al. 2014: First-pass large vocabulary continuous speech recognition).
Both take a string in pieces, the state in and out, and then give what they give for the whole.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from rnn_core.lanes import Window

BLANK = 0
"""As in `rnn_core.heads.ctc`."""
Array = NDArray[np.float64]

LanguageModel = Callable[[Sequence[Any], Sequence[int | None]], tuple[Array, Sequence[Any]]]
"""log_p_NV of what comes next, and N new states, after N states have read one label each. The state before the first
label is None, and so is that label. Column 0 is the end of the string."""


def best_path(log_p_TV: NDArray[np.floating], last: int = BLANK) -> tuple[list[int], int]:
    """The labels of the likeliest path, repeats joined and blanks dropped, and the class of its last step.

    Args:
        last: class of the step before the first one here, where a string comes in pieces.
    """
    path_T = np.concatenate([[last], log_p_TV.argmax(1)])
    new_T = (path_T[1:] != path_T[:-1]) & (path_T[1:] != BLANK)
    return path_T[1:][new_T].tolist(), int(path_T[-1])


@dataclass(frozen=True, kw_only=True)
class Search:
    """How a search goes; `start`, `advance` with the steps, `best`."""

    width: int
    """Beginnings kept after each step."""
    most: int | None = None
    """Labels of a string at most."""
    fewest: int = 0
    """Labels of a string at least, where one of the kept ones has so many."""
    language_model: LanguageModel | None = None
    weight: float = 0.0
    """Of the language model's logarithm beside the head's (shallow fusion, Gulcehre et al. 2015)."""
    bonus: float = 0.0
    """For each label: a language model likes short strings."""

    def start(self) -> "Beam":
        """The empty string alone."""
        beam = Beam(strings=((),), blank_K=np.zeros(1), label_K=np.full(1, -np.inf), outside_K=np.zeros(1))
        return self._told(beam, [None], [None]) if self.language_model else beam

    def advance(self, beam: "Beam", log_p_TV: NDArray[np.floating]) -> "Beam":
        """The beam after more steps."""
        for log_p_V in log_p_TV.astype(np.float64):
            beam = self._step(beam, log_p_V)
        return beam

    def best(self, beam: "Beam") -> list[int]:
        """The likeliest string of a beam, ended here."""
        score_K = beam.score_K
        if beam.next_KV is not None:
            score_K = score_K + self.weight * beam.next_KV[:, BLANK]
        long_enough_K = np.array([len(string) >= self.fewest for string in beam.strings])
        if long_enough_K.any():
            score_K = np.where(long_enough_K, score_K, -np.inf)
        return list(beam.strings[int(score_K.argmax())])

    def __call__(self, log_p_TV: NDArray[np.floating]) -> list[int]:
        """The likeliest string found for all steps of a sequence."""
        return self.best(self.advance(self.start(), log_p_TV))

    def _step(self, beam: "Beam", log_p_V: Array) -> "Beam":
        """Each string stays (by a blank, or by its last label once more) or gets a label."""
        total_K = np.logaddexp(beam.blank_K, beam.label_K)
        last_K = np.array([string[-1] if string else BLANK for string in beam.strings])
        rows_K = np.arange(len(last_K))
        longer_KV = total_K[:, None] + log_p_V
        # The same label twice in a row are two only with a blank between.
        longer_KV[rows_K, last_K] = beam.blank_K + log_p_V[last_K]
        longer_KV[:, BLANK] = -np.inf
        if self.most is not None:
            longer_KV[[len(string) >= self.most for string in beam.strings]] = -np.inf
        label_K = np.where(last_K == BLANK, -np.inf, beam.label_K + log_p_V[last_K])
        where = {string: row for row, string in enumerate(beam.strings)}
        for row, string in enumerate(beam.strings):
            if string and (parent := where.get(string[:-1])) is not None:
                label_K[row] = np.logaddexp(label_K[row], longer_KV[parent, string[-1]])
                longer_KV[parent, string[-1]] = -np.inf
        stayed = replace(beam, blank_K=total_K + log_p_V[BLANK], label_K=label_K)
        return self._pruned(stayed, longer_KV)

    def _pruned(self, stayed: "Beam", longer_KV: Array) -> "Beam":
        """The `width` best of the strings that stayed and those that grew."""
        outside_KV = np.broadcast_to(stayed.outside_K[:, None] + self.bonus, longer_KV.shape)
        if stayed.next_KV is not None:
            outside_KV = outside_KV + self.weight * stayed.next_KV
        scores = np.concatenate([stayed.score_K, (longer_KV + outside_KV).ravel()])
        chosen = np.argsort(-scores, kind="stable")[: self.width]
        chosen = chosen[scores[chosen] > -np.inf]
        kept, (parents, labels) = chosen[chosen < len(stayed.strings)], _grown(chosen, longer_KV.shape)
        parts = [stayed.at(kept)]
        if len(parents):
            grown = Beam(
                strings=tuple((*stayed.strings[k], int(v)) for k, v in zip(parents, labels, strict=True)),
                blank_K=np.full(len(parents), -np.inf),
                label_K=longer_KV[parents, labels],
                outside_K=outside_KV[parents, labels],
            )
            if self.language_model:
                grown = self._told(grown, [stayed.states[k] for k in parents], labels.tolist())
            parts.append(grown)
        return _joined(parts)

    def _told(self, beam: "Beam", states: Sequence[Any], labels: Sequence[int | None]) -> "Beam":
        """A beam with what its language model says comes next."""
        assert self.language_model is not None
        next_KV, after = self.language_model(states, labels)
        return replace(beam, next_KV=next_KV, states=tuple(after))


@dataclass(frozen=True, kw_only=True)
class Beam:
    """Beginnings of strings with the logarithms of the probabilities of their paths so far."""

    strings: tuple[tuple[int, ...], ...]
    blank_K: Array
    """Of the paths that end in a blank."""
    label_K: Array
    """Of those that end in the last label."""
    outside_K: Array
    """What language model and bonus add."""
    next_KV: Array | None = None
    """What the language model says of the next label."""
    states: tuple[Any, ...] = ()
    """Its states."""

    @property
    def score_K(self) -> Array:
        score_K: Array = np.logaddexp(self.blank_K, self.label_K) + self.outside_K
        return score_K

    def at(self, rows: NDArray[np.int64]) -> "Beam":
        return Beam(
            strings=tuple(self.strings[row] for row in rows),
            blank_K=self.blank_K[rows],
            label_K=self.label_K[rows],
            outside_K=self.outside_K[rows],
            next_KV=None if self.next_KV is None else self.next_KV[rows],
            states=tuple(self.states[row] for row in rows) if self.states else (),
        )


@torch.no_grad()
def listen(network: Any, chunks: Iterable[torch.Tensor]) -> Iterator[list[int]]:
    """The labels that each chunk of an utterance adds, by the best path, while it is spoken.

    Args:
        network: of one direction, frozen; a bidirectional one hears the end before the beginning.
        chunks: steps_TD of features, one utterance in any pieces.
    """
    assert network.initial_carry(1), "a causal network has a state to carry"
    carry, last, first = network.initial_carry(1), BLANK, True
    for steps_TD in chunks:
        starts_TB = torch.zeros(len(steps_TD), 1, dtype=torch.bool)
        starts_TB[:1] = first
        valid_TB, fields = torch.ones_like(starts_TB), {"frames_TBD": steps_TD[:, None]}
        window = Window(fields=fields, starts_TB=starts_TB, valid_TB=valid_TB, epoch=0)
        hidden_TBH, carry = network(window, carry)
        # To the head, each chunk is a sequence of its own: what it says of a step knows no other step.
        (log_p_TV,) = network.head.predict(replace(window, starts_TB=_first_only(starts_TB)), hidden_TBH)
        labels, last = best_path(log_p_TV.numpy(), last)
        first = False
        yield labels


def _first_only(starts_TB: torch.Tensor) -> torch.Tensor:
    marks_TB = torch.zeros_like(starts_TB)
    marks_TB[:1] = True
    return marks_TB


def _grown(chosen: NDArray[np.int64], shape: tuple[int, ...]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Parents and labels of the chosen ones that grew; before them stand those that stayed."""
    places = chosen[chosen >= shape[0]] - shape[0]
    return places // shape[1], places % shape[1]


def _joined(beams: Sequence[Beam]) -> Beam:
    told = [beam.next_KV for beam in beams if beam.next_KV is not None]
    return Beam(
        strings=tuple(string for beam in beams for string in beam.strings),
        blank_K=np.concatenate([beam.blank_K for beam in beams]),
        label_K=np.concatenate([beam.label_K for beam in beams]),
        outside_K=np.concatenate([beam.outside_K for beam in beams]),
        next_KV=np.concatenate(told) if told else None,
        states=tuple(state for beam in beams for state in beam.states),
    )
