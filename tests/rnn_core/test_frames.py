"""The convolutional encoder of frames: its equations written out, and nothing that passes between frames."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from rnn_core.errors import ConfigError
from rnn_core.layers.frames import GROUPS, FrameEncoder, ImagesConfig


def pixels(steps: int = 3, lanes: int = 2, size: int = 12) -> Tensor:
    random = torch.Generator().manual_seed(1)
    return torch.randint(0, 256, (steps, lanes, size * size), generator=random, dtype=torch.uint8)


def encoder(size: int = 12) -> FrameEncoder:
    torch.manual_seed(1)
    return FrameEncoder(ImagesConfig(channels=8), size, output_size=5)


def normalised(x_CYX: Tensor) -> Tensor:
    """Mean 0 and variance 1 in each group of channels."""
    groups = x_CYX.reshape(GROUPS, -1)
    spread = (groups.var(1, unbiased=False, keepdim=True) + 1e-5).sqrt()
    return ((groups - groups.mean(1, keepdim=True)) / spread).reshape(x_CYX.shape)


def test_a_frame_as_written_out() -> None:
    network, x_TBD = encoder(), pixels()
    x_CYX = x_TBD[2, 1].reshape(1, 12, 12).float() / 127.5 - 1
    weights = list(network.parameters())
    for number in range(2):
        weight, bias, scale, shift = weights[4 * number : 4 * number + 4]
        x_CYX = normalised(functional.conv2d(x_CYX[None], weight, bias, padding=1)[0])
        x_CYX = functional.relu(x_CYX * scale[:, None, None] + shift[:, None, None])
        half = x_CYX.shape[1] // 2
        x_CYX = x_CYX.reshape(len(x_CYX), half, 2, half, 2).amax((2, 4))
    wanted_E = functional.relu(weights[8] @ x_CYX.flatten() + weights[9])
    torch.testing.assert_close(network(x_TBD)[2, 1], wanted_E, rtol=1e-4, atol=1e-5)


def test_no_frame_sees_another() -> None:
    network, x_TBD = encoder(), pixels()
    alone = network(x_TBD[1:2, :1])[0, 0]
    torch.testing.assert_close(network(x_TBD)[1, 0], alone, rtol=1e-5, atol=1e-6)


def test_all_of_it_gets_gradients() -> None:
    network = encoder(16)
    network(pixels(size=16)).sum().backward()
    assert all(parameter.grad is not None and parameter.grad.any() for parameter in network.parameters())


def test_sizes_that_do_not_fit() -> None:
    with pytest.raises(ConfigError, match="data.frame_size: found 14; a multiple of 4"):
        encoder(14)
    with pytest.raises(ConfigError, match="model.images.channels: found 6; a multiple of 4"):
        ImagesConfig(channels=6)
