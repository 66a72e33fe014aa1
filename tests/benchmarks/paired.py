"""Two ways of one computation, timed in turn: A B A B, so that what slows the machine slows both.

pytest-benchmark times ours; the alternative runs, and is timed, in the set-up of each of its rounds. The ratio is the
median over the pairs, its spread the quartiles of the pairs: both stand what a single slow moment does to one side.
"""

import contextlib
import multiprocessing
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

LEAST_ROUNDS, MOST_ROUNDS = 7, 101
END_SECONDS = 30
"""How long a process may take to end by itself."""

Work = Callable[[], float]
"""Does a piece of work and says how much it was, in the unit of the case."""


@contextlib.contextmanager
def elsewhere(make: Callable[..., Work], *arguments: Any) -> Iterator[Work]:
    """The work that `make(*arguments)` gives, done in a process of its own, as a script of somebody else is.

    Between two rounds it waits and takes no time.
    """
    with served(_serve, make, arguments) as pipe:

        def work() -> float:
            pipe.send(None)
            return pipe.recv()

        yield work


@contextlib.contextmanager
def served(serve: Callable[..., None], *arguments: Any) -> Iterator[Any]:
    """Our end of a pipe to a process of its own that runs `serve(<its end>, *arguments)`, and is to return when ours is
    closed; one that does not is killed."""
    processes = multiprocessing.get_context("spawn")
    ours, theirs = processes.Pipe()
    process = processes.Process(target=serve, args=(theirs, *arguments), daemon=True)
    process.start()
    theirs.close()
    try:
        yield ours
    finally:
        ours.close()
        process.join(END_SECONDS)
        process.kill()
        process.join()


def _serve(pipe: Any, make: Callable[..., Work], arguments: tuple[Any, ...]) -> None:
    work = make(*arguments)
    with contextlib.suppress(EOFError):
        while True:
            pipe.recv()
            pipe.send(work())


@dataclass(frozen=True)
class Figures:
    """Of one case. `ours` and `theirs` are medians."""

    ours: float
    theirs: float
    unit: str
    ratio: float
    spread: tuple[float, float]


@dataclass(frozen=True)
class Pairs:
    """(seconds, work) of each round of each side."""

    ours: list[tuple[float, float]]
    theirs: list[tuple[float, float]]

    def times(self, unit: str = "ms") -> Figures:
        """Milliseconds; the ratio is theirs over ours: above 1 is faster."""
        ours, theirs = ([1000 * seconds for seconds, _ in side] for side in (self.ours, self.theirs))
        return figures(ours, theirs, unit, [b / a for a, b in zip(ours, theirs, strict=True)])

    def rates(self, unit: str) -> Figures:
        """Work a second; the ratio is ours over theirs: above 1 is faster."""
        ours, theirs = ([work / seconds for seconds, work in side] for side in (self.ours, self.theirs))
        return figures(ours, theirs, unit, [a / b for a, b in zip(ours, theirs, strict=True)])

    def shares(self) -> Figures:
        """Milliseconds; the ratio is our time as a share of the other: below 1 is less."""
        ours, theirs = ([1000 * seconds for seconds, _ in side] for side in (self.ours, self.theirs))
        return figures(ours, theirs, "share", [a / b for a, b in zip(ours, theirs, strict=True)])


def extra(ours: list[float], theirs: list[float]) -> Figures:
    """Seconds of both sides, pair by pair, as the milliseconds that ours take beyond theirs; the ratio is that as a
    share of theirs: below 0 where chance made ours the faster."""
    beyond = [1000 * (a - b) for a, b in zip(ours, theirs, strict=True)]
    ratios = [a / b - 1 for a, b in zip(ours, theirs, strict=True)]
    return figures(beyond, [1000 * seconds for seconds in theirs], "share", ratios)


def figures(ours: list[float], theirs: list[float], unit: str, ratios: list[float]) -> Figures:
    low, middle, high = statistics.quantiles(ratios, n=4, method="inclusive")
    return Figures(statistics.median(ours), statistics.median(theirs), unit, middle, (low, high))


def compare(benchmark: Any, ours: Work, theirs: Work, seconds: float) -> Pairs:
    """Times of both in turn, after warm-up.

    Args:
        benchmark: pytest-benchmark's fixture.
        seconds: to spend; what the second of two pairs to warm up takes decides how many rounds that is.
    """
    pairs = Pairs([], [])

    def alternative() -> None:
        begin = time.perf_counter()
        work = theirs()
        pairs.theirs.append((time.perf_counter() - begin, work))

    for _ in range(2):
        begin = time.perf_counter()
        alternative()
        ours()
        pair = time.perf_counter() - begin
    pairs.theirs.clear()
    done: list[float] = []
    rounds = max(LEAST_ROUNDS, min(MOST_ROUNDS, round(seconds / pair)))
    benchmark.pedantic(lambda: done.append(ours()), setup=alternative, rounds=rounds)
    pairs.ours.extend(zip(benchmark.stats.stats.data, done, strict=True))
    return pairs
