"""A layer: one cell over a window of lanes, by its kernel or step by step, with what thins its recurrence in training.

Weight dropout (Merity et al. 2017: Regularizing and optimizing LSTM language models): DropConnect on the recurrent
matrix. One mask lasts a window, for all its lanes, so that a kernel takes the masked matrix as it takes any other.

Zoneout (Krueger et al. 2017: Zoneout, regularizing RNNs by randomly preserving hidden activations): at each step each
unit of the state keeps its old value with probability p; in evaluation it is the mean of what may happen,
p * old + (1 - p) * new. The lane's reset comes before: a unit that keeps its value at a start keeps the initial one.
"""

import torch
from torch import Tensor, nn

from rnn_core.cells import Cell, State
from rnn_core.dropout import Draws
from rnn_core.kernels import path
from rnn_core.kernels.window import marks


class Layer(nn.Module):
    """A cell over a window of lanes, by its kernel where there is one, else step by step."""

    def __init__(self, cell: Cell, *, weight_dropout: float = 0.0, zoneout: float = 0.0, number: int = 0):
        """
        Args:
            weight_dropout: rate on the cell's `w_h`, which it must have if the rate is not 0.
            zoneout: rate on the cell's state, of which there must be one if the rate is not 0.
            number: of the draws of this layer's weights and steps; each layer of a model has its own.
        """
        super().__init__()
        self.cell, self.weight_dropout, self.zoneout, self._number = cell, weight_dropout, zoneout, number

    def forward(
        self, x_TBD: Tensor, starts_TB: Tensor, state: State, reverse: bool = False, draws: Draws | None = None
    ) -> tuple[Tensor, State]:
        """h_TBH and the state after the last step that was processed.

        Args:
            x_TBD: inputs.
            starts_TB: bool, True at the first step of each sequence: before it the lane's state becomes the cell's
                `initial_state`, and no gradient passes the mark.
            state: of each lane before the window.
            reverse: go from the last step to the first. The state is reset before the last step of each sequence,
                which stands before a start or at the end of the window, so that `state` counts for nothing.
            draws: of this window; None thins nothing, as in evaluation.
        """
        if not state:
            # A cell without memory has nothing to reset, and takes all steps at once.
            return self.cell.step(self.cell.inputs(x_TBD), state)
        resets_TB = torch.cat((starts_TB[1:], torch.ones_like(starts_TB[:1]))) if reverse else starts_TB
        cell = self.thinned(draws)
        if self.zoneout:
            keep_TBS = self._keep(len(x_TBD), state, draws)
            return step_by_step(cell, x_TBD, resets_TB, state, reverse, keep_TBS)
        return over_window(cell, x_TBD, resets_TB, state, reverse)

    def thinned(self, draws: Draws | None) -> Cell:
        """The cell with the recurrent weights that this window is to have."""
        if draws is None or not self.weight_dropout:
            return self.cell
        w_h = self.cell.w_h
        return self.cell.replaced(w_h=w_h * draws.weight_mask(self._number, w_h.shape, self.weight_dropout, w_h))

    def _keep(self, steps: int, state: State, draws: Draws | None) -> Tensor:
        """keep_TBS: how much of its old value each unit of the state keeps at each step."""
        size, like = sum(s.shape[1] for s in state), state[0]
        if draws is None:
            return like.new_full((), self.zoneout).expand(steps, len(like), size)
        return draws.chosen(self._number, steps, size, self.zoneout, like)


def over_window(cell: Cell, x_TBD: Tensor, resets_TB: Tensor, state: State, reverse: bool) -> tuple[Tensor, State]:
    """By the kernel that fits best, else `step_by_step`; the arguments are those of a kernel."""
    fitting = path(cell, x_TBD, resets_TB, reverse)
    run = step_by_step if fitting is None else fitting.kernel
    return run(cell, x_TBD, resets_TB, state, reverse)


def step_by_step(
    cell: Cell, x_TBD: Tensor, resets_TB: Tensor, state: State, reverse: bool, keep_TBS: Tensor | None = None
) -> tuple[Tensor, State]:
    """What every kernel must equal: the cell's own step, T times.

    Args:
        cell, x_TBD, resets_TB, state, reverse: those of a kernel.
        keep_TBS: share of its old value that each unit of the state keeps at each step, S being the features of all
            tensors of the state in their order. None keeps nothing.
    """
    initial = cell.initial_state(x_TBD.shape[1], x_TBD)
    shares = [None] * len(x_TBD) if keep_TBS is None else keep_TBS
    steps = list(zip(cell.inputs(x_TBD), marks(resets_TB), shares, strict=True))
    outputs = []
    for z_BG, resets_B, keep_BS in reversed(steps) if reverse else steps:
        if resets_B is not None:
            # A choice, not a product with zero: what the old state held, a NaN even, ends here.
            state = tuple(torch.where(resets_B[:, None], new, old) for new, old in zip(initial, state, strict=True))
        h_BH, new_state = cell.step(z_BG, state)
        if keep_BS is not None:
            h_BH, new_state = _zoned_out(h_BH, new_state, state, keep_BS)
        state = new_state
        outputs.append(h_BH)
    return torch.stack(outputs[::-1] if reverse else outputs), state


def _zoned_out(h_BH: Tensor, new: State, old: State, keep_BS: Tensor) -> tuple[Tensor, State]:
    """The output and the state after a step in which a part of the state stays as it was."""
    keep = keep_BS.split([s.shape[1] for s in old], 1)
    mixed = tuple(k * before + (1 - k) * after for k, before, after in zip(keep, old, new, strict=True))
    # What is said and remembered at once is said as it is remembered.
    return next((m for m, after in zip(mixed, new, strict=True) if after is h_BH), h_BH), mixed
