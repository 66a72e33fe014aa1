"""What moving points go through before a network reads them: augmentation in training, and velocities.

Both work on all sequences of a window at once and cross no start.

Shape suffixes beside the usual ones: K points of a step, J draws of an example.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from rnn_core.config import check_rates
from rnn_core.dropout import Draws
from rnn_core.errors import ConfigError

PIECES = 4
"""Stretches of a sequence, equally long, at whose ends the speed of time is drawn; between them it changes evenly."""
MANY_STEPS = 1 << 32
"""More than a sequence has: step s of example n draws as `n * MANY_STEPS + s`."""
_OF_EXAMPLE, _OF_STEP = 0, 1
"""Numbers of the draws. Everything else draws by lane and update: that some of these are equal harms nothing."""


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """How far training alters a sequence; zeros leave it as it is."""

    turn: float
    """Degrees at most, either way: about the vertical axis, or of points without depth in their plane."""
    scale: float
    """Share by which it grows or shrinks at most."""
    noise: float
    """Standard deviation of what is added to each coordinate."""
    warp: float
    """Standard deviation of the logarithm of the speed of time."""
    trim: float
    """Share left out at most at the beginning, and at the end: when a recording starts and stops is chance."""

    def __post_init__(self) -> None:
        check_rates("model.augmentation", scale=self.scale)
        for name, most in (("turn", 180.0), ("noise", math.inf), ("warp", 1.0), ("trim", 0.4)):
            if not 0 <= getattr(self, name) <= most:
                raise ConfigError(f"model.augmentation.{name}", f"found {getattr(self, name)}", f"from 0 to {most:g}")


def velocities(x_TBD: Tensor, starts_TB: Tensor) -> Tensor:
    """v_TBD, what each step adds to the one before; 0 at the first step of a sequence."""
    changes_TBD = torch.cat([torch.zeros_like(x_TBD[:1]), x_TBD[1:] - x_TBD[:-1]])
    return changes_TBD.masked_fill(starts_TB[:, :, None], 0)


def augmented(
    x_TBD: Tensor, starts_TB: Tensor, examples_TB: Tensor, config: Augmentation, *, coordinates: int, draws: Draws
) -> Tensor:
    """The window's sequences at another pace, seen from elsewhere, of another size; each keeps its number of steps.

    Args:
        x_TBD: points one after another, each with its coordinates.
        starts_TB: the window's marks. It holds whole sequences; padding counts as one.
        examples_TB: int64, number of the example that a step belongs to; anything where there is padding.
        coordinates: C, 2 or 3.
        draws: with the epoch as `update`, for then what is drawn is a function of (seed, epoch, example).
    """
    begins_TB, lengths_TB = _spans(starts_TB)
    steps_TB = torch.arange(len(x_TBD), device=x_TBD.device)[:, None] - begins_TB
    u_TBJ = _uniform(draws, _OF_EXAMPLE, examples_TB, 2 * PIECES + 6)
    first_TB, last_TB, angle_TB, size_TB, *speeds = u_TBJ.unbind(2)
    x_TBD = _at(x_TBD, begins_TB, lengths_TB, _times(steps_TB, lengths_TB, first_TB, last_TB, speeds, config))
    x_TBD = _turned(x_TBD, math.radians(config.turn) * (2 * angle_TB - 1), coordinates)
    x_TBD = x_TBD * (1 + config.scale * (2 * size_TB - 1))[:, :, None].to(x_TBD.dtype)
    if not config.noise:
        return x_TBD
    u_TBD = _uniform(draws, _OF_STEP, examples_TB * MANY_STEPS + steps_TB, x_TBD.shape[2])
    # A uniform number's standard deviation is 1 / sqrt(12).
    return x_TBD + (config.noise * math.sqrt(12) * (u_TBD - 0.5)).to(x_TBD.dtype)


def _spans(starts_TB: Tensor) -> tuple[Tensor, Tensor]:
    """(begins_TB, lengths_TB) of the sequence that each step belongs to."""
    end = len(starts_TB)
    times_T1 = torch.arange(end, device=starts_TB.device)[:, None]
    begins_TB = torch.where(starts_TB, times_T1, 0).cummax(0).values
    next_TB = torch.where(starts_TB, times_T1, end).flip(0).cummin(0).values.flip(0)
    ends_TB = torch.cat([next_TB[1:], torch.full_like(next_TB[:1], end)])
    return begins_TB, ends_TB - begins_TB


def _times(
    steps_TB: Tensor, lengths_TB: Tensor, first_TB: Tensor, last_TB: Tensor, speeds: list[Tensor], config: Augmentation
) -> Tensor:
    """t_TB, when in its sequence a step happened, in steps: rises from near 0 to near the last one.

    Args:
        speeds: uniform numbers, two for each place where the speed of time is drawn.
    """
    normals = [_normal(u_TB, v_TB) for u_TB, v_TB in zip(speeds[::2], speeds[1::2], strict=True)]
    speed_TBJ = (config.warp * torch.stack(normals, 2)).exp()
    # The area below the speed, which is linear between the places: whole pieces, then a part of one.
    areas_TBJ = (speed_TBJ[:, :, 1:] + speed_TBJ[:, :, :-1]) / 2
    before_TBJ = areas_TBJ.cumsum(2) - areas_TBJ
    last_step_TB = lengths_TB - 1
    at_TB = PIECES * steps_TB / last_step_TB.clamp(min=1)
    piece_TB1 = at_TB.long().clamp(max=PIECES - 1)[:, :, None]
    within_TB = at_TB - piece_TB1[:, :, 0]
    begin_TB, end_TB = speed_TBJ.gather(2, piece_TB1)[:, :, 0], speed_TBJ.gather(2, piece_TB1 + 1)[:, :, 0]
    area_TB = before_TBJ.gather(2, piece_TB1)[:, :, 0] + within_TB * (begin_TB + within_TB * (end_TB - begin_TB) / 2)
    passed_TB = area_TB / areas_TBJ.sum(2)
    from_TB, to_TB = config.trim * first_TB, 1 - config.trim * last_TB
    return last_step_TB * (from_TB + (to_TB - from_TB) * passed_TB)


def _at(x_TBD: Tensor, begins_TB: Tensor, lengths_TB: Tensor, times_TB: Tensor) -> Tensor:
    """x at these times of its sequence: between two steps, on the straight line between them."""
    last_TB = lengths_TB - 1
    before_TB = times_TB.long().clamp(min=0).minimum(last_TB)
    lanes_B = torch.arange(x_TBD.shape[1], device=x_TBD.device)
    before_TBD = x_TBD[begins_TB + before_TB, lanes_B]
    after_TBD = x_TBD[begins_TB + (before_TB + 1).minimum(last_TB), lanes_B]
    return torch.lerp(before_TBD, after_TBD, (times_TB - before_TB)[:, :, None].to(x_TBD.dtype))


def _turned(x_TBD: Tensor, angles_TB: Tensor, coordinates: int) -> Tensor:
    """About the second of three coordinates, or in the plane of two."""
    sine_TB1, cosine_TB1 = (part.to(x_TBD.dtype)[:, :, None] for part in (angles_TB.sin(), angles_TB.cos()))
    parts = list(x_TBD.unflatten(2, (-1, coordinates)).unbind(3))
    a_TBK, b_TBK = parts[0], parts[-1]
    parts[0], parts[-1] = cosine_TB1 * a_TBK + sine_TB1 * b_TBK, cosine_TB1 * b_TBK - sine_TB1 * a_TBK
    return torch.stack(parts, 3).flatten(2)


def _uniform(draws: Draws, number: int, keys_TB: Tensor, size: int) -> Tensor:
    """u_TBJ in [0, 1), float64: `size` numbers for each key."""
    by_key = Draws(seed=draws.seed, update=draws.update, lanes_B=keys_TB.flatten())
    return by_key.uniform(number, size).view(*keys_TB.shape, size)


def _normal(u_TB: Tensor, v_TB: Tensor) -> Tensor:
    """One normal number from two uniform ones (Box and Muller 1958)."""
    return (-2 * torch.log1p(-u_TB)).sqrt() * torch.cos(2 * math.pi * v_TB)
