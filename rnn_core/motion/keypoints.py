"""Points in space over time, of a body or a fingertip: gaps filled, seen from one place, at one size.

Shape suffixes beside the usual ones: K points of a frame, C coordinates of a point (x, y and, in space, z).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rnn_core.errors import DataError

Points = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Body:
    """Which of the K points are what, by index; y points up."""

    centre: int
    """Between the hips."""
    bones: tuple[tuple[int, int], ...]
    """Pairs of points whose distance does not change; their sum is the size of the body."""
    across: tuple[tuple[int, int], ...]
    """Pairs of a point on one side of the body and its counterpart on the other."""


def fill_gaps(points_TKC: Points, seen_TK: NDArray[np.bool_], where: str) -> Points:
    """Where a point was not seen, a place on the straight line between the frames before and after that have it.

    Before its first frame and after its last one it stays where it is seen next or was seen last.

    Raises:
        DataError: a point that no frame shows; `where` says whose.
    """
    if seen_TK.all():
        return points_TKC
    filled_TKC, frames_T = points_TKC.copy(), np.arange(len(points_TKC))
    for point in np.flatnonzero(~seen_TK.all(axis=0)):
        seen_T = seen_TK[:, point]
        if not seen_T.any():
            raise DataError(where, f"point {point + 1} is missing in all frames", "each point in at least one frame")
        for values_T in filled_TKC[:, point].T:
            values_T[~seen_T] = np.interp(frames_T[~seen_T], frames_T[seen_T], values_T[seen_T])
    return filled_TKC


def normalise(points_TKC: Points, body: Body, where: str) -> Points:
    """The body's movement by itself: where the camera stood, and how large the person is, show no more.

    The points are taken from the body's centre of the same frame, divided by the mean length of its bones, and turned
    about the vertical axis until the body faces the camera (by the mean over all frames of its pairs). In the place of
    the centre, which would be zero, stands the way that it has come since the first frame.

    Raises:
        DataError: all points lie in one place.
    """
    starts, ends = np.array(body.bones).T
    size = np.median(np.linalg.norm(points_TKC[:, starts] - points_TKC[:, ends], axis=2).mean(axis=1))
    if size == 0:
        raise DataError(where, "all points in one place", "a body with a size")
    ones, others = np.array(body.across).T
    x, _, z = (points_TKC[:, others] - points_TKC[:, ones]).mean(axis=(0, 1))
    scaled_TKC = turned(points_TKC - points_TKC[0, body.centre], np.arctan2(z, x)) / size
    way_TC = scaled_TKC[:, body.centre].copy()
    scaled_TKC -= way_TC[:, None]
    scaled_TKC[:, body.centre] = way_TC
    return scaled_TKC


def turned(points_TKC: Points, angle: float) -> Points:
    """Turned about the vertical axis by an angle in radians, so that what lies at it comes to lie on the x axis."""
    sine, cosine = np.sin(angle), np.cos(angle)
    x, y, z = np.moveaxis(points_TKC, 2, 0)
    return np.stack([cosine * x + sine * z, y, cosine * z - sine * x], axis=2)
