"""Moving points as a network reads them: where they are and how fast they move, in training as if seen otherwise."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from rnn_core.dropout import Draws
from rnn_core.errors import ConfigError
from rnn_core.motion.movement import Augmentation, augmented, velocities


@dataclass(frozen=True, kw_only=True)
class PointsConfig:
    """The keys of `model.points`."""

    position: float
    """Where a point is, times this; 0 leaves it out."""
    velocity: float
    """What a step adds to that, times this; 0 leaves it out. Both should come near 1 in size."""
    augmentation: Augmentation

    def __post_init__(self) -> None:
        for name, value in (("position", self.position), ("velocity", self.velocity)):
            if value < 0:
                raise ConfigError(f"model.points.{name}", f"found {value}", "a number from 0 on")
        if not self.position and not self.velocity:
            raise ConfigError("model.points", "position and velocity are both 0", "one of them at least")


class PointsInput(nn.Module):
    """points_TBD to x_TBE: positions, then velocities. Has no weights."""

    def __init__(self, config: PointsConfig, num_values: int, coordinates: int):
        """
        Args:
            num_values: D, all coordinates of all points of a step.
            coordinates: of a point.
        """
        super().__init__()
        self.config, self.coordinates = config, coordinates
        self.output_size = num_values * ((config.position > 0) + (config.velocity > 0))

    def forward(
        self, points_TBD: Tensor, starts_TB: Tensor, examples_TB: Tensor, epoch: int, draws: Draws | None
    ) -> Tensor:
        """
        Args:
            starts_TB: of a window of whole sequences.
            examples_TB: int64, number of the example that a step belongs to.
            draws: of the window, in training; None alters nothing.
        """
        config = self.config
        if draws is not None:
            points_TBD = augmented(
                *(points_TBD, starts_TB, examples_TB, config.augmentation),
                coordinates=self.coordinates,
                draws=replace(draws, update=epoch),
            )
        parts = [points_TBD * config.position] if config.position else []
        if config.velocity:
            parts.append(velocities(points_TBD, starts_TB) * config.velocity)
        return torch.cat(parts, 2)
