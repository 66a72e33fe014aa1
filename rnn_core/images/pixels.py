"""Images as tensors of colours, and what training does to them: crop, flip and colour.

Each draw is a pure function of (seed, epoch, example): wherever and whenever an image is read again in an epoch, by
whatever worker, it looks the same. Shape suffixes: N images, C colours, Y rows, X columns.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from rnn_core.config import check_rates
from rnn_core.dropout import Draws
from rnn_core.errors import ConfigError

COLOURS = 3
"""Red, green and blue."""
FIRST_DRAW = 1 << 20
"""Number of the draws of images: no layer of a model has one so high."""
GREY_C = (0.299, 0.587, 0.114)
"""How bright red, green and blue are to the eye (ITU-R BT.601)."""


@dataclass(frozen=True, kw_only=True)
class AugmentConfig:
    """The keys of `model.augment`."""

    crop: float
    """Share of a side that may be cut off: a part of the image of 1 - crop to 1 of its sides is seen, at its full
    size."""
    flip: bool
    """Half of the images are seen in the mirror. Not where captions tell left from right."""
    colour: float
    """Brightness, contrast and saturation are each multiplied by 1 - colour to 1 + colour."""

    def __post_init__(self) -> None:
        check_rates("model.augment", crop=self.crop, colour=self.colour)
        if self.crop > 0.5:
            raise ConfigError("model.augment.crop", f"found {self.crop}", "at most 0.5")


def colours(image_NCYX: Tensor) -> Tensor:
    """uint8 to float32, about from -1 to 1."""
    return image_NCYX.float() * (1 / 127.5) - 1


def augmented(image_NCYX: Tensor, draws: Draws, config: AugmentConfig) -> Tensor:
    """Images as this epoch of a training sees them.

    Args:
        image_NCYX: colours from -1 to 1.
        draws: of (seed, epoch, example): the epoch in the place of the update, the images' numbers in that of lanes.
    """
    if config.crop or config.flip:
        image_NCYX = _cropped(image_NCYX, draws.uniform(FIRST_DRAW, 5).float(), config)
    if config.colour:
        image_NCYX = _coloured(image_NCYX, draws.uniform(FIRST_DRAW + 1, 3).float(), config.colour)
    return image_NCYX


def _cropped(image_NCYX: Tensor, u_N5: Tensor, config: AugmentConfig) -> Tensor:
    """A part of each image, maybe in the mirror, brought to the size of the whole (linearly between pixels)."""
    size_N2 = 1 - config.crop * u_N5[:, :2]
    centre_N2 = (1 - size_N2) * (2 * u_N5[:, 2:4] - 1)
    mirror_N = torch.where(u_N5[:, 4] < 0.5, -1.0, 1.0) if config.flip else torch.ones_like(u_N5[:, 4])
    theta_N23 = image_NCYX.new_zeros(len(u_N5), 2, 3)
    theta_N23[:, 0, 0], theta_N23[:, 1, 1] = size_N2[:, 0] * mirror_N, size_N2[:, 1]
    theta_N23[:, :, 2] = centre_N2
    grid = torch.nn.functional.affine_grid(theta_N23, list(image_NCYX.shape), align_corners=False)
    return torch.nn.functional.grid_sample(image_NCYX, grid, padding_mode="border", align_corners=False)


def _coloured(image_NCYX: Tensor, u_N3: Tensor, range_: float) -> Tensor:
    factor_N3 = 1 + range_ * (2 * u_N3 - 1)
    bright_N, contrast_N, saturation_N = (factor_N3[:, i, None, None, None] for i in range(3))
    image_NCYX = (image_NCYX + 1) * bright_N - 1
    mean_N111 = image_NCYX.mean((1, 2, 3), keepdim=True)
    image_NCYX = mean_N111 + (image_NCYX - mean_N111) * contrast_N
    grey_N1YX = (image_NCYX * image_NCYX.new_tensor(GREY_C)[:, None, None]).sum(1, keepdim=True)
    return grey_N1YX + (image_NCYX - grey_N1YX) * saturation_N
