"""The classifier on moving points and images: as alone, altered in training only, by (seed, epoch, example)."""

import dataclasses

import numpy as np
import pytest
import torch

from rnn_core import arrow, networks
from rnn_core.dropout import Draws
from rnn_core.errors import ConfigError
from rnn_core.lanes import Window, Windows
from rnn_core.layers.frames import ImagesConfig
from rnn_core.layers.points import PointsConfig
from rnn_core.models import classification
from rnn_core.models.classification import Config, Sizes
from rnn_core.motion.movement import Augmentation, augmented, velocities
from rnn_core.networks import Network
from rnn_core.readouts import sequences

LENGTHS = [4, 1, 6, 3, 5, 2]
SIDE = 8
AUGMENTATION = Augmentation(turn=20.0, scale=0.1, noise=0.02, warp=0.2, trim=0.1)
POINTS = PointsConfig(position=2.0, velocity=5.0, augmentation=AUGMENTATION)
PLAIN = {"cell": "gru", "hidden_size": 5, "num_layers": 1, "input_dropout": 0.0, "dropout": 0.0}
PLAIN |= {"embedding_size": 6, "bidirectional": True, "read_out": "max", "step_dropout": 0.0}
SIZES = {
    "points": Sizes(input="points", size=6, classes=3, coordinates=3),
    "images": Sizes(input="images", size=SIDE**2, classes=3),
}


def rows_of(sort: str) -> list[dict]:
    random = np.random.default_rng(0)
    rows = []
    for number, length in enumerate(LENGTHS):
        points = {"features": random.standard_normal((length, 6), np.float32)}
        images = {"pixels": random.integers(0, 256, (length, SIDE**2), np.uint8)}
        rows.append({"steps": length, "label": number % 3, "name": b"x"} | (points if sort == "points" else images))
    return rows


def windows_of(rows: list[dict], lanes: int = 3, window: int = 8, seed: int | None = None) -> Windows:
    columns = arrow.from_rows(rows, "classification")
    filling = classification.filling(columns, lanes=lanes, window=window, seed=seed, carries=False)
    return Windows(filling=filling, assemble=classification.assemble(columns), lanes=slice(0, lanes), seed=seed)


def network(sort: str, **changes: object) -> Network:
    torch.manual_seed(0)
    config = Config(**PLAIN | {"points": POINTS, "images": ImagesConfig(channels=4)} | changes)
    return networks.network("classification", config, SIZES[sort])


def first_window(sort: str) -> Window:
    return windows_of(rows_of(sort), seed=1)(0)


@pytest.mark.parametrize("sort", SIZES)
def test_a_packed_sequence_is_classified_as_alone(sort: str) -> None:
    made, rows = network(sort).eval(), rows_of(sort)
    windows, found = windows_of(rows), {}
    for number in range(windows.per_epoch):
        window = windows(number)
        numbers = sequences(window.starts_TB, window.valid_TB).at_first(window.fields["row_TB"]).tolist()
        found |= dict(zip(numbers, made.head.predict(window, made(window, ())[0]), strict=True))
    for number, row in enumerate(rows):
        alone = windows_of([row], lanes=1)(0)
        torch.testing.assert_close(found[number], made.head.predict(alone, made(alone, ())[0])[0], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("sort", SIZES)
def test_the_loss_reaches_all_weights(sort: str) -> None:
    made, windows = network(sort), windows_of(rows_of(sort), seed=1)
    for number in range(windows.per_epoch):
        window = windows(number)
        made.loss(window, made(window, ())[0])[0].backward()
    assert all(p.grad is not None and p.grad.any() for p in made.parameters())


def test_what_the_stack_is_given_of_points() -> None:
    encoder, window = network("points", embedding_size=None).model.encoder, first_window("points")
    points = window.fields["features_TBD"]
    by_example = Draws(seed=1, update=window.epoch, lanes_B=torch.arange(3))
    altered = augmented(
        points, window.starts_TB, window.fields["row_TB"], AUGMENTATION, coordinates=3, draws=by_example
    )
    for draws, seen in ((None, points), (window.draws, altered)):
        expected = torch.cat([2 * seen, 5 * velocities(seen, window.starts_TB)], 2)
        torch.testing.assert_close(encoder(window, draws), expected)
    assert encoder.output_size == 12


def test_the_augmentation_of_an_epoch_does_not_depend_on_the_update() -> None:
    made, window = network("points"), first_window("points")
    assert window.draws is not None
    later = dataclasses.replace(window, draws=dataclasses.replace(window.draws, update=window.draws.update + 9))
    torch.testing.assert_close(made(later, ())[0], made(window, ())[0], rtol=0, atol=0)
    other = dataclasses.replace(window, epoch=window.epoch + 1)
    assert not torch.allclose(made(other, ())[0], made(window, ())[0])


@pytest.mark.parametrize("sort", SIZES)
def test_hidden_frames_are_zero(sort: str) -> None:
    made, window = network(sort, step_dropout=0.5, embedding_size=6), first_window(sort)
    assert window.draws is not None
    hidden_TB = window.draws.uniform(classification.STEP_MASK, len(window.valid_TB)).t() < 0.5
    x_TBE = made.model.encoder(window, window.draws)
    nothing = made.model.encoder.project.bias if sort == "points" else torch.zeros(6)
    hidden = x_TBE[hidden_TB & window.valid_TB]
    assert len(hidden) > 0
    torch.testing.assert_close(hidden, nothing.expand_as(hidden))


def test_settings_that_do_not_fit() -> None:
    with pytest.raises(ConfigError, match=r"model\.points: found null"):
        network("points", points=None)
    with pytest.raises(ConfigError, match=r"model: found images None"):
        network("images", images=None)
    with pytest.raises(ConfigError, match=r"model\.points: position and velocity are both 0"):
        PointsConfig(position=0.0, velocity=0.0, augmentation=AUGMENTATION)
    with pytest.raises(ConfigError, match=r"model\.points\.velocity: found -1"):
        PointsConfig(position=1.0, velocity=-1.0, augmentation=AUGMENTATION)
