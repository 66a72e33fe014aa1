"""A small convolutional network over the frames of videos: each frame by itself, all of a window at once.

After LeCun et al. 1998 (Gradient-based learning applied to document recognition), with group normalisation (Wu and He
2018), which takes its statistics from one frame: nothing passes from frame to frame.
"""

from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn.functional import relu

from rnn_core.errors import ConfigError

GROUPS = 4
"""Of channels, for normalisation."""
SHRINK = 4
"""How many times smaller a side is after both convolutions."""


@dataclass(frozen=True, kw_only=True)
class ImagesConfig:
    """The keys of `model.images`."""

    channels: int
    """Of the first convolution, a multiple of GROUPS; the second one has twice as many."""

    def __post_init__(self) -> None:
        if self.channels < 1 or self.channels % GROUPS:
            raise ConfigError("model.images.channels", f"found {self.channels}", f"a multiple of {GROUPS}")


class FrameEncoder(nn.Module):
    """Two convolutions, each with normalisation, rectifier and pooling to half the size; then one linear layer."""

    def __init__(self, config: ImagesConfig, frame_size: int, output_size: int):
        """
        Args:
            frame_size: pixels of a side.
            output_size: E.

        Raises:
            ConfigError: the frame's size is no multiple of SHRINK.
        """
        super().__init__()
        if frame_size % SHRINK:
            raise ConfigError("data.frame_size", f"found {frame_size}", f"a multiple of {SHRINK}")
        channels = config.channels
        self.frame_size = frame_size
        self.convolutions = nn.Sequential(*_convolution(1, channels), *_convolution(channels, 2 * channels))
        self.linear = nn.Linear(2 * channels * (frame_size // SHRINK) ** 2, output_size)

    def forward(self, pixels_TBD: Tensor) -> Tensor:
        """e_TBE of frames whose pixels are bytes (uint8), row by row."""
        pixels_N1SS = pixels_TBD.reshape(-1, 1, self.frame_size, self.frame_size).to(self.linear.weight.dtype)
        # Bytes to -1 .. 1.
        features_NCSS = self.convolutions(pixels_N1SS / 127.5 - 1)
        return relu(self.linear(features_NCSS.flatten(1))).unflatten(0, pixels_TBD.shape[:2])


def _convolution(inputs: int, outputs: int) -> tuple[nn.Module, ...]:
    return nn.Conv2d(inputs, outputs, 3, padding=1), nn.GroupNorm(GROUPS, outputs), nn.ReLU(), nn.MaxPool2d(2)
