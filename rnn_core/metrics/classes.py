"""Scores of one class out of V for each example, from how often which was taken for which."""

import numpy as np
from numpy.typing import NDArray

Counts = NDArray[np.float64]


def confusion(labels_N: NDArray[np.int64], answered_N: NDArray[np.int64], num_classes: int) -> Counts:
    """counts_VV: rows what was right, columns what was answered."""
    cells = np.bincount(labels_N * num_classes + answered_N, minlength=num_classes**2)
    return cells.astype(np.float64).reshape(num_classes, num_classes)


def accuracy(counts_VV: Counts) -> float:
    """Percent."""
    return 100 * float(counts_VV.trace() / counts_VV.sum())


def macro_f1(counts_VV: Counts) -> float:
    """Percent: the mean over the classes of 2 hits / (right ones + answered ones), whatever their sizes.

    A class that occurs neither as right nor as answered is left out.
    """
    sizes_V = counts_VV.sum(axis=0) + counts_VV.sum(axis=1)
    occurs_V = sizes_V > 0
    return 100 * float((2 * counts_VV.diagonal()[occurs_V] / sizes_V[occurs_V]).mean())
