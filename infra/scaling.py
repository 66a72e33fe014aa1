"""Scaling on paper and by simulation: what 8, 64 and 512 workers spend on communication, from what was measured of two.

    python -m infra.scaling        rewrites the tables of infra/README.md; `make readme` does it too

An update takes a worker's own part (forward, backward, the optimizer's step), the wait for the slowest of them, whose
own parts vary, and the sum of the gradients: copies in each machine, and a ring or a tree over the network. Own part,
its variation and the copies are measured (`make bench BENCH='cluster/weak/*'`); networks are assumed, by name.
"""

import functools
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from pipelines import cli, paths, performance
from pipelines.performance import Entry
from pipelines.reports import marked

MARKERS = ("<!-- scaling:begin -->", "<!-- scaling:end -->")
NO_FIGURES = "No figures yet: `make bench BENCH='cluster/weak/*'`, then `make readme`."
WORKERS = (8, 64, 512)
LANES = 512
"""Of a training whose lanes are divided among ever more workers."""
PAYS = 0.5
"""Share of its speed alone that each worker keeps, at least, where it pays to have so many."""
MOST = 4096
"""Workers that are looked at."""
ROUNDS = 1000
"""Simulated updates."""
GPU = 50
"""Assumed: a worker with a GPU does its own part and its copies so many times as fast as a core."""

Sum = Callable[..., float]
"""Seconds to sum `size` bytes over `workers` by a `network`."""
Draw = Callable[[np.random.Generator, int], NDArray[np.float64]]
"""So many independent times of one worker."""


@dataclass(frozen=True, kw_only=True)
class Network:
    name: str
    latency: float
    """Seconds of an empty message between two workers."""
    bandwidth: float
    """Bytes a second that a worker sends while it receives as many."""


NETWORKS = (
    Network(name="10 Gbit/s Ethernet", latency=30e-6, bandwidth=1.1e9),
    Network(name="100 Gbit/s", latency=5e-6, bandwidth=11e9),
    Network(name="NVLink-class", latency=3e-6, bandwidth=350e9),
)
"""Assumed: what programs reach, below what is printed on the box."""


@dataclass(frozen=True, kw_only=True)
class Worker:
    """Of one update; times in seconds."""

    own: float
    """Mean of forward, backward and the optimizer's step."""
    jitter: float
    """Standard deviation of `own` from update to update."""
    copies: float
    """The sum over two workers on one machine, where no network is between them."""
    size: float
    """Bytes of the gradients."""

    def faster(self, times: float) -> "Worker":
        return replace(self, own=self.own / times, jitter=self.jitter / times, copies=self.copies / times)

    def accumulating(self, updates: int) -> "Worker":
        """With so many windows before each sum (`train.accumulate`)."""
        return replace(self, own=self.own * updates, jitter=self.jitter * math.sqrt(updates))

    def compressed(self) -> "Worker":
        """With gradients in bfloat16 on the network."""
        return replace(self, size=self.size / 2)


@dataclass(frozen=True, kw_only=True)
class Measured:
    """A worker as it was measured, on its own lanes of so many time steps."""

    window: int
    lanes: int
    hidden_size: int
    worker: Worker


@dataclass(frozen=True, kw_only=True)
class Update:
    """Seconds of one update of all workers."""

    own: float
    waiting: float
    sums: float

    @property
    def seconds(self) -> float:
        return self.own + self.waiting + self.sums

    @property
    def communication(self) -> float:
        """Share of waiting and sums, as `train/communication_share` has it."""
        return 1 - self.own / self.seconds


def ring_seconds(*, workers: int, size: float, network: Network) -> float:
    """All-reduce by a ring: each worker sends 2 (W - 1) times a W-th of the bytes (Patarasuk and Yuan 2009)."""
    return 2 * (workers - 1) * (network.latency + size / (workers * network.bandwidth))


def tree_seconds(*, workers: int, size: float, network: Network) -> float:
    """By two binary trees up and down again, in pieces that follow each other (Sanders et al. 2009)."""
    if workers == 1:
        return 0.0
    return 2 * math.ceil(math.log2(workers)) * network.latency + 2 * size / network.bandwidth


def copies_seconds(worker: Worker, workers: int) -> float:
    """In a worker's memory: as many bytes as go through it, which is once all of them with two workers."""
    return worker.copies * 2 * (workers - 1) / workers


def expected_maximum(draw: Draw, workers: int, rounds: int = ROUNDS) -> float:
    """The slowest of so many workers, by simulation: the mean of the maximum of so many draws each."""
    random = np.random.default_rng(0)
    slowest = draw(random, rounds)
    for _ in range(workers - 1):
        np.maximum(slowest, draw(random, rounds), out=slowest)
    return float(slowest.mean())


def varying(jitter: float) -> Draw:
    """A worker's own part with a mean of 1 and this standard deviation.

    Assumed: its logarithm varies normally, for each worker and update by itself. A machine that is always slow is not
    in it; `train/slowest_worker` finds that one.
    """
    sigma = math.sqrt(math.log1p(jitter**2))
    return lambda random, count: random.lognormal(-(sigma**2) / 2, sigma, count)


@functools.cache
def slowest(jitter: float, workers: int) -> float:
    """Of so many workers whose own parts vary so; at least what each has in the mean."""
    return max(1.0, expected_maximum(varying(jitter), workers)) if workers > 1 else 1.0


def update(worker: Worker, workers: int, network: Network, summed: Sum = ring_seconds) -> Update:
    """Of workers that all do as much."""
    return Update(
        own=worker.own,
        waiting=worker.own * (slowest(worker.jitter / worker.own, workers) - 1),
        sums=copies_seconds(worker, workers) + summed(workers=workers, size=worker.size, network=network),
    )


def weak(worker: Worker, workers: int, network: Network, summed: Sum = ring_seconds) -> float:
    """Times the speed of one worker, each with lanes of its own."""
    return workers * worker.own / update(worker, workers, network, summed).seconds


def strong(measured: Sequence[Measured], workers: int, network: Network, lanes: int = LANES) -> float:
    """Times the speed of one worker that has all lanes."""
    alone = with_lanes(measured, lanes).own
    return alone / update(with_lanes(measured, lanes / workers), workers, network).seconds


def with_lanes(measured: Sequence[Measured], lanes: float) -> Worker:
    """The first of the measured workers with other lanes: a time step costs something whatever its lanes, and
    something for each of them, by the line through what was measured."""
    first = measured[0]
    times = [one.worker.own / one.window for one in measured]
    each, fixed = np.polyfit([one.lanes for one in measured], times, 1)
    if each <= 0 or fixed < 0:  # as chance would have it
        each, fixed = times[0] / first.lanes, 0.0
    own = float(first.window * (fixed + each * lanes))
    return replace(first.worker, own=own, jitter=first.worker.jitter * own / first.worker.own)


def pays_up_to(times: Callable[[int], float], most: int = MOST) -> int:
    """Workers, by doublings from one on, as long as each keeps PAYS of its speed.

    Args:
        times: the speed of one worker that so many of them reach.
    """
    workers = 1
    while 2 * workers <= most and times(2 * workers) >= PAYS * 2 * workers:
        workers *= 2
    return workers


def measured(entries: Iterable[Entry]) -> list[Measured]:
    """What `make bench` found of weak scaling; the one with most lanes first."""
    by_name = {entry.name: entry for entry in entries}
    found = []
    for name, sums in by_name.items():
        varies = by_name.get(f"{name.removesuffix('/sum')}/jitter")
        if not (name.startswith("cluster/weak/") and name.endswith("/sum") and varies):
            continue
        worker = Worker(
            own=varies.theirs / 1000, jitter=varies.ours / 1000, copies=sums.ours / 1000, size=4.0 * sums.shape["P"]
        )
        shape = sums.shape
        found.append(Measured(window=shape["T"], lanes=shape["B"], hidden_size=shape["H"], worker=worker))
    return sorted(found, key=lambda one: -one.lanes)


def page(found: Sequence[Measured]) -> str:
    """The Markdown between the markers."""
    if len(found) < 2:
        return NO_FIGURES
    parts = [
        _told(found),
        f"Share of communication, and how many times as fast as one worker. Weak: each worker has lanes of its own; "
        f"strong: {LANES} lanes divided among all.",
        _table(_shares_head(found), _shares(found)),
        f"Up to so many workers (of at most {MOST:,}, by doublings) each keeps {_percent(PAYS)} of its speed alone:",
        _table(["network", *_columns(found)], _limits(found)),
        f"Share of communication of {WORKERS[-1]} workers with a GPU each, at {_size(found[0])}, as it is, and with a "
        "change:",
        _table(["network", "ring", *CHANGES], _changes(found[0])),
    ]
    return "\n\n".join(parts)


CHANGES: dict[str, tuple[Callable[[Worker], Worker], Sum]] = {
    "tree": (lambda worker: worker, tree_seconds),
    "bfloat16 gradients": (Worker.compressed, ring_seconds),
    "`train.accumulate: 4`": (lambda worker: worker.accumulating(4), ring_seconds),
    "all three": (lambda worker: worker.compressed().accumulating(4), tree_seconds),
}


def _told(found: Sequence[Measured]) -> str:
    lines = [
        f"- {_size(one)}: own part {1000 * one.worker.own:.0f} ms, which varies by {1000 * one.worker.jitter:.1f} ms; "
        f"sum of {one.worker.size / 1e6:.0f} MB over two workers {1000 * one.worker.copies:.0f} ms"
        for one in found
    ]
    lines += [
        f"- {network.name}: {1e6 * network.latency:g} µs a message, {network.bandwidth / 1e9:g} GB/s (assumed)"
        for network in NETWORKS
    ]
    return "\n".join([*lines, f"- a GPU: {GPU} times as fast as such a worker (assumed)"])


def _columns(found: Sequence[Measured]) -> list[str]:
    kinds = [f"weak, {_size(one)}" for one in found]
    return [*kinds, f"{kinds[0]}, a GPU each", f"strong, {_size(found[0], lanes=False)}"]


def _shares_head(found: Sequence[Measured]) -> list[str]:
    return ["network", "workers", *_columns(found)]


def _shares(found: Sequence[Measured]) -> list[list[str]]:
    rows = []
    for network in NETWORKS:
        for workers in WORKERS:
            kinds = [*(one.worker for one in found), found[0].worker.faster(GPU)]
            cells = [_cell(update(kind, workers, network), weak(kind, workers, network)) for kind in kinds]
            part = update(with_lanes(found, LANES / workers), workers, network)
            rows.append([network.name, str(workers), *cells, _cell(part, strong(found, workers, network))])
    return rows


def _limits(found: Sequence[Measured]) -> list[list[str]]:
    rows = []
    for network in NETWORKS:
        kinds = [*(one.worker for one in found), found[0].worker.faster(GPU)]
        limits = [pays_up_to(functools.partial(_weak, kind, network)) for kind in kinds]
        limits.append(pays_up_to(functools.partial(_strong, found, network), LANES))
        rows.append([network.name, *(f"{limit:,}" for limit in limits)])
    return rows


def _changes(one: Measured) -> list[list[str]]:
    worker = one.worker.faster(GPU)
    rows = []
    for network in NETWORKS:
        parts = [update(worker, WORKERS[-1], network)]
        parts += [update(change(worker), WORKERS[-1], network, summed) for change, summed in CHANGES.values()]
        rows.append([network.name, *(_percent(part.communication) for part in parts)])
    return rows


def _weak(worker: Worker, network: Network, workers: int) -> float:
    return weak(worker, workers, network)


def _strong(found: Sequence[Measured], network: Network, workers: int) -> float:
    return strong(found, workers, network)


def _size(one: Measured, lanes: bool = True) -> str:
    return f"T {one.window}" + f", {one.lanes} lanes" * lanes + f", H {one.hidden_size}"


def _cell(part: Update, times: float) -> str:
    return f"{_percent(part.communication)}, {times:.3g}x"


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return marked.table([head, ["---"] * len(head), *rows])


def write() -> None:
    """The tables into infra/README.md, in the place of what stands there."""
    tables = page(measured(performance.read_file(paths.root() / performance.FILE)))
    marked.write(paths.root() / "infra/README.md", {MARKERS: tables})


if __name__ == "__main__":
    cli.run(write)
