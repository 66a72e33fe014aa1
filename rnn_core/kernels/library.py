"""The library's own fused layers for a window without a reset inside: cuDNN's on a GPU, oneDNN's LSTM on a CPU.

They know no reset. One before the first step that is processed needs none of theirs: the state is cleared beforehand.
torch's layers have two biases a gate, of which the candidate of the GRU needs both.

cuDNN keeps the recurrent weights on the chip from step to step where it can. oneDNN fuses what an LSTM does between two
products, which no operations of torch can; of the other cells torch calls it for none, and they are slower there.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from rnn_core.cells.cell import Cell, State
from rnn_core.cells.elman import Elman
from rnn_core.cells.gru import GRU
from rnn_core.cells.lstm import LSTM
from rnn_core.looking import may_look

LAYERS: dict[type[Cell], Callable[..., Any]] = {Elman: torch.rnn_tanh, GRU: torch.gru, LSTM: torch.lstm}


def fits(cell: Cell, x_TBD: Tensor, resets_TB: Tensor, reverse: bool = False) -> bool:
    """Whether `kernel` can take this window: on a GPU the CPU waits for the marks to answer that.

    Under autocast it cannot: the state would be rounded at every step.
    """
    if type(cell) not in LAYERS or not may_look() or torch.is_autocast_enabled(x_TBD.device.type):
        return False
    if x_TBD.is_cuda and not torch.backends.cudnn.is_acceptable(cell.w_x):
        return False
    inside_TB = resets_TB[:-1] if reverse else resets_TB[1:]
    return not inside_TB.any()


def by_onednn(cell: Cell, x_TBD: Tensor) -> bool:
    """Whether torch has oneDNN's LSTM take such a cell, and the CPU may look at where the resets are."""
    suits = type(cell) is LSTM and x_TBD.dtype == torch.float32 and x_TBD.device.type == "cpu"
    return suits and torch.backends.mkldnn.is_available() and may_look() and not torch.is_autocast_enabled("cpu")


def fits_cpu(cell: Cell, x_TBD: Tensor, resets_TB: Tensor, reverse: bool = False) -> bool:
    """Whether `kernel` can take this window on a CPU and is the faster one."""
    return by_onednn(cell, x_TBD) and fits(cell, x_TBD, resets_TB, reverse)


def kernel(cell: Cell, x_TBD: Tensor, resets_TB: Tensor, state: State, reverse: bool) -> tuple[Tensor, State]:
    """As every kernel, but only the reset before the first step processed is obeyed; see `rnn_core.kernels`."""
    first_B1 = resets_TB[-1 if reverse else 0, :, None]
    state = tuple(s.masked_fill(first_B1, 0)[None] for s in state)
    x_TBD = (x_TBD.flip(0) if reverse else x_TBD).contiguous()
    flat = weights(cell)
    if x_TBD.is_cuda:
        flat = _adjacent(flat)
    # biases, 1 layer, no dropout, training (whether the backward pass will be wanted), one direction, time first
    options = True, 1, 0.0, torch.is_grad_enabled(), False, False
    h_TBH, *after = LAYERS[type(cell)](x_TBD, state if len(state) > 1 else state[0], flat, *options)
    return h_TBH.flip(0) if reverse else h_TBH, tuple(s[0] for s in after)


def weights(cell: Cell) -> list[Tensor]:
    """w_x, w_h and both biases, as torch's layers name them: of x, and of h."""
    w_h: Any = cell.w_h
    b_h = torch.zeros_like(cell.b)
    if isinstance(cell, GRU):
        b_h = torch.cat((b_h[: 2 * cell.hidden_size], cell.b_hn))
    return [cell.w_x, w_h, cell.b, b_h]


def _adjacent(weights: list[Tensor]) -> list[Tensor]:
    """The same weights, one behind the other in memory: as cuDNN wants them, which copies and warns otherwise."""
    buffer = torch.cat([w.flatten() for w in weights])
    parts = buffer.split([w.numel() for w in weights])
    return [part.view_as(w) for part, w in zip(parts, weights, strict=True)]
