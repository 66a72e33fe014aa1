"""The front end of speech against a slow float64 reference written from its description, and HTK's formula."""

import math

import numpy as np
import pytest

from rnn_core.errors import ConfigError
from rnn_core.speech.log_mel import BLOCK_FRAMES, LogMel, stacked, to_mel

SETTINGS = {"rate": 8000, "window_ms": 25.0, "hop_ms": 10.0, "bands": 23, "low_hz": 64.0, "high_hz": 3800.0}


def front(**changes) -> LogMel:
    return LogMel(**{**SETTINGS, **changes})


def noise(samples: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-0.5, 0.5, samples).astype(np.float32)


def mel(hz: float) -> float:
    return 2595 * math.log10(1 + hz / 700)


def slow_frame(piece: np.ndarray, log_mel: LogMel) -> list[float]:
    """One frame: the transform as its sum, each band as its triangle."""
    size, count = log_mel.fft, len(piece)
    hann = [0.5 * (1 - math.cos(2 * math.pi * n / count)) for n in range(count)]
    samples = np.array([float(x) * w for x, w in zip(piece, hann, strict=True)])
    turns = np.arange(count) / size
    power = [abs(np.sum(samples * np.exp(-2j * np.pi * k * turns))) ** 2 for k in range(size // 2 + 1)]
    width = (mel(log_mel.high_hz) - mel(log_mel.low_hz)) / (log_mel.bands + 1)
    features = []
    for band in range(log_mel.bands):
        top = mel(log_mel.low_hz) + (band + 1) * width
        weights = [max(0.0, 1 - abs(mel(k * log_mel.rate / size) - top) / width) for k in range(len(power))]
        features.append(math.log(max(1e-10, sum(w * p for w, p in zip(weights, power, strict=True)))))
    return features


@pytest.mark.parametrize("changes", [{}, {"rate": 16000, "bands": 40, "low_hz": 0.0, "high_hz": 8000.0, "hop_ms": 7.5}])
def test_it_equals_the_slow_reference(changes: dict) -> None:
    log_mel = front(**changes)
    wave = noise(log_mel.window + 3 * log_mel.hop + 1)
    found_TM = log_mel(wave)
    assert found_TM.shape == (4, log_mel.bands)
    assert found_TM.dtype == np.float32
    for t, found_M in enumerate(found_TM):
        expected = slow_frame(wave[t * log_mel.hop : t * log_mel.hop + log_mel.window], log_mel)
        np.testing.assert_allclose(found_M, expected, rtol=0, atol=2e-6)


def test_the_scale_is_htks() -> None:
    """1000 Hz is 1000 mel, to the rounding of the formula's constants."""
    assert float(to_mel(1000)) == pytest.approx(1000, abs=0.1)
    assert float(to_mel(0)) == 0
    assert float(to_mel(4000)) == pytest.approx(2146.1, abs=0.1)


def test_a_tone_is_loudest_in_its_band() -> None:
    log_mel = front(bands=20)
    tops = np.linspace(to_mel(64), to_mel(3800), 22)[1:-1]
    for hz in (300, 1000, 2500):
        tone = (0.3 * np.sin(2 * np.pi * hz * np.arange(4000) / 8000)).astype(np.float32)
        assert (log_mel(tone).argmax(1) == np.abs(tops - to_mel(hz)).argmin()).all()


@pytest.mark.parametrize(("samples", "frames"), [(0, 0), (199, 0), (200, 1), (279, 1), (280, 2), (8000, 98)])
def test_frames_reach_over_no_end(samples: int, frames: int) -> None:
    log_mel = front()
    assert log_mel.frames(samples) == frames == len(log_mel(noise(samples)))


def test_twice_as_loud_is_a_constant_more_and_silence_has_a_floor() -> None:
    log_mel = front()
    np.testing.assert_allclose(log_mel(noise(900)) + math.log(4), log_mel(2 * noise(900)), rtol=0, atol=1e-5)
    assert (log_mel(np.zeros(900, np.float32)) == np.float32(math.log(1e-10))).all()


def test_blocks_do_not_show() -> None:
    log_mel = front(hop_ms=1.0)
    wave = noise(log_mel.window + (BLOCK_FRAMES + 5) * log_mel.hop)
    later = log_mel(wave[BLOCK_FRAMES * log_mel.hop :])
    np.testing.assert_array_equal(log_mel(wave)[BLOCK_FRAMES:], later)


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"high_hz": 4001.0}, "bands from 64.0 to 4001.0 Hz"),
        ({"low_hz": 3800.0}, "bands from 3800.0 to 3800.0 Hz"),
        ({"bands": 0}, "bands: found 0"),
        ({"bands": 100}, "100 bands over a spectrum of 129 lines"),
        ({"hop_ms": 0.0}, "200 samples every 0 samples"),
    ],
)
def test_settings_that_cannot_be(changes: dict, found: str) -> None:
    with pytest.raises(ConfigError, match=found):
        front(**changes)


def test_stacking_puts_frames_side_by_side() -> None:
    frames_TM = np.arange(14, dtype=np.float32).reshape(7, 2)
    assert stacked(frames_TM, stack=3, skip=2).tolist() == [list(range(a, a + 6)) for a in (0, 4, 8)]
    assert stacked(frames_TM, stack=1, skip=1).tolist() == frames_TM.tolist()
    assert stacked(frames_TM[:2], stack=3, skip=3).shape == (0, 6)
