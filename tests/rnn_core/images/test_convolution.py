"""The encoder of images and what training does to them."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from rnn_core.config import from_mapping
from rnn_core.dropout import Draws
from rnn_core.errors import ConfigError
from rnn_core.images.convolution import ConvolutionConfig, Encoder
from rnn_core.images.pixels import AugmentConfig, augmented, colours

ALL = AugmentConfig(crop=0.4, flip=True, colour=0.3)


def encoder(*channels: int, blocks: int = 1) -> Encoder:
    torch.manual_seed(0)
    return Encoder(ConvolutionConfig(channels=channels, blocks=blocks))


def draws(*examples: int, epoch: int = 3, seed: int = 1) -> Draws:
    return Draws(seed=seed, update=epoch, lanes_B=torch.tensor(examples))


def pictures(count: int, side: int = 16) -> torch.Tensor:
    return torch.randint(0, 256, (count, 3, side, side), generator=torch.Generator().manual_seed(0)).byte()


@pytest.mark.parametrize(("channels", "blocks", "height", "width"), [((8,), 1, 6, 4), ((8, 16, 24), 2, 16, 24)])
def test_a_grid_of_features_row_by_row(channels, blocks, height, width) -> None:
    network = encoder(*channels, blocks=blocks)
    grid_NSM = network(torch.randn(2, 3, height, width))
    assert grid_NSM.shape == (2, height * width // network.stride**2, channels[-1])


def test_a_place_of_the_grid_is_where_it_is_in_the_image() -> None:
    """A quarter that is another picture changes the grid there most."""
    network = encoder(8, 16)
    image_2CYX = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    image_2CYX[1, :, 16:] = image_2CYX[0, :, 16:]
    image_2CYX[1, :, :, :16] = image_2CYX[0, :, :, :16]
    grid_2SM = network(image_2CYX)
    change = (grid_2SM[1] - grid_2SM[0]).norm(dim=1).view(2, 4, 2, 4).sum((1, 3))
    assert change.argmax() == 1  # of the four quarters the one at the top on the right
    assert change[0, 1] > 2 * change[1, 0]


def test_no_statistic_crosses_images() -> None:
    network = encoder(8, 16, blocks=2).double()
    image_NCYX = torch.randn(5, 3, 16, 16, dtype=torch.float64)
    alone = torch.cat([network(one[None]) for one in image_NCYX])
    assert torch.allclose(network(image_NCYX), alone, rtol=1e-5, atol=1e-6)


def test_a_block_is_the_identity_beside_two_convolutions() -> None:
    block = encoder(8, blocks=2).blocks[1]
    x_NCYX = torch.randn(2, 8, 4, 4)
    plain = functional.conv2d(functional.relu(functional.group_norm(x_NCYX, 1)), block.first.weight, padding=1)
    plain = functional.conv2d(functional.relu(functional.group_norm(plain, 1)), block.second.weight, padding=1)
    assert torch.allclose(block(x_NCYX), x_NCYX + plain, atol=1e-5)


@pytest.mark.parametrize("value", [[], [12], [8, 0], 8])
def test_channels_are_checked(value) -> None:
    with pytest.raises(ConfigError, match="channels"):
        from_mapping(ConvolutionConfig, {"channels": value}, "model.encoder")


@pytest.mark.parametrize(("key", "value"), [("crop", 0.6), ("crop", -0.1), ("colour", 1.0), ("flip", 1)])
def test_augment_is_checked(key, value) -> None:
    with pytest.raises(ConfigError, match=key):
        from_mapping(AugmentConfig, {"crop": 0.1, "flip": False, "colour": 0.1, key: value}, "model.augment")


def test_colours_of_bytes() -> None:
    assert colours(torch.tensor([0, 255], dtype=torch.uint8)).tolist() == [-1, 1]


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(0, 1000), min_size=1, max_size=6, unique=True), st.integers(0, 50))
def test_what_an_epoch_does_to_an_image_depends_on_the_image_alone(examples, epoch) -> None:
    image_NCYX = colours(pictures(len(examples)))
    together = augmented(image_NCYX, draws(*examples, epoch=epoch), ALL)
    for index, example in enumerate(examples):
        alone = augmented(image_NCYX[index : index + 1], draws(example, epoch=epoch), ALL)
        assert torch.allclose(together[index : index + 1], alone, atol=1e-5)
    assert not torch.allclose(augmented(image_NCYX, draws(*examples, epoch=epoch + 1), ALL), together, atol=1e-3)


def test_half_of_the_images_are_mirrored_and_nothing_else_is_done() -> None:
    image_NCYX = colours(pictures(1)).expand(400, -1, -1, -1)
    seen = augmented(image_NCYX, draws(*range(400)), AugmentConfig(crop=0.0, flip=True, colour=0.0))
    same = (seen - image_NCYX).abs().amax((1, 2, 3)) < 1e-4
    mirrored = (seen - image_NCYX.flip(3)).abs().amax((1, 2, 3)) < 1e-4
    assert (same ^ mirrored).all()
    assert 150 < mirrored.sum() < 250


def test_a_crop_shows_a_part_at_full_size() -> None:
    """Of a ramp from left to right a narrower part is seen: a ramp that is less steep, inside the old one."""
    ramp_NCYX = torch.linspace(-1, 1, 32).expand(300, 3, 32, 32)
    seen = augmented(ramp_NCYX, draws(*range(300)), AugmentConfig(crop=0.5, flip=False, colour=0.0))
    share_N = (seen[:, 0, 0, 20] - seen[:, 0, 0, 10]) / (ramp_NCYX[0, 0, 0, 20] - ramp_NCYX[0, 0, 0, 10])
    assert share_N.min() >= 0.5 - 1e-3
    assert share_N.max() <= 1 + 1e-3
    assert share_N.std() > 0.1
    assert seen.abs().max() <= 1 + 1e-5


def test_colour_keeps_grey_grey() -> None:
    grey_NCYX = colours(pictures(20)[:, :1]).expand(-1, 3, -1, -1)
    seen = augmented(grey_NCYX, draws(*range(20)), AugmentConfig(crop=0.0, flip=False, colour=0.5))
    assert (seen - seen[:, :1]).abs().max() < 1e-5
    assert (seen - grey_NCYX).abs().max() > 0.1
