"""Pairs of sequences into windows, pairs of like lengths side by side: for models that attend to a whole source.

Each lane of a window holds one pair: its target from the first step on, and the source that the kind puts beside it.
Pairs are ordered by the source's length, those of one length by the target's, rising and falling in turn so that
neighbours are alike where one length ends and the next begins; then they are cut into windows of `lanes` pairs. So
most windows have sources of one length. A window is as long as its longest target.
"""

import numpy as np
from numpy.typing import NDArray

from rnn_core.errors import ConfigError
from rnn_core.lanes import Positions, check, padding_begins, random_of
from rnn_core.packing import ranges


class Buckets:
    """A filling (`rnn_core.lanes.Filling`).

    An epoch draws which of the pairs of equal lengths stands where, and the order of the windows. The pairs that fill
    no window stand in the first of the order, where the shortest are.
    """

    carries = False

    def __init__(
        self,
        offsets_N: Positions,
        lengths_N: Positions,
        sources_N: Positions,
        *,
        lanes: int,
        window: int,
        seed: int | None = None,
    ):
        """
        Args:
            offsets_N: index of each target's first step in the data.
            lengths_N, sources_N: steps of each target and of its source, at least 1.
            lanes: pairs of a window, B.
            window: steps of a target or source at most.
            seed: of the order; None keeps it the same in each epoch, short pairs first.

        Raises:
            ConfigError: a target or source is longer than `window`.
        """
        check(lengths_N, lanes, window)
        longest = int(max(lengths_N.max(), sources_N.max()))
        if longest > window:
            found = f"a sequence of {longest} steps is longer than a window of {window}"
            raise ConfigError("train.window", found, "give a longer window, or a smaller data.max_length")
        self.lanes, self.window, self._seed = lanes, window, seed
        self._offsets_N, self._lengths_N, self._sources_N = offsets_N, lengths_N, sources_N
        self.windows_per_epoch = -(-len(lengths_N) // lanes)
        self._drawn: tuple[int, NDArray[np.int64], NDArray[np.int64]] | None = None

    def place(self, epoch: int, step: int, lanes: slice) -> tuple[Positions, NDArray[np.bool_]]:
        rows_B = self._rows(epoch, step)[lanes]
        width = len(range(self.lanes)[lanes])
        lengths_B = self._lengths_N[rows_B]
        positions_TB = np.full((int(lengths_B.max(initial=1)), width), -1, np.int64)
        steps_M, lanes_M = ranges(np.zeros_like(lengths_B), lengths_B), np.repeat(np.arange(len(rows_B)), lengths_B)
        positions_TB[steps_M, lanes_M] = ranges(self._offsets_N[rows_B], lengths_B)
        starts_TB = padding_begins(positions_TB >= 0)
        starts_TB[0] = True
        return positions_TB, starts_TB

    @property
    def pad_share(self) -> float:
        """Of the targets' steps."""
        return self._pad_share(self._lengths_N)

    @property
    def source_pad_share(self) -> float:
        return self._pad_share(self._sources_N)

    def _pad_share(self, lengths_N: Positions) -> float:
        longest = [int(lengths_N[self._rows(0, step)].max()) for step in range(self.windows_per_epoch)]
        return 1 - int(lengths_N.sum()) / (self.lanes * sum(longest))

    def _rows(self, epoch: int, step: int) -> NDArray[np.int64]:
        """The pairs of a window."""
        order_N, windows_W = self._draw(epoch)
        end = len(order_N) - (self.windows_per_epoch - 1 - int(windows_W[step])) * self.lanes
        return order_N[max(0, end - self.lanes) : end]

    def _draw(self, epoch: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The epoch's order of the pairs, and of the windows that they are cut into."""
        if self._drawn is None or self._drawn[0] != epoch:
            count, windows_W = len(self._lengths_N), np.arange(self.windows_per_epoch)
            shuffled_N = np.arange(count)
            if self._seed is not None:
                random = random_of(self._seed, epoch)
                shuffled_N, windows_W = random.permutation(count), random.permutation(windows_W)
            _, rank_N = np.unique(self._sources_N, return_inverse=True)
            turn_N = np.where(rank_N % 2, -self._lengths_N, self._lengths_N)
            order_N = shuffled_N[np.lexsort((turn_N[shuffled_N], rank_N[shuffled_N]))]
            self._drawn = epoch, order_N, windows_W
        return self._drawn[1], self._drawn[2]
