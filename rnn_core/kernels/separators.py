"""oneDNN's LSTM over windows with resets inside: its layer knows none, so a separator step stands before each sequence.

A separator's gates i, f and o are switched off by an input of its own, whatever the state: c and h become zero,
exactly, and no gradient passes, in either direction. It costs a step of one lane, less than what the steps of
`kernels.lstm` cost beside their product. A lane with fewer of them than the longest one ends in hold steps, in which a
second input switches f on and i and o off, so that c stays as it is.
"""

import math
from collections.abc import Sequence
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from rnn_core.cells.cell import Cell, State
from rnn_core.cells.lstm import LSTM
from rnn_core.kernels import library, lstm
from rnn_core.kernels.layouts import Layout, Mover, repacked, stretched

SWITCH = 1e30
"""On a gate's sum: no weights make up for it, and the logistic function of it is exactly 0 or 1."""
SEPARATOR, HOLD = range(2)
"""The further inputs."""
LARGEST_SHARE = 100
"""The lanes may become longer by this share over H. `kernels.lstm` takes that much longer: its element-wise work
grows with H, products with its square."""


def fits(cell: Cell, x_TBD: Tensor, resets_TB: Tensor, reverse: bool = False) -> bool:
    """Whether `kernel` can take this window, on a CPU, and is the faster one."""
    if not library.by_onednn(cell, x_TBD):
        return False
    inside_TB = resets_TB[:-1] if reverse else resets_TB[1:]
    separators = int(inside_TB.sum(0).max()) if len(inside_TB) else 0
    return separators * cast(LSTM, cell).hidden_size <= LARGEST_SHARE * len(x_TBD)


def kernel(cell: Cell, x_TBD: Tensor, resets_TB: Tensor, state: State, reverse: bool) -> tuple[Tensor, State]:
    """As every kernel: see `rnn_core.kernels`."""
    if not finite(x_TBD, *state):
        # A separator stops every number, but not what is none.
        return lstm.kernel(cell, x_TBD, resets_TB, state, reverse)
    processed_TB = resets_TB.numpy()[::-1] if reverse else resets_TB.numpy()
    layout = stretched(processed_TB)
    if reverse:
        layout = layout._replace(places_TB=layout.places_TB[::-1])
    first_B1 = torch.from_numpy(processed_TB[0].copy())[:, None]
    h_TBH, c_BH = _through((cell,), x_TBD, layout, tuple(s.masked_fill(first_B1, 0)[None] for s in state))
    # A copy: the caller may write to what he gets.
    return h_TBH, (h_TBH[0 if reverse else -1].clone(), c_BH)


def fits_both(forward: Cell, x_TBD: Tensor) -> bool:
    return library.by_onednn(forward, x_TBD)


def both(forward: Cell, backward: Cell, x_TBD: Tensor, starts_TB: Tensor) -> Tensor:
    """As `kernels.both.kernel`."""
    layout = repacked(starts_TB.numpy(), gap=1)
    nothing_2BH = x_TBD.new_zeros(2, layout.num_lanes, cast(LSTM, forward).hidden_size)
    return _through((forward, backward), x_TBD, layout, (nothing_2BH, nothing_2BH))[0]


def _through(cells: Sequence[Cell], x_TBD: Tensor, layout: Layout, state: State) -> tuple[Tensor, Tensor]:
    """h_TBH of the window, and the first cell's c_LH; a second cell goes in reverse, beside the first."""
    mover = Mover(layout)
    x_SLD = torch.cat((mover.there(x_TBD), _controls(layout)), 2)
    weights = [w for cell in cells for w in _weights(cell)]
    # biases, 1 layer, no dropout, training (whether the backward pass will be wanted), both directions, time first
    options = True, 1, 0.0, torch.is_grad_enabled(), len(cells) > 1, False
    h_SLH, _, c_1LH = torch.lstm(x_SLD, state, weights, *options)
    return mover.back(h_SLH), c_1LH[0]


def _controls(layout: Layout) -> Tensor:
    """(S, L, 2): the further inputs."""
    empty_SL = layout.empty_M().reshape(layout.num_steps, layout.num_lanes)
    beyond_SL = np.arange(layout.num_steps)[:, None] >= layout.ends_L
    return torch.from_numpy(np.stack((empty_SL & ~beyond_SL, beyond_SL), 2).astype(np.float32))


def _weights(cell: Cell) -> list[Tensor]:
    """As `library.weights`, with columns for the further inputs."""
    w_x, w_h, b, b_h = library.weights(cell)
    columns = w_x.new_full((4, cast(Any, cell).hidden_size, 2), -SWITCH)
    # of the gates i, f, g, o
    columns[1, :, HOLD] = SWITCH
    columns[2] = 0
    return [torch.cat((w_x, columns.flatten(0, 1)), 1), w_h, b, b_h]


def finite(*tensors: Tensor) -> bool:
    """Whether all are numbers, whose sum is one too."""
    return all(math.isfinite(tensor.detach().sum()) for tensor in tensors)
