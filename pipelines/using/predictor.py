"""Raw inputs to answers, by a model's folder: the same code for the command line, batches, the served model and tests.

However many inputs there are, a bounded part of them is in memory; a bad one is its own error and leaves the others.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines import networks
from rnn_core.errors import DataError, UserError

Given = str | bytes
"""A text, the contents of a file, or a table as the text of a CSV file."""
LARGEST = {"text": 2**17, "file": 2**26, "table": 2**24}
"""Characters (bytes of a file) of one input, by what a task takes: more would not fit a machine's memory as states."""
AT_ONCE = {"text": 2**18, "file": 2**26, "table": 2**24}
"""Of inputs that are answered together: how many there are, times the longest one."""
BATCH = 64


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What came of one input: an answer or an error."""

    where: str
    given: Given
    answer: dict[str, Any] | None = None
    error: UserError | None = None

    def row(self) -> dict[str, Any]:
        """The answer as it is shown: which input, its text where it is one, then what the task says."""
        assert self.answer is not None
        return {"input": self.where} | ({"text": self.given} if isinstance(self.given, str) else {}) | self.answer


class Predictor:
    """Answers of one trained model."""

    def __init__(self, folder: Path | str):
        """
        Args:
            folder: `model/` of a training, or the artefact of a registered version.

        Raises:
            DataError: its files are damaged.
        """
        self._model = networks.load(Path(folder))
        self._letters = letters_of(self._model.sidecar) if self.column == "text" else frozenset()

    @property
    def column(self) -> str:
        """What the task takes: a `text`, a `file` or a `table`; and the name of the served model's column."""
        return self._model.task.INPUT

    def answers(self, inputs: Sequence[Given]) -> list[dict[str, Any]]:
        """One answer for each input: what the task says it is, as JSON values.

        Raises:
            DataError: an input that the task cannot read; where there are several, it is named by its number.
        """
        named = ((f"input {i}" if len(inputs) > 1 else "input", given) for i, given in enumerate(inputs, 1))
        found = []
        for outcome in self.outcomes(named):
            if outcome.answer is None:
                assert outcome.error is not None
                raise outcome.error
            found.append(outcome.answer)
        return found

    def answers_to_texts(self, texts: Sequence[Any]) -> list[dict[str, Any]]:
        """As `answers`, but files in base64: a served model's column.

        Raises:
            DataError: there is none, or one that is no text, no base64, or that the task cannot read.
        """
        if not len(texts):
            raise DataError("inputs", "there are none", f"at least one {self.column}")
        for text in texts:
            if not isinstance(text, str):
                raise DataError("input", f"{text!r:.100}", f"the {self.column} as a string")
        return self.answers([networks.from_text(text, self._model.task) for text in texts])

    def outcomes(self, inputs: Iterable[tuple[str, Given | UserError]]) -> Iterator[Outcome]:
        """What comes of each input, in their order.

        Args:
            inputs: where each stands, for messages, and it; or why it cannot be had.
        """
        for batch in _batches(inputs, AT_ONCE[self.column]):
            yield from self._together(batch)

    def _together(self, batch: list[tuple[str, Given | UserError]]) -> list[Outcome]:
        found = [self._checked(where, given) for where, given in batch]
        good = [index for index, outcome in enumerate(found) if outcome.error is None]
        inputs = [found[index].given for index in good]
        try:
            answers = self._model.task.answers(self._model.network, inputs, self._model.sidecar)
        except UserError as error:
            if len(good) > 1:
                return [outcome for one in batch for outcome in self._together([one])]
            (only,) = good
            found[only] = _failed(found[only].where, error)
        else:
            for index, answer in zip(good, answers, strict=True):
                found[index] = Outcome(where=found[index].where, given=found[index].given, answer=answer)
        return found

    def _checked(self, where: str, given: Given | UserError) -> Outcome:
        """What holds for the inputs of all tasks; the rest is theirs to check."""
        if isinstance(given, UserError):
            return _failed(where, given)
        most, unit = LARGEST[self.column], "bytes" if isinstance(given, bytes) else "characters"
        if len(given) > most:
            return _failed(where, DataError("input", f"{len(given):,} {unit}", f"at most {most:,}"))
        if self.column != "text" and not given:
            return _failed(where, DataError("input", "nothing", f"a {self.column} with contents"))
        if isinstance(given, str) and (found := _no_text(given)):
            return _failed(where, DataError("input", found, "text that can be written in UTF-8"))
        if self._letters and (strange := _letters(str(given))) and not strange & self._letters:
            found = f"text in a script of which the training data have no letter ({''.join(sorted(strange)[:10])})"
            return _failed(where, DataError("input", found, "text in the script of the training data"))
        return Outcome(where=where, given=given)


def letters_of(sidecar: Mapping[str, Any]) -> frozenset[str]:
    """The letters, small, of the words and characters that a sidecar lists; none where its vocabulary is of bytes."""
    lists = [value for value in sidecar.values() if isinstance(value, list)]
    return frozenset(letter for texts in lists for text in texts if isinstance(text, str) for letter in _letters(text))


def _letters(text: str) -> set[str]:
    return {character for character in text.casefold() if character.isalpha()}


def _no_text(given: str) -> str | None:
    """Half of a pair of code units, such as bytes that are no UTF-8 leave in a command's arguments."""
    try:
        given.encode()
    except UnicodeEncodeError as error:
        return f"{given[error.start]!r} at character {error.start + 1}"
    return None


def _failed(where: str, error: UserError) -> Outcome:
    """The error, with the input's own place where the task says `input`."""
    place = where + error.where.removeprefix("input") if error.where.startswith("input") else error.where
    return Outcome(where=where, given="", error=type(error)(place, error.found, error.allowed))


def _batches(
    inputs: Iterable[tuple[str, Given | UserError]], at_once: int
) -> Iterator[list[tuple[str, Given | UserError]]]:
    """Inputs to answer together: at most BATCH, and bounded in number times length, which is what states take."""
    held: list[tuple[str, Given | UserError]] = []
    longest = 0
    for where, given in inputs:
        size = 0 if isinstance(given, UserError) else len(given)
        if held and (len(held) == BATCH or (len(held) + 1) * max(longest, size) > at_once):
            yield held
            held, longest = [], 0
        held.append((where, given))
        longest = max(longest, size)
    if held:
        yield held
