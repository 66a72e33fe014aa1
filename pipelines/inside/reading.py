"""An example as a person reads it: what its steps are called, what was right, what was answered; one reader a kind."""

import itertools
import json
from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import torch
from tokenizers import Tokenizer

from pipelines.inside.subject import Subject
from pipelines.pictures import panels
from pipelines.pictures.panels import Axis, Panel
from rnn_core.inspect import Example
from rnn_core.lanes import Window

WORDS, FRAMES = 36, 120
"""Steps at most of an example in a picture: where each has a word beneath it, and where not."""
MARKS = ("<pad>", "<begin>", "<end>")
"""Of a translation's tokens, those that no text has."""


class Reading(NamedTuple):
    axis: Axis
    answered: list[str]
    """The likeliest answer at each step that is answered, or to the whole; none where values are foretold."""
    texts: dict[str, str]
    """The columns of the table of examples."""
    below: list[Panel]
    """What goes in, where it is no words."""


def read(subject: Subject, window: Window, example: Example) -> Reading:
    return READERS[subject.kind](subject, window, example)


def _tokens(field: str, inputs: str, classes: str, name: str) -> Callable[[Subject, Window, Example], Reading]:
    """A word in and a class out at each step.

    Args:
        field: of a window: the inputs' ids.
        inputs, classes: lists of the sidecar, by id.
        name: of the steps.
    """

    def reader(subject: Subject, window: Window, example: Example) -> Reading:
        names = subject.model.sidecar
        into = [names[inputs][i] for i in _of(window.fields[field], example)]
        right, answered = ([names[classes][i] for i in ids] for ids in (example.right_T, example.answered_T))
        texts = {"inputs": " ".join(into), "right": " ".join(right), "answered": " ".join(answered)}
        if "images_TB" in window.fields:
            image = window.fields["images_TB"][example.steps.start, example.lane]
            texts["inputs"] = f"image {int(window.fields['examples_N'][image])}"
        axis = Axis(count=len(into), name=name, words=into, above=right)
        return Reading(axis, answered, texts, [])

    return reader


def _pieces(subject: Subject, window: Window, example: Example) -> Reading:
    """A translation: tokens as the pieces of text that they are."""
    into = pieces(subject, _of(window.fields["tokens_TB"], example))
    right, answered = (pieces(subject, ids.tolist()) for ids in (example.right_T, example.answered_T))
    axis = Axis(count=len(into), name="token said before each step (above: the right one)", words=into, above=right)
    given = source(subject, window, example.lane)
    texts = {"inputs": "".join(given), "right": "".join(right), "answered": "".join(answered)}
    return Reading(axis, answered, {name: text.replace("<end>", "").strip() for name, text in texts.items()}, [])


def source(subject: Subject, window: Window, lane: int) -> list[str]:
    """The pieces of a lane's source."""
    valid_S = window.fields["source_valid_SB"][:, lane]
    return pieces(subject, window.fields["source_SB"][valid_S, lane].tolist())


def pieces(subject: Subject, ids: list[int]) -> list[str]:
    tokenizer = _tokenizer(json.dumps(subject.model.sidecar["tokenizer"]))
    return [MARKS[i] if i < len(MARKS) else tokenizer.decode([i]) for i in ids]


@lru_cache(maxsize=2)
def _tokenizer(text: str) -> Tokenizer:
    return Tokenizer.from_str(text)


def _whole(subject: Subject, window: Window, example: Example) -> Reading:
    """One class for words or for frames."""
    sidecar, fields = subject.model.sidecar, window.fields
    names = sidecar.get("label_names") or sidecar["classes"]
    answered, steps = [names[i] for i in example.answered_T], example.num_steps
    texts = {"right": names[example.right_T[0]], "answered": answered[-1]}
    if "tokens_TB" in fields:
        words = [sidecar["words"][i] for i in _of(fields["tokens_TB"], example)]
        axis = Axis(count=steps, name="word read at each step", words=words)
        return Reading(axis, answered, {"inputs": " ".join(words)} | texts, [])
    name = bytes(subject.columns["name"][int(fields["row_TB"][example.steps.start, example.lane])]).decode()
    axis = Axis(count=steps, name="frame", first=1)
    return Reading(axis, answered, {"inputs": name} | texts, [_frames(window, example)])


def _frames(window: Window, example: Example) -> Panel:
    if "pixels_TBD" in window.fields:
        pixels_TD = window.fields["pixels_TBD"][example.steps, example.lane]
        side = round(pixels_TD.shape[1] ** 0.5)
        strip_YX = pixels_TD.reshape(-1, side, side).permute(1, 0, 2).reshape(side, -1).double().numpy()
        return panels.image(strip_YX, example.num_steps, "the frames,\nside by side", "brightness")
    values_TD = window.fields["features_TBD"][example.steps, example.lane].double().numpy()
    return panels.image(values_TD.T, example.num_steps, "coordinates\nof the points", "place")


def _sound(subject: Subject, window: Window, example: Example) -> Reading:
    classes, data = subject.model.sidecar["classes"], subject.model.sidecar["data"]
    seconds, bands = data["skip"] * data["front_end"]["hop_ms"] / 1000, data["front_end"]["bands"]
    frames_TD = window.fields["frames_TBD"][example.steps, example.lane].double().numpy()
    number = int(window.fields["examples_N"][window.fields["row_TB"][example.steps.start, example.lane]])
    texts = {
        "inputs": f"utterance {number}",
        "right": _string(example.right_T.tolist(), classes),
        "answered": _string(example.answered_T.tolist(), classes),
    }
    begin = float(window.fields["step_TB"][example.steps.start, example.lane]) * seconds
    axis = Axis(count=example.num_steps, name="time (s)", first=round(begin, 3), unit=seconds)
    # High tones up.
    mel_YX = frames_TD.reshape(-1, bands).T[::-1]
    below = [panels.image(mel_YX, example.num_steps, "log-mel frames\n(high tones up)", "energy, standardised")]
    return Reading(axis, ["" if i == 0 else classes[i] for i in example.answered_T], texts, below)


def _string(path: list[int], classes: list[str]) -> str:
    """What a path says: repeats joined, blanks dropped."""
    return "".join(classes[label] for label, _ in itertools.groupby(path) if label)


def _series(subject: Subject, window: Window, example: Example) -> Reading:
    fields, at = window.fields, (example.steps.start, example.lane)
    name, first = subject.model.sidecar["series"][int(fields["series_TB"][at])], int(fields["age_TB"][at])
    values_T = fields["past_TBL"][example.steps, example.lane, 0].double().numpy()
    axis = Axis(count=example.num_steps, name=f"step of the series {name}", first=first + 1)
    texts = {"inputs": f"{name} from step {first + 1} on"}
    return Reading(axis, [], texts, [panels.line(values_T, "value read")])


def _of(x_TB: torch.Tensor, example: Example) -> list[Any]:
    return list(x_TB[example.steps, example.lane].tolist())


READERS: dict[str, Callable[[Subject, Window, Example], Reading]] = {
    "captioning": _tokens("inputs_TB", "words", "words", "word said before each step (above: the right one)"),
    "classification": _whole,
    "forecasting": _series,
    "language_model": _tokens("tokens_TB", "words", "words", "token read at each step (above: the right next one)"),
    "recognition": _sound,
    "tagging": _tokens("words_TB", "words", "tags", "word read at each step (above: its right tag)"),
    "transduction": _pieces,
}
"""By kind; the names in the sidecar are those that the tasks of a kind give."""


def most_steps(reading: Reading) -> int:
    """How many steps of such an example a picture shows."""
    return WORDS if reading.axis.words else FRAMES


def wrong(example: Example) -> Any:
    """wrong_T of the answers."""
    if not len(example.right_T):
        return np.zeros(len(example.losses_T), bool)
    return example.right_T != example.answered_T
