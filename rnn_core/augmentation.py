"""Spectra with parts taken out, so that training cannot lean on any of them: time masks and frequency masks.

Park et al. 2019 (SpecAugment: A simple data augmentation method for automatic speech recognition), without the warp of
time. Which parts is a pure function of (seed, epoch, example); what is taken out becomes 0, the mean of the
normalised features.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from rnn_core.config import check_rates
from rnn_core.dropout import Draws
from rnn_core.errors import ConfigError
from rnn_core.lanes import Window

TIME, BANDS = 1 << 20, (1 << 20) + 1
"""Numbers of the draws, beyond those of any layer: here a draw's lane is the example and its update the epoch."""


@dataclass(frozen=True, kw_only=True)
class SpecAugment:
    """How many masks there are, and how large they may be; each one's size is uniform from none to the largest."""

    time_masks: int
    time_share: float
    """Largest time mask, as a share of the sequence's steps."""
    time_steps: int
    """Largest time mask in steps, however long the sequence."""
    band_masks: int
    band_width: int
    """Largest mask in bands."""

    def __post_init__(self) -> None:
        check_rates("model.augment", time_share=self.time_share)
        for name in ("time_masks", "time_steps", "band_masks", "band_width"):
            if getattr(self, name) < 0:
                raise ConfigError(f"model.augment.{name}", f"found {getattr(self, name)}", "a whole number from 0 on")

    def kept(self, window: Window, bands: int) -> Tensor:
        """kept_TBM: False at what is taken out of the window's steps.

        Args:
            window: with draws, and the fields `row_TB` and `step_TB` (which of the window's N examples a step belongs
                to, and its number there), `examples_N` (their numbers in the data) and `lengths_N` (their steps).
            bands: M.
        """
        assert window.draws is not None, "only training takes parts out"
        fields = window.fields
        draws = Draws(seed=window.draws.seed, update=window.epoch, lanes_B=fields["examples_N"])
        lengths_N1 = fields["lengths_N"][:, None]
        largest_N1 = (self.time_share * lengths_N1).long().clamp(max=self.time_steps)
        begins_NK, ends_NK = _spans(draws.uniform(TIME, 2 * self.time_masks), largest_N1, lengths_N1)
        row_TB, step_TB1 = fields["row_TB"], fields["step_TB"][:, :, None]
        hidden_TB = ((step_TB1 >= begins_NK[row_TB]) & (step_TB1 < ends_NK[row_TB])).any(2)
        bands_N1 = torch.full_like(lengths_N1, bands)
        begins_NK, ends_NK = _spans(
            draws.uniform(BANDS, 2 * self.band_masks), bands_N1.clamp(max=self.band_width), bands_N1
        )
        band_M = torch.arange(bands, device=row_TB.device)
        hidden_NM = ((band_M >= begins_NK[:, :, None]) & (band_M < ends_NK[:, :, None])).any(1)
        return ~(hidden_TB[:, :, None] | hidden_NM[row_TB])


def _spans(u_NJ: Tensor, largest_N1: Tensor, size_N1: Tensor) -> tuple[Tensor, Tensor]:
    """begins_NK and ends_NK of K spans, each of a size from 0 to `largest` and anywhere within `size`.

    Args:
        u_NJ: 2 K draws in [0, 1).
    """
    u_NK, v_NK = u_NJ.chunk(2, 1)
    width_NK = (u_NK * (largest_N1 + 1)).long()
    begins_NK = (v_NK * (size_N1 - width_NK + 1)).long()
    return begins_NK, begins_NK + width_NK
