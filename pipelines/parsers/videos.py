"""Videos of each raw format to the frames that a network takes: one call for one file."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from pipelines.parsers import frames, msr_action3d, paths
from rnn_core.errors import DataError
from rnn_core.motion.keypoints import fill_gaps, normalise

Format = Literal["skeletons", "sheets", "paths"]
VALUES = {"skeletons": (3, 3 * msr_action3d.POINTS), "paths": (paths.COORDINATES, paths.COORDINATES)}
"""Of points: coordinates of one, and numbers of a frame."""


@dataclass(frozen=True, kw_only=True)
class Data:
    format: Format
    frame_size: int | None
    """Pixels of a side that sheets are scaled to; null for points."""
    max_frames: int
    too_long: Literal["thin", "refuse"]
    """Longer sequences: `max_frames` of their frames, evenly spread, or bad records."""
    validation: Literal["apart", "seen"]
    """Of MSR Action3D. `apart`: the held-out subject only validates. `seen`: it trains as well, for the last training
    of settings that were chosen on subjects held out before (then `train.keep: last`)."""

    def __post_init__(self) -> None:
        if self.max_frames < 1:
            raise ValueError(f"max_frames is {self.max_frames}, at least 1 is wanted")
        if (self.format == "sheets") != (self.frame_size is not None) or (self.frame_size or 1) < 1:
            raise ValueError(f"frame_size is {self.frame_size} with {self.format}, pixels for sheets, null for points")


@dataclass(frozen=True)
class Sequence:
    """The frames of a video as a network takes them: normalised points, or bytes of pixels."""

    name: str
    label: str
    """Empty where a user gave it."""
    frames_TD: NDArray[Any]
    split: str | None = None
    records: int = 1


def frames_of(content: bytes, where: str, data: Data) -> NDArray[Any]:
    """frames_TD of a file of skeletons, or of a sheet.

    Raises:
        DataError: what cannot be read, or is too long.
    """
    if data.format == "sheets":
        assert data.frame_size is not None
        return _bounded(frames.sheet(content, data.frame_size, where), where, data)
    found = frames.skeleton(content, msr_action3d.POINTS, where)
    points_TKC = normalise(fill_gaps(found.points_TKC, found.seen_TK, where), msr_action3d.BODY, where)
    return _bounded(points_TKC.reshape(len(points_TKC), -1), where, data)


def path_of(line: bytes, where: str, data: Data) -> tuple[str, NDArray[Any]]:
    """The class of a line of paths, and its frames_TD.

    Raises: as for `frames_of`.
    """
    label, points_TKC = paths.path(line, where)
    return label, _bounded(points_TKC.reshape(len(points_TKC), -1), where, data)


def _bounded(frames_TD: NDArray[Any], where: str, data: Data) -> NDArray[Any]:
    """At most `max_frames` of them."""
    if len(frames_TD) <= data.max_frames:
        return frames_TD
    if data.too_long == "refuse":
        allowed = f"at most {data.max_frames} (data.max_frames)"
        raise DataError(where, f"a sequence of {len(frames_TD)} frames", allowed)
    return frames_TD[np.linspace(0, len(frames_TD) - 1, data.max_frames).round().astype(int)]
