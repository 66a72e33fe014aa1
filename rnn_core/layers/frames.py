"""A small convolutional network over the frames of videos: each frame by itself, all of a window at once.

After LeCun et al. 1998 (Gradient-based learning applied to document recognition), with group normalisation (Wu and He
2018), which takes its statistics from one frame: nothing passes from frame to frame.
"""

from torch import Tensor, nn
from torch.nn.functional import relu

from rnn_core.errors import ConfigError

GROUPS = 4
"""Of channels, for normalisation."""
SHRINK = 4
"""How many times smaller a side is after both convolutions."""


class FrameEncoder(nn.Module):
    """Two convolutions, each with normalisation, rectifier and pooling to half the size; then one linear layer."""

    def __init__(self, frame_size: int, channels: int, output_size: int):
        """
        Args:
            frame_size: pixels of a side, a multiple of SHRINK.
            channels: of the first convolution, a multiple of GROUPS; the second one has twice as many.
            output_size: E.

        Raises:
            ConfigError: a size that does not fit.
        """
        super().__init__()
        if frame_size % SHRINK:
            raise ConfigError("data.frame_size", f"found {frame_size}", f"a multiple of {SHRINK}")
        if channels % GROUPS:
            raise ConfigError("model.frames.channels", f"found {channels}", f"a multiple of {GROUPS}")
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
