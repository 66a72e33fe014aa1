"""Images to a grid of features: a small residual network, trained with whatever reads the grid.

He et al. 2016 (Identity mappings in deep residual networks): normalise, rectify, convolve, twice, beside the identity.
Group normalisation (Wu and He 2018) in place of that of a batch: no statistic crosses images, so what is said of an
image does not depend on the others of its window. Shape suffixes beside those of the package: C channels, Y rows and
X columns of an image.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from rnn_core.config import check_whole
from rnn_core.errors import ConfigError
from rnn_core.images.pixels import COLOURS

GROUP = 8
"""Channels that are normalised together."""


@dataclass(frozen=True, kw_only=True)
class ConvolutionConfig:
    """The keys of `model.encoder`."""

    channels: tuple[int, ...]
    """Of each stage; from stage to stage the grid is half as fine. The first one begins at half of the image."""
    blocks: int = 1
    """Residual blocks of each stage."""

    def __post_init__(self) -> None:
        check_whole("model.encoder", blocks=self.blocks)
        if not self.channels or any(size < GROUP or size % GROUP for size in self.channels):
            found = f"found {list(self.channels)}"
            raise ConfigError("model.encoder.channels", found, f"a list of multiples of {GROUP}, one for each stage")

    @property
    def stride(self) -> int:
        """Pixels of an image's side that one place of the grid stands for."""
        return 2 ** len(self.channels)


class Block(nn.Module):
    """x + f(x), where f may halve the grid and widen the channels, and x goes along by a projection."""

    def __init__(self, channels_in: int, channels: int, stride: int):
        super().__init__()
        self.first_norm, self.second_norm = _norm(channels_in), _norm(channels)
        self.first = nn.Conv2d(channels_in, channels, 3, stride=stride, padding=1, bias=False)
        self.second = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        same = stride == 1 and channels_in == channels
        self.stride, self.shortcut = stride, None if same else nn.Conv2d(channels_in, channels, 1, bias=False)

    def forward(self, x_NCYX: Tensor) -> Tensor:
        ready_NCYX = functional.relu(self.first_norm(x_NCYX))
        f_NCYX = self.second(functional.relu(self.second_norm(self.first(ready_NCYX))))
        if self.shortcut is None:
            return x_NCYX + f_NCYX
        beside_NCYX = functional.avg_pool2d(ready_NCYX, self.stride) if self.stride > 1 else ready_NCYX
        return self.shortcut(beside_NCYX) + f_NCYX


class Encoder(nn.Module):
    """image_NCYX -> grid_NSM, S places row by row, each with M features."""

    def __init__(self, config: ConvolutionConfig):
        super().__init__()
        self.stride, self.output_size = config.stride, config.channels[-1]
        self.stem = nn.Conv2d(COLOURS, config.channels[0], 5, stride=2, padding=2, bias=False)
        blocks: list[nn.Module] = []
        size = config.channels[0]
        for stage, channels in enumerate(config.channels):
            for number in range(config.blocks):
                blocks.append(Block(size, channels, 2 if stage and not number else 1))
                size = channels
        self.blocks, self.norm = nn.Sequential(*blocks), _norm(size)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, image_NCYX: Tensor) -> Tensor:
        """
        Args:
            image_NCYX: colours about from -1 to 1; Y and X are multiples of `stride`.
        """
        assert all(side % self.stride == 0 for side in image_NCYX.shape[2:]), image_NCYX.shape
        x_NCYX = self.stem(image_NCYX.contiguous(memory_format=torch.channels_last))
        x_NCYX = functional.relu(self.norm(self.blocks(x_NCYX)))
        return x_NCYX.flatten(2).transpose(1, 2).to(image_NCYX.dtype)


def _norm(channels: int) -> nn.GroupNorm:
    return nn.GroupNorm(channels // GROUP, channels)
