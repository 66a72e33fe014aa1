"""Word vectors of a file as the beginning of a network's own, where a block's `model.vectors` names one."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from rnn_core.text.word_vectors import Vectors, fill


def begin(task: str, weight_VE: Tensor, words: Sequence[str], model: Mapping[str, Any], root: Path) -> None:
    """Set the rows of the words that the file has; how many they are is printed.

    Args:
        weight_VE: an embedding, in place.
        words: of the ids.
        model: the block's settings.
        root: what the file's path is relative to.

    Raises:
        DataError: the file is missing, has another checksum, or a line of it is no word with E numbers.
    """
    if model.get("vectors") is not None:
        found = fill(weight_VE, words, Vectors(**model["vectors"]), root)
        print(f"{task}: {found} of {len(weight_VE)} words begin with vectors of a file", flush=True)
