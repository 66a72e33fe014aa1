"""Files that hold the frames of one sequence: skeletons as text, images below each other.

Each function takes the contents and says where they were found; what it cannot read is a DataError.
"""

import io
import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from pipelines.parsers.numbers import numbers
from rnn_core.errors import DataError
from rnn_core.motion.keypoints import Points

COLUMNS = 4
"""Of a line of a skeleton: x, y, z and how sure the sensor is."""
MOST_PIXELS = 1 << 24
"""Of a sheet: more are refused before they are unpacked."""
BROKEN = (
    *(UnidentifiedImageError, OSError, SyntaxError, ValueError),
    *(Image.DecompressionBombWarning, Image.DecompressionBombError),
)
"""What Pillow raises for an image that it cannot or will not decode."""


@dataclass(frozen=True)
class Skeleton:
    points_TKC: Points
    seen_TK: NDArray[np.bool_]
    """False where the sensor gave no place."""


def skeleton(content: bytes, points: int, where: str) -> Skeleton:
    """Text with a point a line, `x y z confidence`, and `points` lines a frame.

    A point is missing where x, y and z are all 0, the place of the sensor itself, or `nan`. The confidence is not read:
    points that the sensor works out from others (the hips' centre, the spine) have confidence 0 and a good place.

    Raises:
        DataError: text that is no numbers, a line with more or fewer of them, part of a frame, no frame.
    """
    lines = [line for line in enumerate(content.split(b"\n"), 1) if line[1].strip()]
    rows = np.array([numbers(line.split(), COLUMNS, f"{where}:{number}") for number, line in lines])
    if len(rows) == 0 or len(rows) % points:
        raise DataError(where, f"{len(rows)} lines with points", f"{points} lines a frame, at least one frame")
    places_TKC = rows.reshape(-1, points, COLUMNS)[:, :, :3]
    seen_TK = np.isfinite(places_TKC).all(axis=2) & places_TKC.any(axis=2)
    return Skeleton(np.where(seen_TK[:, :, None], places_TKC, 0.0), seen_TK)


def sheet(content: bytes, size: int, where: str) -> NDArray[np.uint8]:
    """pixels_TD of an image with the frames of a video one below the other, each as high as it is wide.

    Colours become grey, and frames of another size are scaled to `size` pixels a side.

    Raises:
        DataError: no image, one cut short, a height that is no multiple of the width, more than MOST_PIXELS.
    """
    allowed = "a whole PNG of frames one below the other, each as high as it is wide"
    try:
        with warnings.catch_warnings(), Image.open(io.BytesIO(content)) as image:
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            width, height = image.size
            if height % width or width * height > MOST_PIXELS:
                raise DataError(where, f"an image of {width} x {height} pixels", f"{allowed}; {MOST_PIXELS} at most")
            frames = height // width
            grey = _grey(image)
            if width != size:
                grey = grey.resize((size, size * frames), Image.Resampling.BOX)
    except BROKEN as error:
        # Pillow's own words name objects by their address: the quarantine is to be the same each time.
        raise DataError(where, f"no image that decodes ({type(error).__name__})", allowed) from error
    return np.asarray(grey, np.uint8).reshape(frames, size * size)


def _grey(image: Image.Image) -> Image.Image:
    """8 bits of grey; of 16 bits the upper ones."""
    if image.mode.startswith("I"):
        return Image.fromarray((np.asarray(image).astype(np.int64) >> 8).clip(0, 255).astype(np.uint8))
    return image.convert("L")
