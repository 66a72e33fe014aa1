"""Spectra bent a little in time and in pitch, and with parts taken out, so that training leans on no detail of them.

Park et al. 2019 (SpecAugment: A simple data augmentation method for automatic speech recognition): warp of time, time
masks, frequency masks. Jaitly and Hinton 2013 (Vocal tract length perturbation improves speech recognition): warp of
frequency. All draws are a pure function of (seed, epoch, example); what is taken out becomes 0, the mean of the
normalised features.

A warp reads place x of a sequence of n at x + a n / pi sin(pi x / n), between its neighbours: the ends stay, and at
any place the tempo changes by a share a at most.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from rnn_core.config import check_rates
from rnn_core.dropout import Draws
from rnn_core.errors import ConfigError
from rnn_core.lanes import Window

TIME_MASKS, BAND_MASKS, WARPS = 1 << 20, (1 << 20) + 1, (1 << 20) + 2
"""Numbers of the draws, beyond those of any layer: here a draw's lane is the example and its update the epoch."""


@dataclass(frozen=True, kw_only=True)
class SpecAugment:
    """How many masks there are and how large they may be (each one's size is uniform from none to the largest), and
    how strong the warps may be (uniform from -a to a)."""

    time_masks: int
    time_share: float
    """Largest time mask, as a share of the sequence's steps."""
    time_steps: int
    """Largest time mask in steps, however long the sequence."""
    band_masks: int
    band_width: int
    """Largest mask in bands."""
    time_warp: float
    band_warp: float

    def __post_init__(self) -> None:
        check_rates("model.augment", time_share=self.time_share, time_warp=self.time_warp, band_warp=self.band_warp)
        for name in ("time_masks", "time_steps", "band_masks", "band_width"):
            if getattr(self, name) < 0:
                raise ConfigError(f"model.augment.{name}", f"found {getattr(self, name)}", "a whole number from 0 on")

    def __call__(self, x_TBD: Tensor, window: Window, bands: int) -> Tensor:
        """x_TBD as training sees it.

        Args:
            x_TBD: frames of M bands, one frame of a step after another.
            window: with draws, and the fields `row_TB` and `step_TB` (which of the window's N examples a step belongs
                to, and its number there), `examples_N` (their numbers in the data) and `lengths_N` (their steps).
            bands: M.
        """
        assert window.draws is not None, "only training is augmented"
        draws = Draws(seed=window.draws.seed, update=window.epoch, lanes_B=window.fields["examples_N"])
        if self.time_warp or self.band_warp:
            time_N, pitch_N = (2 * draws.uniform(WARPS, 2) - 1).unbind(1)
            x_TBD = _time_warped(x_TBD, window, self.time_warp * time_N)
            x_TBD = _bands_warped(x_TBD, window, self.band_warp * pitch_N, bands)
        frames = x_TBD.shape[2] // bands
        return x_TBD * self.kept(window, bands, draws).repeat(1, 1, frames)

    def kept(self, window: Window, bands: int, draws: Draws) -> Tensor:
        """kept_TBM: False at what is taken out of the window's steps."""
        fields = window.fields
        lengths_N1 = fields["lengths_N"][:, None]
        largest_N1 = (self.time_share * lengths_N1).long().clamp(max=self.time_steps)
        begins_NK, ends_NK = _spans(draws.uniform(TIME_MASKS, 2 * self.time_masks), largest_N1, lengths_N1)
        row_TB, step_TB1 = fields["row_TB"], fields["step_TB"][:, :, None]
        hidden_TB = ((step_TB1 >= begins_NK[row_TB]) & (step_TB1 < ends_NK[row_TB])).any(2)
        bands_N1 = torch.full_like(lengths_N1, bands)
        widest_N1 = bands_N1.clamp(max=self.band_width)
        begins_NK, ends_NK = _spans(draws.uniform(BAND_MASKS, 2 * self.band_masks), widest_N1, bands_N1)
        band_M = torch.arange(bands, device=row_TB.device)
        hidden_NM = ((band_M >= begins_NK[:, :, None]) & (band_M < ends_NK[:, :, None])).any(1)
        return ~(hidden_TB[:, :, None] | hidden_NM[row_TB])


def _time_warped(x_TBD: Tensor, window: Window, amount_N: Tensor) -> Tensor:
    row_TB, step_TB, lengths_N = (window.fields[name] for name in ("row_TB", "step_TB", "lengths_N"))
    last_TB = (lengths_N[row_TB] - 1).double()
    before_TB, share_TB = _bent(step_TB.double(), last_TB, amount_N[row_TB])
    first_TB = torch.arange(len(x_TBD), device=x_TBD.device)[:, None] - step_TB
    # Padding has no step of its own: it may read anything inside the window.
    here_TB = (first_TB + before_TB).clamp(0, len(x_TBD) - 1)
    next_TB = (first_TB + torch.minimum(before_TB + 1, last_TB.long())).clamp(0, len(x_TBD) - 1)
    lane_B = torch.arange(x_TBD.shape[1], device=x_TBD.device)
    return torch.lerp(x_TBD[here_TB, lane_B], x_TBD[next_TB, lane_B], share_TB[:, :, None].to(x_TBD.dtype))


def _bands_warped(x_TBD: Tensor, window: Window, amount_N: Tensor, bands: int) -> Tensor:
    band_M = torch.arange(bands, device=x_TBD.device).double()
    last = torch.full_like(band_M, bands - 1)
    before_NM, share_NM = _bent(band_M, last, amount_N[:, None])
    row_TB, x_TBSM = window.fields["row_TB"], x_TBD.unflatten(2, (-1, bands))
    before_TBSM = before_NM[row_TB][:, :, None].expand_as(x_TBSM)
    share_TB1M = share_NM[row_TB][:, :, None].to(x_TBD.dtype)
    next_TBSM = (before_TBSM + 1).clamp(max=bands - 1)
    return torch.lerp(x_TBSM.gather(3, before_TBSM), x_TBSM.gather(3, next_TBSM), share_TB1M).flatten(2)


def _bent(place: Tensor, last: Tensor, amount: Tensor) -> tuple[Tensor, Tensor]:
    """Where a warp reads: the place before, and how far towards the next one."""
    size = last.clamp(min=1)
    source = (place + amount * size / math.pi * torch.sin(math.pi * place / size)).clamp(min=0).minimum(last)
    before = source.floor()
    return before.long(), source - before


def _spans(u_NJ: Tensor, largest_N1: Tensor, size_N1: Tensor) -> tuple[Tensor, Tensor]:
    """begins_NK and ends_NK of K spans, each of a size from 0 to `largest` and anywhere within `size`.

    Args:
        u_NJ: 2 K draws in [0, 1).
    """
    u_NK, v_NK = u_NJ.chunk(2, 1)
    width_NK = (u_NK * (largest_N1 + 1)).long()
    begins_NK = (v_NK * (size_N1 - width_NK + 1)).long()
    return begins_NK, begins_NK + width_NK
