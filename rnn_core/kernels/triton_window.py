"""What the Triton kernels share: which of two forms a window takes on a GPU and why, and pieces of both.

In a step of B lanes the gates need W_h h of all H features, 2 B G H operations over G H weights (G = 4H in an LSTM):
at B = 20 to 64 and H = 256 to 1024 these are 1 to 17 MB of weights in float32 and 10 to 540 million operations. So few
lanes make a product that is bound by reading W_h, which the second-level cache holds from step to step.

    by steps   A product by cuBLAS over the whole GPU (W_h at some 5 TB/s: 0.2 to 3 us) and one launch of a kernel that
               does everything element-wise: gates, state, resets, the next step's input. Two launches a step, of
               about 2 us each in a CUDA graph; outside of one the CPU's 10 us a launch are the limit.
    by lanes   Lanes do not depend on each other, so a program that owns a block of lanes runs all T steps alone, one
               launch a window. But it reads W_h through one multiprocessor, some 100 GB/s: 2.4 us a step at 0.26 MB
               (LSTM, H = 128), 10 us at 1 MB (H = 256), 150 us at 17 MB (H = 1024). Faster only while W_h is small:
               up to `LANES_BYTES`, where both take about 5 us a step.

The rates are estimates for an H100: nothing here was measured on one. cuDNN goes a third way
where it can: W_h spread over the registers of all multiprocessors, which meet at a barrier each step.

`z_TBG = W_x x + b` comes from one product outside. Its type is that of all products: bfloat16 under autocast, with
sums, gates and the state in the state's type, float32. The states that the steps see are written twice, as they are
and cleared by the next step's resets in the type of the products: a choice inside the kernel, so that neither a NaN
passes a mark nor the CPU has to look at the marks.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from rnn_core.cells.cell import Cell

LANES_BYTES = 2**19
"""Of W_h in the type of the products: above it a window goes by steps."""
LANES, COLUMNS, DEPTH = 16, 64, 32
"""Of a program that runs lanes: 16 rows are the least of a tensor core's product; and the tile of W_h it reads."""
WARPS = 8
"""Of such a program: its tiles then fit the registers."""
BLOCK = 256
"""Features of a program that does a part of one step."""


@triton.jit
def tanh(x):
    # Absolute error of one rounding at 1: small x loses digits that the sums it goes into do not have.
    return 2 * tl.sigmoid(2 * x) - 1


def fits_steps(cell: Cell, x_TBD: Tensor) -> bool:
    """Whether a window can go by steps: weights and state in float32 or float64, on a GPU."""
    return x_TBD.is_cuda and cell.w_x.dtype in (torch.float32, torch.float64)


def fits_lanes(cell: Cell, x_TBD: Tensor, w_h: Tensor) -> bool:
    """Whether a window goes faster by lanes; these need the tensor cores that are there from Ampere on."""
    if not x_TBD.is_cuda or cell.w_x.dtype != torch.float32 or torch.cuda.get_device_capability(x_TBD.device) < (8, 0):
        return False
    products = torch.get_autocast_dtype("cuda") if torch.is_autocast_enabled("cuda") else w_h.dtype
    return w_h.numel() * products.itemsize <= LANES_BYTES


def inputs(cell: Cell, x_TBD: Tensor) -> Tensor:
    """z_TBG = W_x x + b in memory of its own, in autocast's type where that is on."""
    return torch.nn.functional.linear(x_TBD, cell.w_x, cell.b).contiguous()


def marks(resets_TB: Tensor, reverse: bool) -> tuple[Tensor, Tensor]:
    """(now_TB, next_TB): resets of each step, and of the one processed after it, none after the last; as bytes."""
    none_1B = torch.zeros_like(resets_TB[:1])
    resets_SB = torch.cat((none_1B, resets_TB) if reverse else (resets_TB, none_1B)).view(torch.uint8)
    return (resets_SB[1:], resets_SB[:-1]) if reverse else (resets_SB[:-1], resets_SB[1:])


def order(num_steps: int, reverse: bool) -> range:
    """The steps in the order they are processed in."""
    return range(num_steps - 1, -1, -1) if reverse else range(num_steps)
