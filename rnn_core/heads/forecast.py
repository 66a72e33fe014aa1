"""What the heads of forecasts share: a distribution for each of the next S values, in units of a series' own scale.

`rnn_core.series.scaling` names for each step a base (..., S) and a scale (...): what a naive forecast says, and how
large an error is worth speaking of. A head puts its distribution at base + scale * z, so that series of any size share
one set of weights.
"""

import torch
from torch import Tensor, nn

from rnn_core.lanes import Window
from rnn_core.products import linear
from rnn_core.series.scaling import Scaling


class ForecastHead(nn.Module):
    """Weights for K numbers for each of S values; a subclass makes a distribution of them.

    Everywhere: hidden_..H, base_..S, scale_.. with the same leading dimensions, targets_..S in the unit of the data.
    """

    def __init__(self, hidden_size: int, scaling: Scaling, numbers: int):
        """
        Args:
            hidden_size: H.
            scaling: names base and scale, and S, how many of the next values are told at each step.
            numbers: K that describe one value's distribution.
        """
        super().__init__()
        self.scaling, self.steps, self.numbers = scaling, scaling.steps, numbers
        steps = self.steps
        # Zero: the first forecast is the base, for every series, and each learns from there.
        self.weight = nn.Parameter(torch.zeros(steps * numbers, hidden_size))
        self.bias = nn.Parameter(torch.zeros(steps * numbers))

    def losses(self, z_SK: Tensor, targets_S: Tensor, base_S: Tensor, scale_1: Tensor) -> Tensor:
        """The loss of each target, (..., S); `scale_1` has the shape (..., 1)."""
        raise NotImplementedError

    def draw(self, z_SK: Tensor, base_S: Tensor, scale_1: Tensor, generator: torch.Generator) -> Tensor:
        """One value from each distribution, (..., S), in the unit of the data."""
        raise NotImplementedError

    def loss_of(self, window: Window, hidden_TBH: Tensor) -> tuple[Tensor, int]:
        """`loss` of a window with the next values in its field `targets_TBS`."""
        base_TBS, scale_TB, seasonal_TBS = self.scaling.placed(window.fields, hidden_TBH)
        targets_TBS = window.fields["targets_TBS"][:, :, : self.steps].to(hidden_TBH.dtype)
        targets_TBS = targets_TBS.masked_fill(~seasonal_TBS, torch.nan)
        return self.loss(hidden_TBH, targets_TBS, window.valid_TB, base_TBS, scale_TB)

    def loss(
        self, hidden_TBH: Tensor, targets_TBS: Tensor, valid_TB: Tensor, base_TBS: Tensor, scale_TB: Tensor
    ) -> tuple[Tensor, int]:
        """The mean over the known targets of a step, summed over the valid steps that have any, and how many these are.

        Args:
            targets_TBS: NaN where a value is missing or lies past the end of what may be seen.
            valid_TB: bool. What stands at other steps is not read, and gets no gradient.
        """
        known_TBS = ~targets_TBS.isnan() & valid_TB[:, :, None]
        rows_N = known_TBS.any(2).flatten().nonzero().squeeze(1)
        hidden_NH, targets_NS, base_NS, known_NS = (
            tensor.flatten(0, 1).index_select(0, rows_N) for tensor in (hidden_TBH, targets_TBS, base_TBS, known_TBS)
        )
        scale_N1 = scale_TB.flatten().index_select(0, rows_N)[:, None]
        # A gap becomes a number that every head takes before it is weighed with 0: NaN times 0 would be NaN.
        targets_NS = torch.where(known_NS, targets_NS, 0.0)
        losses_NS = self.losses(self.parameters_of(hidden_NH), targets_NS, base_NS, scale_N1)
        shares_NS = known_NS / known_NS.sum(1, keepdim=True).clamp(min=1)
        return (losses_NS * shares_NS).sum(), len(rows_N)

    def parameters_of(self, hidden: Tensor) -> Tensor:
        """z_..SK of hidden_..H."""
        return linear(hidden, self.weight, self.bias).unflatten(-1, (self.steps, self.numbers))

    @torch.no_grad()
    def sample(self, hidden: Tensor, base: Tensor, scale: Tensor, generator: torch.Generator) -> Tensor:
        """One draw of each of the next S values, (..., S): of each by itself, not of a path."""
        return self.draw(self.parameters_of(hidden), base, scale[..., None], generator)

    @torch.no_grad()
    def quantiles(
        self, hidden: Tensor, base: Tensor, scale: Tensor, levels: Tensor, draws: int, generator: torch.Generator
    ) -> Tensor:
        """q_..SQ at `levels` (Q, rising in 0..1): those of `draws` draws, where the head has no formula."""
        drawn = torch.stack([self.sample(hidden, base, scale, generator) for _ in range(draws)])
        return torch.quantile(drawn, levels.to(drawn), dim=0).movedim(0, -1)
