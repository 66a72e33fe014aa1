"""A stream in windows of varying length, so that a word does not stand at the same place of a window in each epoch.

Merity et al. 2017 (Regularizing and optimizing LSTM language models): a window's length is drawn about the usual one,
or, one time in twenty, about half of it; the learning rate goes with the length, so that each step counts alike. Here
an epoch has as many windows as it would have without, whatever is drawn, and they fill its lanes exactly.
"""

import numpy as np
from numpy.typing import NDArray

from rnn_core.errors import ConfigError
from rnn_core.lanes import Filling, Positions, Stream

HALVED = 0.05
"""Share of the windows that are about half as long."""
LEAST = 1 / 8
"""Of the usual length, that the drawn ones have at least."""


class Varied:
    """The steps of a `Stream` in their order, cut at other places in each epoch: a pure function of (seed, epoch)."""

    def __init__(self, stream: Stream, spread: float, seed: int):
        """
        Args:
            stream: its `window` is the usual length, and nearly the mean one.
            spread: standard deviation of the lengths, in steps.
        """
        self.lanes, self.window, self.carries = stream.lanes, stream.window, stream.carries
        self.windows_per_epoch = stream.windows_per_epoch
        self._stream, self._spread, self._seed = stream, spread, seed
        self._drawn: tuple[int, NDArray[np.int64]] | None = None

    def place(self, epoch: int, step: int, lanes: slice) -> tuple[Positions, NDArray[np.bool_]]:
        begin, end = self._borders(epoch)[step : step + 2]
        return self._stream.span(epoch, int(begin), int(end), lanes)

    @property
    def pad_share(self) -> float:
        return self._stream.lane_pad_share

    def relative_length(self, number: int) -> float:
        """Steps of a window, counted over all epochs, as a share of the usual ones."""
        epoch, step = divmod(number, self.windows_per_epoch)
        begin, end = self._borders(epoch)[step : step + 2]
        return float(end - begin) / self.window

    def _borders(self, epoch: int) -> NDArray[np.int64]:
        """The step of the lanes at which each window of the epoch begins, and where the last one ends."""
        # One look and one return: a thread may ask for the next epoch's windows while the loop asks for a length.
        drawn = self._drawn
        if drawn is None or drawn[0] != epoch:
            # The generator's first numbers order the sequences of the epoch.
            random = np.random.Generator(np.random.Philox(key=[self._seed, epoch]).jumped())
            count, steps = self.windows_per_epoch, self._stream.lane_steps
            usual_W = np.where(random.random(count) < HALVED, 0.5, 1.0) * self.window
            drawn_W = np.maximum(usual_W + self._spread * random.standard_normal(count), LEAST * self.window)
            ends_W = np.cumsum(drawn_W) / drawn_W.sum()
            # Each has a step of its own, and its share of the others.
            borders = np.arange(count + 1) + np.concatenate([[0], np.rint(ends_W * (steps - count))])
            self._drawn = drawn = epoch, borders.astype(np.int64)
        return drawn[1]


def varied(filling: Filling, spread: float, seed: int) -> Filling:
    """The filling with windows of varying length; itself where the spread is 0.

    Raises:
        ConfigError: the filling is no stream.
    """
    if not spread:
        return filling
    if not isinstance(filling, Stream):
        found = f"found {spread} with whole sequences in each window"
        raise ConfigError("train.window_spread", found, "0; only a stream can be cut anywhere")
    return Varied(filling, spread, seed)


def relative_length(filling: Filling, number: int) -> float:
    """Of a window, to scale the learning rate with; 1 where all are of one length."""
    return filling.relative_length(number) if isinstance(filling, Varied) else 1.0
