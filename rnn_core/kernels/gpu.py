"""The paths of a window on a GPU, the best first. Whether Triton is there is asked here alone.

torch for CUDA brings Triton along, torch for a CPU does not: there its kernels are not imported.
"""

from collections.abc import Callable
from importlib.util import find_spec
from typing import NamedTuple

from torch import Tensor

from rnn_core.cells.cell import Cell, State
from rnn_core.kernels import cudnn

TRITON = find_spec("triton") is not None


class Path(NamedTuple):
    """A kernel, and where it can serve."""

    name: str
    fits: Callable[[Cell, Tensor, Tensor, bool], bool]
    """(cell, x_TBD, resets_TB, reverse): whether `kernel` can take this window and is worth it."""
    kernel: Callable[[Cell, Tensor, Tensor, State, bool], tuple[Tensor, State]]
    """As every kernel: see `rnn_core.kernels`."""


PATHS = [Path("cudnn", cudnn.fits, cudnn.kernel)]
if TRITON:
    from rnn_core.kernels import triton_gru, triton_lstm

    PATHS += [
        Path("triton by lanes", triton_gru.fits_lanes, triton_gru.by_lanes),
        Path("triton by lanes", triton_lstm.fits_lanes, triton_lstm.by_lanes),
        Path("triton by steps", triton_gru.fits_steps, triton_gru.by_steps),
        Path("triton by steps", triton_lstm.fits_steps, triton_lstm.by_steps),
    ]
