"""A recording and its transcript as frames and labels: the settings of the front end, and what makes a bad record."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from pipelines.parsers import wav
from rnn_core.config import check_whole
from rnn_core.errors import ConfigError, DataError
from rnn_core.speech.log_mel import Features, LogMel


@dataclass(frozen=True, kw_only=True)
class Counted:
    """A language model counted from the training transcripts, beside the network in the search."""

    order: int
    """Characters that it sees, the next one among them."""
    weight: float
    bonus: float
    """For each character, in nats."""

    def __post_init__(self) -> None:
        check_whole("data.language_model", order=self.order)


@dataclass(frozen=True, kw_only=True)
class Data:
    front_end: LogMel
    stack: int
    """Frames of a step."""
    skip: int
    """Frames from a step to the next."""
    normalise: Literal["utterance", "global"]
    """Mean and deviation of each band over the utterance (a whole one is needed), or over the training split."""
    alphabet: str
    """The characters of transcripts."""
    max_seconds: float
    """Longer recordings are bad records: a window holds a whole one."""
    beam: int | None
    """Strings that the search keeps; null takes the best path."""
    language_model: Counted | None

    def __post_init__(self) -> None:
        check_whole("data", stack=self.stack, skip=self.skip, beam=self.beam or 1)
        if not self.alphabet or len(set(self.alphabet)) < len(self.alphabet):
            raise ConfigError("data.alphabet", f"found {self.alphabet!r}", "different characters, at least one")
        if self.language_model and not self.beam:
            raise ConfigError("data.language_model", "found with beam: null", "null, or a beam")


@dataclass(frozen=True)
class Utterance:
    """Log-mel frames with what was said; the transcript of what a user gives is empty."""

    frames_TM: Features
    transcript: str
    changes: tuple[str, ...]
    """What was done to its samples."""
    records: int = 1


def hear(content: bytes, transcript: str, where: str, data: Data) -> Utterance:
    """The contents of a sound file; `where` is its name for messages.

    Raises:
        DataError: no sound file, or one that is too short or too long.
    """
    sound = wav.read(content, where, rate=data.front_end.rate)
    seconds = len(sound.wave) / data.front_end.rate
    if seconds > data.max_seconds:
        raise DataError(where, f"{seconds:.2f} seconds", f"at most {data.max_seconds} (data.max_seconds)")
    frames_TM = data.front_end(sound.wave)
    if steps(len(frames_TM), data) < 1:
        raise DataError(where, f"{seconds:.3f} seconds", f"a recording of {data.stack} frames at least")
    return Utterance(frames_TM, transcript, sound.changes)


def check_transcript(transcript: str, where: str, data: Data) -> None:
    """Raises DataError: it is empty, or has a character that is not of the alphabet."""
    if not transcript:
        raise DataError(where, "an empty transcript", "what is said in the recording")
    if unknown := sorted(set(transcript) - set(data.alphabet)):
        found = f"the characters {''.join(unknown)!r} in {transcript!r}"
        raise DataError(where, found, f"those of data.alphabet, {data.alphabet!r}")


def steps(frames: int, data: Data) -> int:
    """How many steps so many frames make."""
    return max(0, 1 + (frames - data.stack) // data.skip)


def labels_of(transcript: str, alphabet: str) -> NDArray[np.int32]:
    """The class of each character; 0 is the blank."""
    return np.array([1 + alphabet.index(character) for character in transcript], np.int32)
