"""Trainings in processes of their own that stand still between two rounds, alone or as the workers of a group.

What trains is what trains everywhere (`pipelines/worker.py`); it is held where it asks, once an update, whether the
end of its machine is announced.
"""

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from pipelines import group, worker
from tests.benchmarks import paired
from tests.pipelines import small_training as small


class Round(NamedTuple):
    """Seconds of one worker in each update of a round."""

    own: list[float]
    """Forward, backward, the optimizer's step."""
    sums: list[float]
    """Sums over the workers, and waiting for them."""


@dataclass
class Turns:
    """The `notice` of a training that does so many updates whenever the other end of a pipe asks for them."""

    pipe: Any
    updates: int
    _saves: int = 0
    _left: int = -1
    """Updates of this round; below 0 before the first update."""
    _round: Round = field(default_factory=lambda: Round([], []))
    _since: float = 0.0

    def __call__(self) -> int | None:
        """Held here between two rounds; the first update of a round leaves a training state if it is asked to.

        Raises:
            EOFError: the other end is closed.
        """
        if self._left < 0:  # a training that begins asks what has been announced already
            self._left = 0
            return None
        if self._round.sums:
            self._round.own.append(time.perf_counter() - self._since)
        save = False
        if self._left == 0:
            if self._round.sums:
                self.pipe.send(tuple(self._round))
            save, self._left, self._round = self.pipe.recv(), self.updates, Round([], [])
            self._saves += save
        self._left -= 1
        return self._saves if save else None

    def timed(self, reduce: Callable[[list[Tensor], bool], None]) -> Callable[[list[Tensor], bool], None]:
        """In the place of the sum over the workers."""

        def timing(tensors: list[Tensor], compressed: bool) -> None:
            began = time.perf_counter()
            reduce(tensors, compressed)
            self._since = time.perf_counter()
            self._round.sums.append(self._since - began)

        return timing


def serve(pipe: Any, path: Path, updates: int, rank: int, workers: int, meeting: str) -> None:
    """One worker's process: the job in `path`, in rounds of so many updates."""
    turns = Turns(pipe, updates)
    group.reduce = turns.timed(group.reduce)
    small.join(rank, workers, meeting)
    with contextlib.suppress(EOFError):
        worker.train(small.job_of(path), "cpu", turns)


class Side:
    """Trainings that do their rounds at the same time."""

    def __init__(self, pipes: Sequence[Any]):
        self._pipes = pipes
        self.rounds: list[list[Round]] = []
        """Of each round, each worker's."""

    def go(self, save: bool = False) -> None:
        """A round; returns when all have done it.

        Args:
            save: a training state is written on the way.
        """
        for pipe in self._pipes:
            pipe.send(save)
        self.rounds.append([Round(*pipe.recv()) for pipe in self._pipes])

    def seconds(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """own_WN and sums_WN of all updates so far, without the first round, in which memory is met the first time."""
        own, sums = (np.concatenate([[w[i] for w in workers] for workers in self.rounds[1:]], axis=1) for i in (0, 1))
        return own, sums


@contextlib.contextmanager
def together(path: Path, updates: int, workers: int) -> Iterator[Side]:
    """The workers of one training."""
    with contextlib.ExitStack() as until:
        meeting = str(path / "meeting")
        yield Side([_served(until, path, updates, rank, workers, meeting) for rank in range(workers)])


@contextlib.contextmanager
def apart(paths: Sequence[Path], updates: int) -> Iterator[Side]:
    """Trainings of one worker each that know nothing of each other."""
    with contextlib.ExitStack() as until:
        yield Side([_served(until, path, updates, 0, 1, "") for path in paths])


def _served(until: contextlib.ExitStack, *arguments: Any) -> Any:
    return until.enter_context(paired.served(serve, *arguments))
