"""The formulas of scaling on paper: against cases reckoned by hand, their limits, and exact expectations."""

import dataclasses
import math
import subprocess
from pathlib import Path

import numpy as np
import pytest

from infra import scaling
from infra.scaling import NETWORKS, Measured, Network, Worker, ring_seconds, tree_seconds, update
from pipelines import paths, performance
from pipelines.performance import Entry
from pipelines.reports import marked

SLOW = Network(name="slow", latency=1e-3, bandwidth=1e6)
WORKER = Worker(own=1.0, jitter=0.0, copies=0.1, size=4e6)
LARGE = Measured(window=70, lanes=64, hidden_size=512, worker=Worker(own=7.0, jitter=0.7, copies=0.1, size=4e6))
SMALL = Measured(window=35, lanes=20, hidden_size=512, worker=Worker(own=1.26, jitter=0.1, copies=0.1, size=4e6))
"""0.1 s a time step with 64 lanes, 0.036 s with 20: 1/220 s a step, and 4/2750 s for each lane."""


def test_a_ring_by_hand() -> None:
    # Four workers: six messages of a quarter of 4 MB at 1 MB/s, 1 ms each beside.
    assert ring_seconds(workers=4, size=4e6, network=SLOW) == pytest.approx(6 * (1e-3 + 1))
    assert ring_seconds(workers=1, size=4e6, network=SLOW) == 0


def test_a_tree_by_hand() -> None:
    assert tree_seconds(workers=8, size=4e6, network=SLOW) == pytest.approx(2 * 3 * 1e-3 + 8)
    assert tree_seconds(workers=5, size=0, network=SLOW) == tree_seconds(workers=8, size=0, network=SLOW)
    assert tree_seconds(workers=1, size=4e6, network=SLOW) == 0


@pytest.mark.parametrize("network", [SLOW, *NETWORKS], ids=lambda network: network.name)
@pytest.mark.parametrize("seconds", [ring_seconds, tree_seconds])
def test_sums_take_longer_with_more_workers_and_more_bytes(seconds: scaling.Sum, network: Network) -> None:
    by_workers = [seconds(workers=2**n, size=1e6, network=network) for n in range(12)]
    by_size = [seconds(workers=64, size=size, network=network) for size in (0, 1e3, 1e6, 1e9)]
    assert by_workers == sorted(by_workers)
    assert by_size == sorted(set(by_size))


def test_a_ring_without_latency_takes_at_most_twice_the_bytes() -> None:
    network = dataclasses.replace(SLOW, latency=0.0)
    assert ring_seconds(workers=10**6, size=4e6, network=network) == pytest.approx(8, rel=1e-5)
    assert ring_seconds(workers=2, size=4e6, network=network) == 4


def test_copies_are_those_measured_with_two_and_at_most_twice_as_many() -> None:
    assert scaling.copies_seconds(WORKER, 1) == 0
    assert scaling.copies_seconds(WORKER, 2) == pytest.approx(0.1)
    assert scaling.copies_seconds(WORKER, 10**6) == pytest.approx(0.2, rel=1e-5)


@pytest.mark.parametrize("workers", [1, 2, 8, 64, 512])
def test_simulated_maximum_is_the_exact_one(workers: int) -> None:
    harmonic = sum(1 / k for k in range(1, workers + 1))
    exponential = scaling.expected_maximum(lambda random, n: random.exponential(1.0, n), workers, 20_000)
    # The maximum's variance is the sum of 1/k^2, at most 1.65: four standard errors.
    assert exponential == pytest.approx(harmonic, abs=4 * 1.29 / math.sqrt(20_000))
    uniform = scaling.expected_maximum(lambda random, n: random.random(n), workers, 20_000)
    assert uniform == pytest.approx(workers / (workers + 1), abs=4 * 0.29 / math.sqrt(20_000))


def test_own_parts_vary_as_they_are_told_to() -> None:
    drawn = scaling.varying(0.2)(np.random.default_rng(0), 100_000)
    assert drawn.mean() == pytest.approx(1, abs=0.005)
    assert drawn.std() == pytest.approx(0.2, abs=0.005)


def test_who_waits() -> None:
    assert scaling.slowest(0.0, 512) == scaling.slowest(0.3, 1) == 1
    by_workers = [scaling.slowest(0.1, 2**n) for n in range(8)]
    assert by_workers == sorted(set(by_workers))
    # Two with little jitter: the mean of the greater of two normal draws is 1/sqrt(pi) above their mean.
    assert scaling.slowest(0.05, 2) == pytest.approx(1 + 0.05 / math.sqrt(math.pi), abs=0.005)


def test_an_update_by_hand() -> None:
    part = update(WORKER, 4, SLOW)
    assert (part.own, part.waiting) == (1, 0)
    assert part.sums == pytest.approx(0.15 + 6.006)
    assert part.communication == pytest.approx(6.156 / 7.156)
    assert scaling.weak(WORKER, 4, SLOW) == pytest.approx(4 / 7.156)
    assert update(WORKER, 1, SLOW).communication == 0


def test_a_faster_worker_communicates_for_a_larger_share() -> None:
    shares = [update(WORKER.faster(times), 8, NETWORKS[0]).communication for times in (1, 10, 100)]
    assert shares == sorted(set(shares))


def test_changes_that_are_proposed_help() -> None:
    worker = LARGE.worker.faster(scaling.GPU)
    for network in NETWORKS:
        ring = update(worker, 512, network).communication
        for change, summed in scaling.CHANGES.values():
            assert update(change(worker), 512, network, summed).communication < ring
    assert WORKER.compressed().size == WORKER.size / 2
    assert WORKER.accumulating(4).own == 4 * WORKER.own


def test_lanes_lie_on_the_line_through_what_was_measured() -> None:
    for one in (LARGE, SMALL):
        per_step = scaling.with_lanes([LARGE, SMALL], one.lanes).own / LARGE.window
        assert per_step == pytest.approx(one.worker.own / one.window)
    one_lane = scaling.with_lanes([LARGE, SMALL], 1)
    assert one_lane.own == pytest.approx(70 * (0.1 - 63 * 0.064 / 44))
    assert one_lane.jitter / one_lane.own == pytest.approx(0.1)


def test_lanes_cost_in_proportion_where_the_line_makes_no_sense() -> None:
    better_small = dataclasses.replace(SMALL, worker=dataclasses.replace(SMALL.worker, own=0.1))
    assert scaling.with_lanes([LARGE, better_small], 32).own == pytest.approx(3.5)


def test_strong_scaling_ends_where_a_time_step_costs_whatever_its_lanes() -> None:
    free = Network(name="free", latency=0.0, bandwidth=math.inf)
    still = [
        dataclasses.replace(m, worker=dataclasses.replace(m.worker, copies=0.0, jitter=0.0)) for m in (LARGE, SMALL)
    ]
    speeds = [scaling.strong(still, workers, free) for workers in (1, 8, 64, 512)]
    assert speeds == sorted(set(speeds))
    assert speeds[0] == pytest.approx(1)
    limit = scaling.with_lanes(still, 512).own / scaling.with_lanes(still, 0).own
    assert speeds[-1] < limit


def test_where_it_stops_paying() -> None:
    assert scaling.pays_up_to(float, most=64) == 64
    assert scaling.pays_up_to(lambda workers: workers if workers <= 8 else 0.4 * workers) == 8
    assert scaling.pays_up_to(lambda workers: 0.4 * workers) == 1


def entry(name: str, ours: float, theirs: float, lanes: int, window: int) -> Entry:
    shape = {"T": window, "B": lanes, "H": 512, "V": 10_000, "P": 1_000_000, "workers": 2}
    about = {"dtype": "float32", "device": "cpu", "processor": "Some", "threads": 2, "path": "gloo", "compiler": False}
    figures = {"ours": ours, "theirs": theirs, "unit": "share", "ratio": ours / theirs, "spread": (0.1, 0.2)}
    return Entry(name=name, shape=shape, alternative="a", revision="r", **figures, **about)


def entries() -> list[Entry]:
    return [
        entry("cluster/weak/35x20x512", 1, 2, 20, 35),
        entry("cluster/weak/35x20x512/jitter", 100, 1260, 20, 35),
        entry("cluster/weak/35x20x512/sum", 100, 1400, 20, 35),
        entry("cluster/weak/70x64x512/jitter", 700, 7000, 64, 70),
        entry("cluster/weak/70x64x512/sum", 100, 7900, 64, 70),
        entry("layer/gru/sum", 1, 1, 1, 1),
    ]


def test_measured_figures_are_read() -> None:
    assert scaling.measured(entries()) == [LARGE, SMALL]
    assert scaling.measured(e for e in entries() if not e.name.endswith("jitter")) == []


def test_page() -> None:
    text = scaling.page([LARGE, SMALL])
    assert (
        "T 70, 64 lanes, H 512: own part 7000 ms, which varies by 700.0 ms; sum of 4 MB over two workers 100 ms" in text
    )
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    for network in NETWORKS:
        assert sum(row.startswith(f"| {network.name} |") for row in rows) == len(scaling.WORKERS) + 2
    assert scaling.page([LARGE]) == scaling.NO_FIGURES


def test_written_between_the_markers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paths, "root", lambda: tmp_path)
    (tmp_path / "infra").mkdir()
    (tmp_path / performance.FILE).parent.mkdir(parents=True)
    begin, end = scaling.MARKERS
    (tmp_path / "infra/README.md").write_text(f"a\n{begin}\nold\n{end}\nb\n")
    for one in entries():
        performance.write(tmp_path / performance.FILE, one)
    scaling.write()
    written = (tmp_path / "infra/README.md").read_text()
    assert written == f"a\n{begin}\n{scaling.page([LARGE, SMALL])}\n{end}\nb\n"


def test_page_agrees_with_the_results_as_committed() -> None:
    def committed(path: str) -> str:
        command = ["git", "show", f"HEAD:{path}"]
        return subprocess.run(command, cwd=paths.REPOSITORY, capture_output=True, text=True, check=True).stdout

    found = scaling.measured(performance.read(committed(str(performance.FILE)), "HEAD"))
    part = marked.part(committed("infra/README.md"), scaling.MARKERS)
    assert part.group(1) == scaling.page(found)
