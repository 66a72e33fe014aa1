"""Sound files of every rate, width and channel count as one wave; what cannot be one is refused and named."""

import io

import numpy as np
import pytest
import soundfile

from pipelines.parsers import wav
from rnn_core.errors import DataError


def tone(rate: int, hz: float = 440.0, seconds: float = 0.5) -> np.ndarray:
    return 0.5 * np.sin(2 * np.pi * hz * np.arange(int(rate * seconds)) / rate)


def content(samples: np.ndarray, rate: int = 8000, subtype: str = "PCM_16") -> bytes:
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format="WAV", subtype=subtype)
    return file.getvalue()


@pytest.mark.parametrize(
    ("subtype", "error"), [("PCM_U8", 1e-2), ("PCM_16", 1e-4), ("PCM_24", 1e-6), ("PCM_32", 1e-7), ("FLOAT", 1e-7)]
)
def test_any_width(subtype: str, error: float) -> None:
    sound = wav.read(content(tone(8000), subtype=subtype), "a.wav", rate=8000)
    assert sound.wave.dtype == np.float32
    assert sound.changes == ()
    np.testing.assert_allclose(sound.wave, tone(8000), rtol=0, atol=error)


@pytest.mark.parametrize("rate", [16000, 11025, 44100, 4000])
def test_another_rate_is_resampled_and_said(rate: int) -> None:
    sound = wav.read(content(tone(rate), rate), "a.wav", rate=8000)
    assert sound.changes == (f"resampled from {rate} Hz",)
    middle = slice(400, -400)
    np.testing.assert_allclose(sound.wave[middle], tone(8000)[: len(sound.wave)][middle], rtol=0, atol=5e-3)


def test_what_lies_above_half_the_rate_is_filtered_out() -> None:
    sound = wav.read(content(tone(16000, hz=6000.0), 16000), "a.wav", rate=8000)
    assert np.abs(sound.wave[200:-200]).max() < 0.01


def test_channels_are_averaged_and_said() -> None:
    left, right = tone(8000), tone(8000, hz=1000.0)
    sound = wav.read(content(np.stack([left, right], 1)), "a.wav", rate=8000)
    assert sound.changes == ("mixed down from 2 channels",)
    np.testing.assert_allclose(sound.wave, (left + right) / 2, rtol=0, atol=1e-4)


@pytest.mark.parametrize(
    ("raw", "found"),
    [
        (b"", "no sound file"),
        (b"word\tanother\n", "no sound file"),
        (content(tone(8000))[:30], "no sound file|no samples"),
        (content(np.zeros(0)), "no samples"),
        (content(np.array([0.1, np.nan, 0.2]), subtype="FLOAT"), "samples that are no finite numbers"),
    ],
    # Named here: a file of float samples tells the second it was written in, and names made from its bytes would differ
    # between the processes that share the tests.
    ids=["nothing", "a table", "a cut header", "no samples", "not a number"],
)
def test_what_is_no_recording_is_refused(raw: bytes, found: str) -> None:
    with pytest.raises(DataError, match=f"a.wav: ({found})"):
        wav.read(raw, "a.wav", rate=8000)
