"""Files of plain numbers: 32-bit floats, little-endian, nothing else."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rnn_core.errors import DataError

BYTES = 4


def read(path: Path, width: int) -> NDArray[np.float32]:
    """The numbers of one or several vectors, one after another.

    Args:
        width: numbers of a vector.

    Raises:
        DataError: not a whole number of vectors, or a number that is not finite.
    """
    content = path.read_bytes()
    if not content or len(content) % (BYTES * width):
        raise DataError(path.name, f"{len(content)} bytes", f"vectors of {width} numbers of {BYTES} bytes each")
    numbers = np.frombuffer(content, "<f4").astype(np.float32)
    if not np.isfinite(numbers).all():
        raise DataError(path.name, "a number that is not finite", "finite numbers")
    return numbers
