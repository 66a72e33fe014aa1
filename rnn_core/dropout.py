"""Random draws as a pure function of (seed, update, layer, lane, step): no generator whose state must be kept.

A restart, a recomputed window and another division of the lanes among workers find the same masks, bit for bit, on
every device and in every precision. The function is a counter-based hash: the finalizer of SplitMix64 (Steele et al.
2014: Fast splittable pseudorandom number generators) over each of the numbers in turn.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

_BITS = 53
"""Bits of a draw: as many as a float64 holds exactly."""
_EVERY_LANE = -1
"""In the place of a lane's number, where a draw concerns all lanes alike."""


@dataclass(frozen=True, kw_only=True)
class Draws:
    """The draws of one window.

    Dropout is locked (Gal and Ghahramani 2016: A theoretically grounded application of dropout in recurrent neural
    networks): a mask lasts one lane and window.
    """

    seed: int | Tensor
    update: int | Tensor
    """Number of the window: that of its update, unless an update takes several windows. Both are int64 tensors () where
    a captured step (`rnn_core/graph.py`) draws anew in each replay."""
    lanes_B: Tensor
    """int64: the number of each lane in the whole batch, not among this worker's."""
    first_step: int = 0
    """Which step of its window the first one here is: not 0 where a part of a window is recomputed."""

    def mask(self, layer: int, size: int, rate: float, like: Tensor) -> Tensor:
        """mask_BD to multiply with: 0 with probability `rate`, else 1 / (1 - rate).

        Args:
            layer: number of the mask; each place of a model that drops has its own.
            size: D.
            rate: in [0, 1).
            like: gives the type, and must be on the device of `lanes_B`.
        """
        assert 0 <= rate < 1, rate
        kept_BD = self._bits(layer, size) >= round(rate * 2**_BITS)
        return kept_BD.to(like.dtype).div_(1 - rate)

    def uniform(self, layer: int, size: int) -> Tensor:
        """u_BD in [0, 1), float64. The mask of the same `layer` is made from the same numbers."""
        return self._bits(layer, size).double() * 2.0**-_BITS

    def weight_mask(self, layer: int, shape: Sequence[int], rate: float, like: Tensor) -> Tensor:
        """mask_GH to multiply a weight with, one for all lanes: 0 with probability `rate`, else 1 / (1 - rate).

        Args:
            layer: number of the mask, as for `mask`.
            shape: (G, H).
            rate: in [0, 1); taken to the nearest 2**-16.
            like: gives the type, and must be on the device of `lanes_B`.
        """
        assert 0 <= rate < 1, rate
        rows_G1 = _mix(self._of_weights(layer) ^ self._count(0, shape[0]))[:, None]
        threshold = _threshold(rate)
        kept_GH = self._sixteen_bits(layer, rows_G1, shape[1]) >= threshold
        return kept_GH.to(like.dtype).mul_(2**16 / (2**15 - threshold))

    def chosen(self, layer: int, steps: int, size: int, rate: float, like: Tensor) -> Tensor:
        """chosen_TBD: 1 with probability `rate`, else 0, for each step, lane and feature on its own.

        Args: as for `weight_mask`; the steps count from `first_step`.
        """
        assert 0 <= rate < 1, rate
        steps_T1 = self._count(self.first_step, steps)[:, None]
        rows_TB1 = _mix(self._of_lanes(layer) ^ steps_T1)[:, :, None]
        return (self._sixteen_bits(layer, rows_TB1, size) < _threshold(rate)).to(like.dtype)

    def _bits(self, layer: int, size: int) -> Tensor:
        """int64 in [0, 2**53) for each lane and feature."""
        hash_B1 = self._of_lanes(layer)[:, None]
        return _shift(_mix(hash_B1 ^ self._count(0, size)), 64 - _BITS)

    def _sixteen_bits(self, layer: int, rows: Tensor, size: int) -> Tensor:
        """int16 for each of `rows` (..., 1, int64 hashes) and `size` columns.

        A weight has a million numbers, and SplitMix64 of each would take three times as long as this. So only rows and
        columns are hashed by it, and joined by 32 bits of mixing, each word of which serves two columns. The mixer is
        lowbias32 (Wellons 2018: Prospecting for hash functions).
        """
        columns = _mix(_mix(self._of_weights(layer)) ^ self._count(0, (size + 1) // 2))
        word = (rows >> 32).int() ^ (columns >> 32).int()
        for bits, factor in ((16, 0x7FEB352D), (15, 0x846CA68B - 2**32)):
            word ^= (word >> bits) & ((1 << (32 - bits)) - 1)
            word *= factor
        word ^= (word >> 16) & 0xFFFF
        return word.view(torch.int16)[..., :size]

    def _of_lanes(self, layer: int) -> Tensor:
        """An int64 hash for each lane."""
        return self._hash(self.lanes_B, layer)

    def _of_weights(self, layer: int) -> Tensor:
        """The hash (1,) for all lanes together."""
        return self._hash(torch.full((1,), _EVERY_LANE, device=self.lanes_B.device), layer)

    def _hash(self, lanes_B: Tensor, layer: int) -> Tensor:
        hash_B = _mix(lanes_B)
        for number in (layer, self.update, self.seed):
            hash_B = _mix(hash_B ^ number)
        return hash_B

    def _count(self, first: int, size: int) -> Tensor:
        return torch.arange(first, first + size, device=self.lanes_B.device)


def _threshold(rate: float) -> int:
    """The int16 below which a share `rate` of all int16 lie; not so many that none is left."""
    return min(round(rate * 2**16), 2**16 - 1) - 2**15


def _mix(word: Tensor) -> Tensor:
    """SplitMix64: the next state of the generator, and its output. int64 products wrap around, as they should."""
    word = word + _signed(0x9E3779B97F4A7C15)
    word = (word ^ _shift(word, 30)) * _signed(0xBF58476D1CE4E5B9)
    word = (word ^ _shift(word, 27)) * _signed(0x94D049BB133111EB)
    return word ^ _shift(word, 31)


def _shift(word: Tensor, bits: int) -> Tensor:
    """To the right, zeros coming in: torch shifts int64 with its sign, so the copies of the sign are masked off."""
    return (word >> bits) & ((1 << (64 - bits)) - 1)


def _signed(word: int) -> int:
    """The int64 of the same 64 bits."""
    return word - (1 << 64) if word >> 63 else word
