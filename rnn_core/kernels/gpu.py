"""The paths of a window on a GPU, the best first. Whether Triton is there is asked here alone.

torch for CUDA brings Triton along, torch for a CPU does not: there its kernels are not imported.
"""

from importlib.util import find_spec

from rnn_core.kernels import library
from rnn_core.kernels.path import Path

TRITON = find_spec("triton") is not None

PATHS: list[Path] = [Path("cudnn", library.kernel, library.fits)]
if TRITON:
    from rnn_core.kernels import triton_gru, triton_lstm

    PATHS += [
        Path("triton by lanes", triton_gru.by_lanes, triton_gru.fits_lanes),
        Path("triton by lanes", triton_lstm.by_lanes, triton_lstm.fits_lanes),
        Path("triton by steps", triton_gru.by_steps, triton_gru.fits_steps),
        Path("triton by steps", triton_lstm.by_steps, triton_lstm.fits_steps),
    ]
