"""Sound files to waves of one rate: what is converted, and what is refused.

A file may have any rate, width (8 to 32 bits, whole numbers or floats) and number of channels that `soundfile` reads.
Channels are averaged; another rate is resampled by a polyphase filter (scipy's, a Kaiser window); what was done is
said. Refused: what is no sound file, an empty one, samples that are no numbers.
"""

import io
import math
from dataclasses import dataclass

import numpy as np
import scipy.signal
import soundfile

from rnn_core.errors import DataError
from rnn_core.speech.log_mel import Wave


@dataclass(frozen=True)
class Sound:
    wave: Wave
    """One channel, of the rate that was asked for."""
    changes: tuple[str, ...]
    """What was done to the file's samples, in words: `resampled from 44100 Hz`."""


def read(content: bytes, where: str, *, rate: int) -> Sound:
    """A file's content as a wave.

    Args:
        where: the file, for messages.
        rate: samples a second of the wave that is wanted.

    Raises:
        DataError: no sound file, no samples, or samples that are no numbers.
    """
    try:
        samples_SC, found_rate = soundfile.read(io.BytesIO(content), dtype="float32", always_2d=True)
    except (soundfile.LibsndfileError, RuntimeError) as error:
        raise DataError(where, f"no sound file ({str(error).rstrip('.')})", "a whole wav file") from error
    if not len(samples_SC):
        raise DataError(where, "no samples", "a recording that is not empty")
    if not np.isfinite(samples_SC).all():
        raise DataError(where, "samples that are no finite numbers", "numbers from -1 to 1")
    changes = []
    wave = samples_SC[:, 0]
    if samples_SC.shape[1] > 1:
        wave = samples_SC.mean(axis=1)
        changes.append(f"mixed down from {samples_SC.shape[1]} channels")
    if found_rate != rate:
        wave = resampled(wave, found_rate, rate)
        changes.append(f"resampled from {found_rate} Hz")
    return Sound(wave, tuple(changes))


def resampled(wave: Wave, rate: int, wanted: int) -> Wave:
    """A wave of `rate` samples a second as one of `wanted`; what lies above half the lower rate is filtered out."""
    common = math.gcd(rate, wanted)
    converted: Wave = scipy.signal.resample_poly(wave, wanted // common, rate // common).astype(np.float32)
    return converted
