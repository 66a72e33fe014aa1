"""Augmentation and velocities of windows of points, against a plain loop over sequences, steps and points."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rnn_core.dropout import Draws
from rnn_core.errors import ConfigError
from rnn_core.motion.movement import PIECES, Augmentation, augmented, velocities

NONE = {"turn": 0.0, "scale": 0.0, "noise": 0.0, "warp": 0.0, "trim": 0.0}
SOME = Augmentation(turn=40.0, scale=0.2, noise=0.0, warp=0.3, trim=0.2)
STEPS, LANES = 12, 2
LENGTHS = ([5, 7], [1, 3, 8])
"""Of the sequences in each lane."""


def window(size: int, seed: int = 1) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """x_TBD, starts_TB, examples_TB; the examples are numbered 0 to 4, lane by lane."""
    starts, examples = torch.zeros(STEPS, LANES, dtype=torch.bool), torch.zeros(STEPS, LANES, dtype=torch.int64)
    number = 0
    for lane, lengths in enumerate(LENGTHS):
        begin = 0
        for length in lengths:
            starts[begin, lane] = True
            examples[begin : begin + length, lane] = number
            begin, number = begin + length, number + 1
    x = torch.randn(STEPS, LANES, size, generator=torch.Generator().manual_seed(seed))
    return x, starts, examples


def draws(epoch: int = 3, seed: int = 7) -> Draws:
    return Draws(seed=seed, update=epoch, lanes_B=torch.arange(LANES))


def sequences(x: torch.Tensor) -> list[np.ndarray]:
    parts = []
    for lane, lengths in enumerate(LENGTHS):
        ends = np.cumsum(lengths)
        parts += [x[end - length : end, lane].numpy() for end, length in zip(ends, lengths, strict=True)]
    return parts


def plain(sequence: np.ndarray, u: list[float], config: Augmentation, coordinates: int) -> np.ndarray:
    """The same, one point of one step at a time; the speed is integrated by many small steps."""
    first, last, turn, size, *rest = u
    pairs = zip(rest[::2], rest[1::2], strict=True)
    speeds = [math.exp(config.warp * math.sqrt(-2 * math.log(1 - a)) * math.cos(2 * math.pi * b)) for a, b in pairs]
    many = 20_000
    middles = (np.arange(many) + 0.5) / many
    passed = np.concatenate([[0], np.cumsum(np.interp(middles * PIECES, np.arange(PIECES + 1), speeds))])
    passed /= passed[-1]
    angle = math.radians(config.turn) * (2 * turn - 1)
    end = len(sequence) - 1
    result = np.empty_like(sequence)
    for step in range(len(sequence)):
        share = np.interp(step / max(1, end), np.arange(many + 1) / many, passed)
        time = end * (config.trim * first + (1 - config.trim * (first + last)) * share)
        frame = np.array([np.interp(time, np.arange(end + 1), column) for column in sequence.T])
        for point in range(0, len(frame), coordinates):
            a, b = frame[point], frame[point + coordinates - 1]
            frame[point] = math.cos(angle) * a + math.sin(angle) * b
            frame[point + coordinates - 1] = math.cos(angle) * b - math.sin(angle) * a
        result[step] = frame * (1 + config.scale * (2 * size - 1))
    return result


@pytest.mark.parametrize("coordinates", [2, 3])
def test_as_a_plain_loop_does_it(coordinates: int) -> None:
    x, starts, examples = window(2 * coordinates)
    found = augmented(x, starts, examples, SOME, coordinates=coordinates, draws=draws())
    keys = Draws(seed=7, update=3, lanes_B=torch.arange(5)).uniform(0, 2 * PIECES + 6)
    for number, (got, sequence) in enumerate(zip(sequences(found), sequences(x), strict=True)):
        np.testing.assert_allclose(got, plain(sequence, keys[number].tolist(), SOME, coordinates), atol=2e-4)


def test_zeros_change_nothing() -> None:
    x, starts, examples = window(6)
    found = augmented(x, starts, examples, Augmentation(**NONE), coordinates=3, draws=draws())
    torch.testing.assert_close(found, x, rtol=0, atol=1e-5)


def test_an_example_is_altered_alike_wherever_it_stands() -> None:
    x, starts, examples = window(6)
    config = Augmentation(turn=40.0, scale=0.2, noise=0.1, warp=0.3, trim=0.2)
    whole = augmented(x, starts, examples, config, coordinates=3, draws=draws())
    alone = augmented(x[5:, :1], starts[5:, :1], examples[5:, :1], config, coordinates=3, draws=draws())
    torch.testing.assert_close(alone, whole[5:, :1], rtol=0, atol=0)
    for other in (draws(epoch=4), draws(seed=8)):
        assert (augmented(x, starts, examples, config, coordinates=3, draws=other) - whole).abs().mean() > 0.05


def test_noise_has_its_standard_deviation_and_is_new_at_each_step() -> None:
    x = torch.zeros(400, 1, 30)
    starts, examples = torch.zeros(400, 1, dtype=torch.bool), torch.zeros(400, 1, dtype=torch.int64)
    starts[0] = True
    noise = augmented(x, starts, examples, Augmentation(**NONE | {"noise": 0.1}), coordinates=3, draws=draws())
    assert noise.std().item() == pytest.approx(0.1, rel=0.02)
    assert noise.mean().item() == pytest.approx(0, abs=0.005)
    assert len(noise.unique()) > 11_900


@settings(max_examples=25)
@given(st.integers(0, 1000))
def test_time_runs_forwards_and_stays_inside(seed: int) -> None:
    """The points are their own times, so that what comes out says when it was."""
    steps = torch.arange(40.0)[:, None, None].expand(40, 1, 3).clone()
    starts, examples = torch.zeros(40, 1, dtype=torch.bool), torch.full((40, 1), seed)
    starts[0] = True
    config = Augmentation(**NONE | {"warp": 0.5, "trim": 0.3})
    times = augmented(steps, starts, examples, config, coordinates=3, draws=draws())[:, 0, 0]
    assert (times.diff() > 0).all()
    assert 0 <= times[0] <= 0.3 * 39 + 1e-4
    assert 0.7 * 39 - 1e-4 <= times[-1] <= 39


def test_velocities_begin_anew_with_each_sequence() -> None:
    x, starts, _ = window(3)
    for got, sequence in zip(sequences(velocities(x, starts)), sequences(x), strict=True):
        np.testing.assert_array_equal(got, np.diff(sequence, axis=0, prepend=sequence[:1]))


@pytest.mark.parametrize(
    ("key", "value"), [("turn", 200.0), ("scale", 1.0), ("noise", -0.1), ("warp", 2.0), ("trim", 0.5)]
)
def test_limits_of_the_settings(key: str, value: float) -> None:
    with pytest.raises(ConfigError, match=f"model.augmentation.{key}: found {value}"):
        Augmentation(**NONE | {key: value})
