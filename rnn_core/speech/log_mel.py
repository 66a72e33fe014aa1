"""The front end of speech: how loud each band of pitch is, every few milliseconds.

Power spectra of overlapping pieces of the wave (Hann window, no dither, no pre-emphasis), summed into triangular bands
of equal width on the mel scale as HTK has it (Young et al. 2006: The HTK book: 2595 log10(1 + f / 700)), logarithms of
the sums. All sums are in float64, so that equal waves give equal features; nothing is drawn. No piece reaches over an
end of the wave: there are 1 + (samples - window) // hop of them.

    T  frames    M  mel bands    F  frequencies of the spectrum
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from rnn_core.config import check_whole
from rnn_core.errors import ConfigError

Wave = NDArray[np.float32]
"""Samples from -1 to 1."""
Features = NDArray[np.float32]
FLOOR = 1e-10
"""Least power of a band before the logarithm: far below the noise of 16 bits, and what digital silence has."""
BLOCK_FRAMES = 1024
"""Frames whose spectra are in memory at once."""


@dataclass(frozen=True, kw_only=True)
class LogMel:
    """From a wave to log-mel frames."""

    rate: int
    """Samples a second."""
    window_ms: float
    hop_ms: float
    """Between the beginnings of two frames."""
    bands: int
    """M."""
    low_hz: float
    high_hz: float
    """Where the lowest band begins and the highest ends."""

    def __post_init__(self) -> None:
        check_whole("data.front_end", rate=self.rate, bands=self.bands)
        if self.hop < 1 or self.window < 2:
            found = f"{self.window} samples every {self.hop} samples"
            raise ConfigError("data.front_end", found, "a longer window_ms or hop_ms")
        if not 0 <= self.low_hz < self.high_hz <= self.rate / 2:
            found = f"bands from {self.low_hz} to {self.high_hz} Hz"
            raise ConfigError("data.front_end", found, f"0 <= low_hz < high_hz <= {self.rate / 2} (half the rate)")
        if not self.filters_FM.any(axis=0).all():
            found = f"{self.bands} bands over a spectrum of {self.fft // 2 + 1} lines: some get none"
            raise ConfigError("data.front_end.bands", found, "fewer bands, or a longer window_ms")

    @property
    def window(self) -> int:
        """Samples of a frame."""
        return round(self.rate * self.window_ms / 1000)

    @property
    def hop(self) -> int:
        """Samples between the beginnings of two frames."""
        return round(self.rate * self.hop_ms / 1000)

    @property
    def fft(self) -> int:
        """Samples of a transform: the next power of two, zeros after the frame."""
        return 1 << (self.window - 1).bit_length()

    @cached_property
    def hann(self) -> NDArray[np.float64]:
        """The window function, periodic: its next value would be the first one again."""
        return 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(self.window) / self.window)

    @cached_property
    def filters_FM(self) -> NDArray[np.float64]:
        """Weight of each frequency in each band: triangles in mel, 1 at the top, 0 from the neighbours' tops on."""
        corners = np.linspace(to_mel(self.low_hz), to_mel(self.high_hz), self.bands + 2)
        mel_F1 = to_mel(np.arange(self.fft // 2 + 1) * self.rate / self.fft)[:, None]
        below_M, top_M, above_M = corners[:-2], corners[1:-1], corners[2:]
        rising_FM = (mel_F1 - below_M) / (top_M - below_M)
        falling_FM = (above_M - mel_F1) / (above_M - top_M)
        return np.maximum(0, np.minimum(rising_FM, falling_FM))

    def frames(self, samples: int) -> int:
        """How many frames a wave of so many samples has."""
        return max(0, 1 + (samples - self.window) // self.hop)

    def __call__(self, wave: Wave) -> Features:
        """log_mel_TM; no frames where the wave is shorter than one."""
        features_TM = np.empty((self.frames(len(wave)), self.bands), np.float32)
        if not len(features_TM):
            return features_TM
        pieces_TW = np.lib.stride_tricks.sliding_window_view(wave, self.window)[:: self.hop]
        for begin in range(0, len(features_TM), BLOCK_FRAMES):
            spectrum_TF = np.fft.rfft(pieces_TW[begin : begin + BLOCK_FRAMES] * self.hann, self.fft)
            power_TF = spectrum_TF.real**2 + spectrum_TF.imag**2
            features_TM[begin : begin + BLOCK_FRAMES] = np.log(np.maximum(power_TF @ self.filters_FM, FLOOR))
        return features_TM


def to_mel(hz: float | NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(2595 * np.log10(1 + np.asarray(hz) / 700))


def stacked(features_TM: Features, *, stack: int, skip: int) -> Features:
    """steps_TD of stack * M features: `stack` frames in a row side by side, a step every `skip` frames.

    Sak et al. 2015 (Fast and accurate recurrent neural network acoustic models for speech recognition): fewer, longer
    steps, and nothing is lost while `skip` is at most `stack`. Frames after the last whole step are dropped.
    """
    if len(features_TM) < stack:
        return np.empty((0, stack * features_TM.shape[1]), np.float32)
    pieces_TMS = np.lib.stride_tricks.sliding_window_view(features_TM, stack, axis=0)[::skip]
    return np.ascontiguousarray(pieces_TMS.transpose(0, 2, 1)).reshape(len(pieces_TMS), -1)
