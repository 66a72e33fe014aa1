"""A made-up language that is sung after a clef, with the exact share that no recogniser without memory gets right.

The process. An utterance begins with its clef: a low tone or a high one, as a staff of music has, then a pause. Words
of two to four sounds follow, with pauses between them. A sound is a voice with two formants (two tones, modulated at
the pitch); neighbouring sounds glide into each other. Each utterance has a speaker, who scales all formants, pitch,
tempo and loudness, and noise. What a sound is spelled as depends on what is around it: on the clef, which gives all
letters of the utterance one of two alphabets, and, for close sounds, on the sound that follows in the word.

Why it is a sequence problem. A frame tells the sound, but not its letter: the clef was heard up to two seconds before,
and the sound that decides between two spellings comes afterwards.

The exact scores. The formants of different sounds stay apart for all speakers, so the wave determines its transcript:
the best word error rate is 0. Without memory at least 50 % of the words are wrong. The validation and test files hold
each utterance under both clefs, equal waves but for the clef. What a recogniser without memory (each frame's class is
a function of that frame, repeats joined and blanks dropped) says after the clef is then the same string of words both
times. The two transcripts have n words each, and no word in common, as their letters differ; so of the m words said
each is right in one of the two at most, and the errors of both, at least 2 max(n, m) - m, are n or more. What it says
during the clef itself is said of no sound: a word guessed there costs one edit and is right in no more utterances than
have that word, which for each word is less than a half (`most_common_share`).
"""

import math
import random
import wave
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipelines import files

Wave = NDArray[np.float64]
SEED = 1
RATE = 8000
UTTERANCES = {"train": 1400, "validation": 120, "test": 300}
PAIRED = ("validation", "test")
"""Splits that have each utterance under both clefs."""
FORMANTS = ((320, 1250), (320, 2000), (520, 1250), (520, 2000), (780, 1250), (780, 2000))
"""Hz, of each sound; the first two are close."""
CLOSE, OPEN = (0, 1), (4, 5)
"""Close sounds have another spelling before open ones."""
ALPHABETS = ("abcdef" + "gh", "mnopqr" + "st")
"""By clef: a letter for each sound, then those of the close ones before open ones."""
CLEFS = (170, 3400)
"""Hz."""
SCALES = (0.92, 1.08)
"""Of the formants, by speaker; even so those of different sounds are apart."""
CLEF_SECONDS, SILENCE = 0.09, 0.07
GLIDE = 0.025
"""Seconds that neighbouring sounds take to become each other."""
WORDS = 24
LENGTHS = (2, 4)
"""Sounds of a word; also words of an utterance."""

Word = tuple[int, ...]
"""Its sounds."""


@dataclass(frozen=True, kw_only=True)
class Utterance:
    """All that is drawn of an utterance, but for its clef."""

    words: tuple[Word, ...]
    seconds: tuple[tuple[float, ...], ...]
    """How long each sound of each word lasts."""
    pauses: tuple[float, ...]
    """Seconds after each word."""
    scale: float
    pitch: float
    """Hz."""
    loudness: float
    noise: int
    """Seed of its noise."""

    def transcript(self, clef: int) -> str:
        return " ".join(spelled(word, clef) for word in self.words)

    @property
    def spans(self) -> list[tuple[int, float, float]]:
        """(sound, its first second, its last one), counted from the end of the silence after the clef."""
        found, now = [], 0.0
        for word, seconds, pause in zip(self.words, self.seconds, self.pauses, strict=True):
            for sound, length in zip(word, seconds, strict=True):
                found.append((sound, now, now + length))
                now += length
            now += pause
        return found

    def sung(self, clef: int) -> Wave:
        """The wave: clef, silence, words."""
        tone = np.sin(2 * np.pi * CLEFS[clef] * _times(CLEF_SECONDS)) * _faded(np.ones(len(_times(CLEF_SECONDS))))
        silence = np.zeros(len(_times(SILENCE)))
        clean = np.concatenate([tone, silence, self._words()])
        noise = np.random.Generator(np.random.PCG64(self.noise)).normal(0, 0.01, len(clean))
        return self.loudness * clean + noise

    def _words(self) -> Wave:
        end = self.spans[-1][2] + self.pauses[-1]
        formants, on = np.zeros((2, len(_times(end)))), np.zeros(len(_times(end)))
        for sound, first, last in self.spans:
            here = slice(round(first * RATE), round(last * RATE))
            formants[:, here] = self.scale * np.array(FORMANTS[sound])[:, None]
            on[here] = 1
        # In a pause the tongue stays where it was.
        for track in formants:
            heard = np.flatnonzero(track)
            track[:] = track[heard[np.searchsorted(heard, np.arange(len(track)), side="right") - 1]]
        glided = np.stack([_smoothed(track, GLIDE) for track in formants])
        first, second = np.sin(2 * np.pi * np.cumsum(glided, 1) / RATE)
        voice = 1 + 0.5 * np.cos(2 * np.pi * self.pitch * _times(end))
        sung: Wave = _faded(on) * voice * (first + 0.7 * second) / 2.5
        return sung


def spelled(word: Word, clef: int) -> str:
    """The letters of a word under a clef."""
    letters = ""
    for place, sound in enumerate(word):
        before_open = word[place + 1 : place + 2] and word[place + 1] in OPEN
        other = sound in CLOSE and before_open
        letters += ALPHABETS[clef][len(FORMANTS) + CLOSE.index(sound) if other else sound]
    return letters


def lexicon(rng: random.Random) -> list[Word]:
    """Different words; neighbouring sounds differ, or nobody could hear where one ends."""
    words: list[Word] = []
    while len(words) < WORDS:
        sounds = [rng.randrange(len(FORMANTS))]
        for _ in range(rng.randint(*LENGTHS) - 1):
            sounds.append(rng.choice([s for s in range(len(FORMANTS)) if s != sounds[-1]]))
        if tuple(sounds) not in words:
            words.append(tuple(sounds))
    return words


def draw(words: Sequence[Word], rng: random.Random) -> Utterance:
    """An utterance of a speaker of its own."""
    said = tuple(rng.choice(words) for _ in range(rng.randint(*LENGTHS)))
    tempo = rng.uniform(0.85, 1.2)
    return Utterance(
        words=said,
        seconds=tuple(tuple(tempo * rng.uniform(0.07, 0.10) for _ in word) for word in said),
        pauses=tuple(tempo * rng.uniform(0.06, 0.09) for _ in said),
        scale=rng.uniform(*SCALES),
        pitch=rng.uniform(90, 220),
        loudness=rng.uniform(0.3, 0.9),
        noise=rng.getrandbits(64),
    )


def most_common_share(transcripts: Sequence[str]) -> float:
    """The largest share of the transcripts, of one clef each, that any one word stands in."""
    shares = []
    for alphabet in ALPHABETS:
        own = [set(text.split()) for text in transcripts if text[0] in alphabet]
        shares += [sum(word in words for words in own) / len(own) for word in set().union(*own)]
    return max(shares)


def generate(folder: Path) -> None:
    """Write `<split>.tsv` (path and transcript of an utterance a line), the wav files and `limits.json`."""
    rng = random.Random(SEED)
    words = lexicon(rng)
    for split, count in UTTERANCES.items():
        (folder / "wav" / split).mkdir(parents=True)
        lines: list[str] = []
        while len(lines) < count:
            utterance = draw(words, rng)
            for clef in range(len(CLEFS)) if split in PAIRED else [rng.randrange(len(CLEFS))]:
                path = f"wav/{split}/{len(lines):04d}.wav"
                _write(folder / path, utterance.sung(clef))
                lines.append(f"{path}\t{utterance.transcript(clef)}\n")
        (folder / f"{split}.tsv").write_text("".join(lines), encoding="utf-8")
    assert most_common_share([line.rstrip("\n").split("\t")[1] for line in lines]) < 0.5
    limits = {"metric": "word_error_rate", "direction": "min", "best_possible": 0.0, "best_memoryless": 50.0}
    files.write_json(folder / "limits.json", limits)


def _times(seconds: float) -> Wave:
    return np.arange(math.ceil(seconds * RATE)) / RATE


def _smoothed(track: Wave, seconds: float) -> Wave:
    """A running mean, the ends held."""
    width = round(seconds * RATE) | 1
    held = np.pad(track, width // 2, mode="edge")
    total = np.cumsum(np.concatenate([[0.0], held]))
    return (total[width:] - total[:-width]) / width


def _faded(on: Wave) -> Wave:
    """Loudness that rises and falls within 10 ms, and stays 0 where it was."""
    faded: Wave = on * _smoothed(np.pad(on, RATE // 100), 0.01)[RATE // 100 : -RATE // 100]
    return faded


def _write(path: Path, samples: Wave) -> None:
    """16 bits, one channel."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(np.round(32767 * np.clip(samples, -1, 1)).astype("<i2").tobytes())
