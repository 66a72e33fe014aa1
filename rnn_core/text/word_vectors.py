"""Word vectors in the text format of GloVe and fastText: a word and its numbers a line, apart by blanks.

Pennington et al. 2014; Bojanowski et al. 2017, whose first line says how many words of how many numbers follow. The
file may be compressed (`.gz`); nothing is fetched.
"""

import gzip
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rnn_core.errors import DataError


@dataclass(frozen=True, kw_only=True)
class Vectors:
    """A file of word vectors, as a block's `model` names it."""

    path: str
    """From the repository's root."""
    sha256: str
    """Of the file as it lies there: a training follows from its contents."""


@torch.no_grad()
def fill(weight_VE: Tensor, words: Sequence[str], vectors: Vectors, root: Path) -> int:
    """Set the rows of an embedding to the vectors of their words; how many words were found.

    They are scaled so that their numbers have the spread of the rows that they replace, as the network was drawn for.

    Args:
        weight_VE: in place; words from V on are not known to the model.
        words: of the ids.
        root: what the path is relative to.

    Raises:
        DataError: the file is missing, has another checksum, or a line of it is no word with E numbers.
    """
    path = root / vectors.path
    _check(path, vectors.sha256)
    rows = {word: row for row, word in enumerate(words[: len(weight_VE)])}
    found = _read(path, rows, weight_VE.shape[1])
    if found:
        values_NE = torch.from_numpy(np.stack(list(found.values()))).to(weight_VE)
        weight_VE[torch.tensor(list(found))] = values_NE * (weight_VE.std() / values_NE.std())
    return len(found)


def _check(path: Path, wanted: str) -> None:
    try:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise DataError(str(path), f"cannot be read: {error.strerror}", "word vectors (model.vectors)") from error
    if digest != wanted:
        raise DataError(str(path), f"sha256 {digest}", f"{wanted} (model.vectors.sha256)")


def _read(path: Path, rows: dict[str, int], size: int) -> dict[int, NDArray[np.float32]]:
    """Row: vector, of the words that are wanted; of a word that stands there twice, the first."""
    found: dict[int, NDArray[np.float32]] = {}
    with _open(path) as file:
        for number, line in enumerate(file, 1):
            # A word may have blanks in it, its numbers have none: they are counted from the end.
            word, *numbers = line.decode(errors="replace").rstrip().rsplit(" ", size)
            if number == 1 and len(numbers) == 1 and word.isdigit():
                continue
            if len(numbers) != size:
                allowed = f"a word and {size} numbers (model.embedding_size)"
                raise DataError(f"{path}:{number}", f"{len(numbers)} numbers", allowed)
            if word in rows and rows[word] not in found:
                found[rows[word]] = _numbers(numbers, f"{path}:{number}")
    return found


def _numbers(texts: list[str], where: str) -> NDArray[np.float32]:
    try:
        vector = np.array(texts, np.float32)
    except ValueError as error:
        raise DataError(where, str(error), "numbers") from error
    if not np.isfinite(vector).all():
        raise DataError(where, "a number that is not finite", "numbers")
    return vector


def _open(path: Path) -> IO[bytes]:
    return cast(IO[bytes], gzip.open(path) if path.suffix == ".gz" else path.open("rb"))
