"""Captions in lanes, with the images that they are about beside them.

A row of the data is an image with all its captions: one sequence for `Pack`, so that an image is in one window once an
epoch, with a start at each caption. Shape suffixes beside those of the package: N images of a window, L steps that are
about one image at most, C colours, Y rows and X columns of an image.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rnn_core.arrow import Columns
from rnn_core.errors import DataError
from rnn_core.images.pixels import COLOURS
from rnn_core.lanes import Pack, Positions

END, UNKNOWN = 0, 1
"""Ids of the mark after a caption's last word, which stands before its first one too, and of words not known."""


class Captions(Pack):
    """`Pack`, all captions of an image in one lane, each with its start. Arguments and errors: those of `Pack`."""

    def __init__(self, columns: Columns, *, lanes: int, window: int, seed: int | None):
        offsets = columns.offsets_of("tokens")
        super().__init__(offsets[:-1], np.diff(offsets), lanes=lanes, window=window, seed=seed)
        self._begins_M = begins(columns)

    def place(self, epoch: int, step: int, lanes: slice) -> tuple[Positions, NDArray[np.bool_]]:
        positions_TB, starts_TB = super().place(epoch, step, lanes)
        return positions_TB, starts_TB | _among(self._begins_M, positions_TB)


class Assembly:
    """positions_TB -> the fields of a window. Raises DataError where not all images are of one size.

    inputs_TB, targets_TB   the word before each step and its own
    images_TB               which of the window's N images a step is about
    steps_NL, places_TB     the steps of each image, as t B + b, and where each step stands there, as n L + l
    examples_N              the number of each image in its split
    image_NCYX, features_NF what `images` gives
    """

    def __init__(self, columns: Columns):
        self.columns = columns
        self._tokens, self._offsets = columns.values_of("tokens"), columns.offsets_of("tokens")
        self._begins_M = begins(columns)
        size, features = (_width(columns, name) for name in ("image", "features"))
        self._side = round((size / COLOURS) ** 0.5)
        self._image = columns.values_of("image", size) if size else None
        self._features = columns.values_of("features", features) if features else None

    def __call__(self, positions_TB: Positions) -> dict[str, Tensor]:
        valid_TB, safe_TB = positions_TB >= 0, np.maximum(positions_TB, 0)
        before_TB = np.where(_among(self._begins_M, safe_TB), END, self._tokens[np.maximum(safe_TB - 1, 0)])
        example_TB = np.searchsorted(self._offsets, safe_TB, side="right") - 1
        examples_N, images_M = np.unique(example_TB[valid_TB], return_inverse=True)
        images_TB = np.zeros(positions_TB.shape, np.int64)
        images_TB[valid_TB] = images_M
        within_TB = np.where(valid_TB, safe_TB - self._offsets[example_TB], 0)
        longest = int(within_TB.max()) + 1
        places_TB = images_TB * longest + within_TB
        steps_NL = np.zeros((max(1, len(examples_N)), longest), np.int64)
        steps_NL.reshape(-1)[places_TB[valid_TB]] = np.flatnonzero(valid_TB)
        fields = {
            "inputs_TB": before_TB.astype(np.int64),
            "targets_TB": self._tokens[safe_TB].astype(np.int64),
            "images_TB": images_TB,
            "steps_NL": steps_NL,
            "places_TB": places_TB,
        }
        return {name: torch.from_numpy(field) for name, field in fields.items()} | self.images(examples_N)

    def images(self, examples_N: Positions) -> dict[str, Tensor]:
        """The fields of these images that `Model.look` takes: image_NCYX (uint8) and features_NF, where there are
        any. Lanes that are all padding are about the first image, so that there is one."""
        examples_N = examples_N if len(examples_N) else np.zeros(1, np.int64)
        fields = {"examples_N": torch.from_numpy(examples_N)}
        if self._image is not None:
            image_NYXC = self._image[examples_N].reshape(-1, self._side, self._side, COLOURS)
            fields["image_NCYX"] = torch.from_numpy(image_NYXC).permute(0, 3, 1, 2)
        if self._features is not None:
            fields["features_NF"] = torch.from_numpy(self._features[examples_N])
        return fields


def begins(columns: Columns) -> Positions:
    """Where each caption begins in the tokens of all images, rising: at the beginning, or where another one ended."""
    ends = columns["ends"]
    ends_M = np.repeat(columns.offsets_of("tokens")[:-1], np.diff(ends.offsets)) + ends.values
    return np.concatenate([np.zeros(1, np.int64), ends_M[:-1]])


def _width(columns: Columns, name: str) -> int:
    """How many values each image has in a column."""
    lengths_N = np.diff(columns.offsets_of(name))
    if (lengths_N != lengths_N[0]).any():
        found = f"{lengths_N.min()} to {lengths_N.max()} numbers an image in `{name}`"
        raise DataError("data", found, "equally many for all images")
    return int(lengths_N[0])


def _among(rising_M: Positions, positions_TB: Positions) -> NDArray[np.bool_]:
    """Whether each position is one of these."""
    nearest_TB = np.searchsorted(rising_M, np.maximum(positions_TB, 0), side="right") - 1
    return rising_M[nearest_TB] == positions_TB
