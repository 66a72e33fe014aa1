"""What 1, 10 and 1000 times the data want: cores or GPUs, storage, money, reckoned from what the public suite took.

    python -m infra.sizing        rewrites the tables of infra/sizing.md; `make readme` does it too

Measured are the seconds of trainings and what was held for them (score files), and bytes (the suite's dvc.lock). A
training of more data is taken to have as many epochs, so that its time and its data grow alike and its network does
not. Speed with many workers is `scaling.py`'s. GPU, prices and the night are assumed, by name.
"""

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass

from infra import scaling
from pipelines import cli, dvc_lock, paths, performance
from pipelines.reports import marked, scores

SUITE = "public"
MARKERS = ("<!-- sizing:begin -->", "<!-- sizing:end -->")
NO_FIGURES = "No figures yet: `make repro SUITE=public`, `make bench BENCH='cluster/weak/*'`, then `make readme`."
TIMES = (1, 10, 1000)
NIGHT = 8.0
"""Hours in which a training is to be done; assumed."""
NETWORK = scaling.NETWORKS[0]
CORE_HOUR, GPU_HOUR, GIGABYTE_MONTH = 0.04, 2.5, 0.023
"""Dollars; assumed, of the order that machines and object stores are let for."""


@dataclass(frozen=True, kw_only=True)
class Taken:
    """One training of a block, as it was measured."""

    block: str
    core_hours: float
    data: int
    """Bytes: raw files and Arrow files."""
    results: int
    """Bytes that stay of it: weights, curves, what it looked like."""
    parameters: int

    def storage(self, times: int) -> float:
        """Bytes with so many times the data."""
        return float(self.data * times + self.results)


def taken() -> list[Taken]:
    """Of all blocks that have been trained since score files say what was held."""
    found = []
    for block, score in scores.read_suite(SUITE).items():
        sizes = [dvc_lock.size(SUITE, place(SUITE, block)) for place in (paths.raw, paths.arrow, paths.train)]
        known = [size for size in sizes if size is not None]
        if score.core_seconds is None or len(known) < len(sizes):
            continue
        raw, arrow, results = known
        hours = score.core_seconds / len(score.seeds) / 3600
        found.append(
            Taken(block=block, core_hours=hours, data=raw + arrow, results=results, parameters=score.parameters)
        )
    return found


def workers(hours: float, measured: Sequence[scaling.Measured]) -> int | None:
    """One-core workers, by doublings, that do so many core-hours in a night; None where more of them do not help.

    Args:
        measured: what is known of scaling, most lanes first.
    """
    times = functools.partial(scaling.weak, measured[0].worker, network=NETWORK)
    count = 1
    while times(count) * NIGHT < hours:
        if count >= scaling.MOST:
            return None
        count *= 2
    return count


def page(found: Sequence[Taken], measured: Sequence[scaling.Measured]) -> str:
    """The Markdown between the markers."""
    if not found or not measured:
        return NO_FIGURES
    head = ["block", "parameters", "data", "results"]
    head += [f"core-hours, {times:,}x" for times in TIMES]
    rows = [head, ["---", *["---:"] * (len(head) - 1)]]
    for one in found:
        cells = [f"`{one.block}`", f"{one.parameters:,}", _bytes(one.data), _bytes(one.results)]
        rows.append([*cells, *(_hours(one.core_hours * times) for times in TIMES)])
    wants = ["block", "data", "cores for a night", "GPU-hours", "storage", "a night on cores", "on a GPU", "a month"]
    nights = [wants, ["---", *["---:"] * (len(wants) - 1)]]
    for one in found:
        nights += [_night(one, times, measured) for times in TIMES]
    return "\n\n".join([marked.table(rows), _assumed(), marked.table(nights)])


def _night(one: Taken, times: int, measured: Sequence[scaling.Measured]) -> list[str]:
    hours = one.core_hours * times
    cores = workers(hours, measured)
    held = None if cores is None else _held(hours, cores, measured)
    on_gpu = hours / scaling.GPU
    return [
        f"`{one.block}`",
        f"{times:,}x",
        "more than help" if cores is None else f"{cores:,}",
        _hours(on_gpu),
        _bytes(one.storage(times)),
        "n/a" if held is None else _dollars(held * CORE_HOUR),
        _dollars(on_gpu * GPU_HOUR),
        _dollars(one.storage(times) / 1e9 * GIGABYTE_MONTH),
    ]


def _held(hours: float, cores: int, measured: Sequence[scaling.Measured]) -> float:
    """Core-hours that so many cores are held for, their communication included."""
    return cores * hours / scaling.weak(measured[0].worker, cores, NETWORK)


def _assumed() -> str:
    return (
        f"Cores so that it is done in {NIGHT:g} hours, a worker on each, over {NETWORK.name} (as in README.md); a GPU "
        f"{scaling.GPU} times a core; ${CORE_HOUR:g} a core-hour, ${GPU_HOUR:g} a GPU-hour, "
        f"${GIGABYTE_MONTH:g} a GB and month. All of this line is assumed."
    )


def _hours(hours: float) -> str:
    return f"{hours:,.0f}" if hours >= 100 else f"{hours:.2g}"


def _bytes(size: float) -> str:
    steps = ("kB", "MB", "GB", "TB")
    step = min(max(int(math.log(max(size, 1), 1000)), 1), len(steps))
    return f"{size / 1000**step:.3g} {steps[step - 1]}"


def _dollars(amount: float) -> str:
    return "less than $0.01" if amount < 0.01 else f"${amount:,.2f}" if amount < 100 else f"${amount:,.0f}"


def write() -> None:
    """The tables into infra/sizing.md, in the place of what stands there."""
    measured = scaling.measured(performance.read_file(paths.root() / performance.FILE))
    marked.write(paths.root() / "infra/sizing.md", {MARKERS: page(taken(), measured)})


if __name__ == "__main__":
    cli.run(write)
