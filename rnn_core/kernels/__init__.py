"""Kernels: whole-window versions of cells, for speed. Where none fits, a layer runs its cell step by step.

A kernel is a function

    kernel(cell, x_TBD, resets_TB, state, reverse) -> (h_TBH, state)

        cell       the cell whose weights it uses
        x_TBD      the window's inputs
        resets_TB  bool: before this step is processed, the lane's state becomes the cell's `initial_state`
        state      the state before the first step that is processed: the tensors (B, features) of the cell
        reverse    process the steps from the last to the first; h_TBH stays in the order of the window

and gives the state after the last step that was processed. Its duty is to equal `rnn_core.layers.step_by_step` on
the same arguments up to rounding, in outputs and in the gradients of x, of the state and of every weight; to let
nothing pass a reset, neither forward (not even a NaN) nor backward; and to change no argument in place.
"""

from torch import Tensor

from rnn_core.cells import CELLS, Cell
from rnn_core.kernels import (
    elman,
    gpu,
    gru,
    gru_cho,
    library,
    lru,
    lstm,
    lstm_norm,
    lstm_projected,
    minimal,
    separators,
    slstm,
)
from rnn_core.kernels.path import Kernel, Path

__all__ = ["KERNELS", "Kernel", "Path", "path"]

KERNELS: dict[str, Kernel] = {
    "elman": elman.kernel,
    "elman_relu": elman.kernel,
    "gru": gru.kernel,
    "gru_cho": gru_cho.kernel,
    "lru": lru.kernel,
    "lstm": lstm.kernel,
    "lstm_norm": lstm_norm.kernel,
    "lstm_projected": lstm_projected.kernel,
    "mingru": minimal.mingru,
    "minlstm": minimal.minlstm,
    "slstm": slstm.kernel,
}
"""The kernel of each cell that serves on every device, by the cell's name in `CELLS`."""

CPU_PATHS = [
    Path("onednn", library.kernel, library.fits_cpu),
    Path("onednn, separators", separators.kernel, separators.fits),
]
"""What is faster than `KERNELS` on a CPU, where it fits."""


def path(cell: Cell, x_TBD: Tensor, resets_TB: Tensor, reverse: bool = False) -> Path | None:
    """The best way over this window; None: step by step. A subclass of a cell has a kernel of its own, or none."""
    for found in gpu.PATHS if x_TBD.is_cuda else CPU_PATHS:
        if found.fits(cell, x_TBD, resets_TB, reverse):
            return found
    name = next((name for name in KERNELS if CELLS[name] is type(cell)), None)
    return None if name is None else Path("by window", KERNELS[name])
