"""The score file: what a block's last training reached on its test data, small and committed to git.

data/scores/<suite>/<block>.json; `make repro` and `make readme` show nothing else.
"""

import json
import math
from dataclasses import dataclass
from typing import Literal

from pipelines.params import Published
from rnn_core.config import from_mapping
from rnn_core.errors import DataError


@dataclass(frozen=True, kw_only=True)
class Spread:
    """The lowest and the highest score of several seeds."""

    min: float
    max: float


@dataclass(frozen=True, kw_only=True)
class Score:
    """A score file: the last training of a block, on its test data. Percentages are 0-100."""

    task: str
    dataset: str
    metric: str
    direction: Literal["max", "min"]
    score: float
    """The mean, where there are several seeds."""
    spread: Spread | None = None
    """None with one seed."""
    best_possible: float | None
    """That of the corpus's generator, where it is known."""
    baselines: dict[str, float]
    """Trained ones by name (`memoryless`), the field's simple ones, and the exact best score without memory,
    `best_memoryless`."""
    simple: tuple[str, ...] = ()
    """Which of the baselines are the field's simple ones."""
    published: Published | None
    seconds: float
    """Of training the recurrent network, all seeds together."""
    core_seconds: float | None = None
    """As `gpu_seconds` these seconds times what was held for them; None in files older than this key."""
    gpu_seconds: float | None = None
    parameters: int
    seeds: tuple[int, ...]
    settings: str | None = None
    """`params.Block.settings` when it was measured; None in files older than this key."""
    revision: str
    run_id: str | None
    model_version: int | str | None
    """None until `register` has run."""

    @property
    def gap_closed(self) -> float | None:
        """Share (0-1) of the way from the best score without memory to the best score, where both are known."""
        floor = self.baselines.get("best_memoryless")
        if floor is None or self.best_possible is None:
            return None
        return gap_closed(self.score, floor, self.best_possible, self.metric)


def gap_closed(score: float, floor: float, best: float, metric: str) -> float:
    """Share (0-1) of the way from `floor` to `best`; perplexities in nats."""
    scale = math.log if metric == "perplexity" else float
    return (scale(score) - scale(floor)) / (scale(best) - scale(floor))


def share_of_best(score: float, best: float, direction: str) -> float:
    """A score as a share (0-1) of the best possible one; of a percentage that can be 0, such as an error rate, what is
    right."""
    if direction == "max":
        return score / best
    return best / score if best else 1 - score / 100


def read(text: str, where: str) -> Score:
    """A score file's text.

    Raises:
        DataError: it is no JSON.
        ConfigError: a key is unknown, missing or of the wrong type.
    """
    try:
        return from_mapping(Score, json.loads(text), where)
    except json.JSONDecodeError as error:
        raise DataError(f"{where}:{error.lineno}", f"no JSON ({error.msg})", "run `make repro` again") from error
