"""Files of plain numbers: 32-bit floats, little-endian, nothing else."""

import numpy as np
from numpy.typing import NDArray

from rnn_core.errors import DataError

BYTES = 4


def read(content: bytes, where: str, width: int) -> NDArray[np.float32]:
    """The numbers of one or several vectors, one after another.

    Args:
        content: of a file.
        where: for messages.
        width: numbers of a vector.

    Raises:
        DataError: not a whole number of vectors, or a number that is not finite.
    """
    if not content or len(content) % (BYTES * width):
        raise DataError(where, f"{len(content)} bytes", f"vectors of {width} numbers of {BYTES} bytes each")
    numbers = np.frombuffer(content, "<f4").astype(np.float32)
    if not np.isfinite(numbers).all():
        raise DataError(where, "a number that is not finite", "finite numbers")
    return numbers
