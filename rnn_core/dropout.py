"""Random draws as a pure function of (seed, update, layer, lane): no generator whose state must be kept.

A restart, a recomputed window and another division of the lanes among workers find the same masks, bit for bit, on
every device and in every precision. The function is a counter-based hash: the finalizer of SplitMix64 (Steele et al.
2014: Fast splittable pseudorandom number generators) over each of the numbers in turn.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

_BITS = 53
"""Bits of a draw: as many as a float64 holds exactly."""


@dataclass(frozen=True, kw_only=True)
class Draws:
    """The draws of one window.

    Dropout is locked (Gal and Ghahramani 2016: A theoretically grounded application of dropout in recurrent neural
    networks): a mask lasts one lane and window.
    """

    seed: int | Tensor
    update: int | Tensor
    """Both int64 tensors () where a captured step (`rnn_core/graph.py`) draws anew in each replay."""
    lanes_B: Tensor
    """int64: the number of each lane in the whole batch, not among this worker's."""

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

    def _bits(self, layer: int, size: int) -> Tensor:
        """int64 in [0, 2**53) for each lane and feature."""
        hash_B1 = _mix(self.lanes_B[:, None])
        for number in (layer, self.update, self.seed):
            hash_B1 = _mix(hash_B1 ^ number)
        features_D = torch.arange(size, device=self.lanes_B.device)
        return _shift(_mix(hash_B1 ^ features_D), 64 - _BITS)


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
