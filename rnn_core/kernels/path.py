"""What a path is: one way of taking a cell over a whole window, and where it can be taken."""

from collections.abc import Callable
from typing import NamedTuple

from torch import Tensor

from rnn_core.cells.cell import Cell, State

Kernel = Callable[[Cell, Tensor, Tensor, State, bool], tuple[Tensor, State]]
"""See `rnn_core.kernels`."""


def everywhere(cell: Cell, x_TBD: Tensor, resets_TB: Tensor, reverse: bool) -> bool:
    """On every device, for every type and shape."""
    return True


class Path(NamedTuple):
    name: str
    kernel: Kernel
    fits: Callable[[Cell, Tensor, Tensor, bool], bool] = everywhere
    """(cell, x_TBD, resets_TB, reverse): whether the kernel can take this window, and is worth it."""
