"""Points of a body: gaps filled like by hand, and what the camera's place and the person's size leave unchanged."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rnn_core.errors import DataError
from rnn_core.motion.keypoints import Body, fill_gaps, normalise, turned

BODY = Body(centre=0, bones=((0, 1), (1, 2), (2, 3)), across=((1, 3),))


def moving(seed: int, frames: int = 6) -> np.ndarray:
    """Four points that wander, the last pair well apart in x."""
    random = np.random.default_rng(seed)
    places = np.array([[0, 0, 3], [-0.5, 0.4, 3], [0, 0.8, 3], [0.5, 0.4, 3]])
    return places + 0.05 * random.standard_normal((frames, 4, 3)).cumsum(axis=0)


def test_gaps_lie_on_straight_lines_and_ends_stay() -> None:
    points = np.zeros((6, 2, 1))
    points[:, 0, 0] = [9, 1, 9, 9, 4, 9]
    points[:, 1, 0] = [5, 6, 7, 8, 9, 10]
    seen = np.ones((6, 2), bool)
    seen[[0, 2, 3, 5], 0] = False
    filled = fill_gaps(points, seen, "f")
    assert filled[:, 0, 0].tolist() == [1, 1, 2, 3, 4, 4]
    assert filled[:, 1, 0].tolist() == [5, 6, 7, 8, 9, 10]
    assert points[0, 0, 0] == 9  # what came in is left as it was


def test_a_point_that_no_frame_shows() -> None:
    seen = np.ones((3, 2), bool)
    seen[:, 1] = False
    with pytest.raises(DataError, match="f: point 2 is missing in all frames; each point in at least one frame"):
        fill_gaps(np.zeros((3, 2, 3)), seen, "f")


@given(
    st.integers(0, 100),
    st.floats(-3.1, 3.1),
    st.floats(0.3, 3),
    st.tuples(st.floats(-2, 2), st.floats(-2, 2), st.floats(-2, 2)),
)
def test_place_size_and_view_show_no_more(seed: int, angle: float, size: float, shift: tuple[float, ...]) -> None:
    points = moving(seed)
    elsewhere = size * turned(points, angle) + np.array(shift)
    np.testing.assert_allclose(normalise(elsewhere, BODY, "f"), normalise(points, BODY, "f"), rtol=0, atol=1e-9)


def test_normalised_points() -> None:
    points = moving(1)
    found = normalise(points, BODY, "f")
    assert not np.allclose(found[1:, 0], 0)
    assert found[0, 0].tolist() == [0, 0, 0]
    across = (found[:, 3] - found[:, 1]).mean(axis=0)
    assert across[2] == pytest.approx(0, abs=1e-12)
    assert across[0] > 0
    whole = found.copy()
    whole[:, 1:] += found[:, :1]  # the way of the centre puts each point back
    bones = [np.linalg.norm(whole[:, a] - whole[:, b], axis=1) for a, b in BODY.bones]
    assert np.median(np.mean(bones, axis=0)) == pytest.approx(1)


def test_points_without_extent() -> None:
    with pytest.raises(DataError, match="all points in one place"):
        normalise(np.ones((3, 4, 3)), BODY, "f")
