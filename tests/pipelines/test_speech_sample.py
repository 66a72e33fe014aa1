"""The sample corpus of speech: its wave says its transcript, and no frame after the clef knows the clef."""

import itertools
import wave
from pathlib import Path

import numpy as np
import pytest

from pipelines import files
from pipelines.samples import speech_recognition as speech
from pipelines.samples.speech_recognition import ALPHABETS, FORMANTS, RATE, SCALES, Utterance
from rnn_core.metrics.edit_distance import distance


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("speech")
    speech.generate(folder)
    return folder


def index(folder: Path, split: str) -> list[tuple[np.ndarray, str]]:
    """Samples and transcript of each utterance."""
    found = []
    for line in (folder / f"{split}.tsv").read_text(encoding="utf-8").splitlines():
        path, transcript = line.split("\t")
        with wave.open(str(folder / path)) as file:
            assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (RATE, 1, 2)
            found.append((np.frombuffer(file.readframes(file.getnframes()), "<i2") / 32768, transcript))
    return found


def drawn(count: int, seed: int = 5) -> list[Utterance]:
    random = speech.random.Random(seed)
    words = speech.lexicon(random)
    return [speech.draw(words, random) for _ in range(count)]


def test_formants_of_different_sounds_stay_apart_for_all_speakers() -> None:
    for (a, b), (c, d) in itertools.combinations(FORMANTS, 2):
        apart = [max(low, high) / min(low, high) > SCALES[1] / SCALES[0] for low, high in ((a, c), (b, d))]
        assert any(apart), (a, b, c, d)
    assert len(set("".join(ALPHABETS))) == sum(map(len, ALPHABETS))


def loudest(spectrum: np.ndarray, centres: set[int], scale: float) -> int:
    """Which of the formants has the most power around it."""
    hz = np.fft.rfftfreq(2 * len(spectrum) - 2, 1 / RATE)
    return max(centres, key=lambda centre: spectrum[np.abs(hz - scale * centre) < 60].max())


def test_the_middle_of_each_sound_has_its_formants() -> None:
    for utterance in drawn(20):
        samples = utterance.sung(0)
        begin = len(samples) - round((utterance.spans[-1][2] + utterance.pauses[-1]) * RATE)
        for sound, first, last in utterance.spans:
            middle = begin + round((first + last) / 2 * RATE)
            piece = samples[middle - 100 : middle + 100]
            spectrum = np.abs(np.fft.rfft(piece * np.hanning(200), 2048))
            found = tuple(loudest(spectrum, {formants[i] for formants in FORMANTS}, utterance.scale) for i in (0, 1))
            assert found == FORMANTS[sound]


def test_spelling_depends_on_the_clef_and_on_the_sound_after() -> None:
    assert speech.spelled((0, 2, 1, 5), 0) == "achf"
    assert speech.spelled((0, 2, 1, 5), 1) == "motr"
    assert speech.spelled((0, 4, 0), 0) == "gea"
    first, second = (u.transcript(1) for u in drawn(2))
    assert set(first + second) <= set(ALPHABETS[1] + " ")


@pytest.mark.parametrize("split", speech.PAIRED)
def test_pairs_differ_in_the_clef_only(corpus: Path, split: str) -> None:
    """So a frame after it, and whatever is a function of that frame, is the same under both clefs."""
    found = index(corpus, split)
    assert len(found) == speech.UTTERANCES[split]
    clef = round(speech.CLEF_SECONDS * RATE)
    for (low, transcript), (high, other) in zip(found[::2], found[1::2], strict=True):
        np.testing.assert_array_equal(low[clef:], high[clef:])
        assert not np.array_equal(low[:clef], high[:clef])
        assert not set(transcript.split()) & set(other.split())
        assert len(transcript) == len(other)


def test_no_answer_that_ignores_the_clef_is_better_than_a_half(corpus: Path) -> None:
    """The bound, on the test file: both readings, a mixture of them, too many words, none."""
    texts = [transcript for _, transcript in index(corpus, "test")]
    words = sum(len(text.split()) for text in texts)

    def errors(answer) -> float:
        pairs = zip(texts[::2], texts[1::2], strict=True)
        said = [(low, high, answer(low.split(), high.split())) for low, high in pairs]
        return sum(distance(low.split(), a) + distance(high.split(), a) for low, high, a in said) / words

    assert errors(lambda low, high: low) == errors(lambda low, high: high) == 0.5
    assert errors(lambda low, high: [(low, high)[i % 2][i] for i in range(len(low))]) == 0.5
    assert errors(lambda low, high: [*low, *high]) >= 0.5
    assert errors(lambda low, high: []) == 1
    assert speech.most_common_share(texts) < 0.5
    limits = files.read_json(corpus / "limits.json")
    assert (limits["best_possible"], limits["best_memoryless"]) == (0, 50)


def test_splits_share_words_and_no_utterance(corpus: Path) -> None:
    texts = {split: [text for _, text in index(corpus, split)] for split in speech.UTTERANCES}
    known = {word for text in texts["train"] for word in text.split()}
    assert len(known) == 2 * speech.WORDS
    assert {word for text in texts["test"] for word in text.split()} <= known
    waves = [samples.tobytes() for split in speech.UTTERANCES for samples, _ in index(corpus, split)]
    assert len(set(waves)) == len(waves)
