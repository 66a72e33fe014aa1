"""A plain feed-forward layer in a cell's place: the baseline that shows what memory is worth.

    h_t = tanh(W_x x_t + b)

As `elman` without W_h: whatever a recurrent cell scores above this, it has from the past.
"""

from torch import Tensor

from rnn_core.cells.cell import Cell, State


class Memoryless(Cell):
    """h_t is a function of x_t alone. State: (). G = H."""

    blends = False
    state_names = ()

    def __init__(self, input_size: int, hidden_size: int):
        super().__init__(input_size, hidden_size)
        self.w_x = self.uniform(hidden_size, input_size)
        self.b = self.uniform(hidden_size)

    def step(self, z_BG: Tensor, state: State) -> tuple[Tensor, State]:
        """Nothing here knows of lanes: any leading dimensions will do."""
        return z_BG.tanh(), state

    def initial_state(self, batch: int, like: Tensor) -> State:
        return ()
