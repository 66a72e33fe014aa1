"""Workers come and go while a training runs: it goes on with those that there are, and computes the same."""

import os
import re
import subprocess
import sys

import numpy as np
import pytest

from pipelines import paths
from pipelines.points import read
from tests.pipelines import small_cluster
from tests.pipelines import small_training as small

pytestmark = pytest.mark.cluster
LONG_ENOUGH = {"epochs": 2000, "validations_per_epoch": 1, "dtype": "float64"}
"""Of updates for whatever happens meanwhile; a test ends it."""


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return small.write_data(tmp_path_factory.mktemp("data") / "arrow")


@pytest.fixture
def nodes(monkeypatch):
    """A head, which drivers join and ask often; a test adds nodes."""
    with small_cluster.started(monkeypatch) as there:
        monkeypatch.setenv("RAY_ADDRESS", there.address)
        monkeypatch.setenv("RNN_RESIZE_SECONDS", "1")
        monkeypatch.setenv("RNN_CHECKPOINT_SECONDS", "1")
        yield there


def workers_of(running) -> int:
    """How many computed the newest point of the training's own curve: one has nobody to wait for."""
    newest = next(p["values"] for p in reversed(running.points()) if "train/loss" in p["values"])
    return 2 if "train/slowest_worker" in newest else 1


@pytest.mark.long
def test_a_node_that_joins_is_used_and_one_that_dies_is_done_without(data, nodes, tmp_path):
    nodes.add()
    path, undisturbed = (small.write_job(tmp_path / name, data, **LONG_ENOUGH) for name in ("changing", "whole"))
    with small.Running(path, "1:2", ray=True) as running:
        running.wait_for(20)
        assert workers_of(running) == 1
        second = nodes.add()
        running.wait_until(lambda: workers_of(running) == 2)
        nodes.kill(second)
        running.wait_until(lambda: workers_of(running) == 1)
        running.wait_for(running.points()[-1]["step"] + 50)
        running.kill()
    ours = small.losses(read(path / "training"))
    small.train_until(undisturbed, 1, len(ours))
    whole = small.losses(read(undisturbed / "training"))
    small.check_each_step_once(read(path / "training"))
    np.testing.assert_allclose(ours[:300], whole[:300], rtol=1e-9)
    # Rounding differs from the first change on, and grows.
    np.testing.assert_allclose(ours, whole[: len(ours)], rtol=1e-4)


@pytest.mark.long
def test_a_machine_that_is_announced_to_go_leaves_a_state_behind(data, nodes, tmp_path, monkeypatch):
    monkeypatch.setenv("RNN_CHECKPOINT_SECONDS", "100000")
    nodes.add()
    path = small.write_job(tmp_path / "job", data, **LONG_ENOUGH, checkpoint_steps=10**6)
    states = path / "training/state"

    def between_validations() -> list[str]:
        found = [folder.name for folder in states.glob("step-*")]
        return [name for name in found if int(name.removeprefix("step-")) % small.UPDATES_PER_EPOCH]

    with small.Running(path, 1, ray=True) as running:
        running.wait_for(20)
        assert not between_validations()
        (node,) = nodes.ids()
        drain = [
            sys.executable,
            "-m",
            "ray.scripts.scripts",
            "drain-node",
            "--address",
            nodes.address,
            "--node-id",
            node,
        ]
        drain += [
            "--reason",
            "DRAIN_NODE_REASON_PREEMPTION",
            "--reason-message",
            "test",
            "--deadline-remaining-seconds",
            "600",
        ]
        subprocess.run(drain, check=True, capture_output=True)
        running.wait_until(between_validations)


@pytest.mark.long
def test_room_that_does_not_come_is_told_and_waited_for_with_an_end(data, nodes, tmp_path, monkeypatch):
    monkeypatch.setenv("RNN_WAIT_SECONDS", "3")
    nodes.add()
    path = small.write_job(tmp_path / "job", data)
    with small.Running(path, "2:4", ray=True) as running:
        (driver,) = running.processes
        _, told = driver.communicate(timeout=300)
    assert driver.returncode != 0
    assert "the cluster: no room for 2 workers of 1 CPU each (there is room for 1)" in told
    assert not (path / "training/finished.json").exists()


@pytest.mark.long
def test_a_machine_that_shares_no_folder_goes_on_where_a_dead_one_was(data, nodes, tmp_path, monkeypatch):
    monkeypatch.setenv("RNN_STORAGE", str(tmp_path / "far"))
    path, undisturbed = (small.write_job(tmp_path / name, data, epochs=8) for name in ("job", "whole"))
    first = nodes.add(RNN_NODE_FOLDER=str(tmp_path / "first"))
    with small.Running(path, 1, ray=True) as running:
        running.wait_for(50)
        running.wait_until(lambda: list((tmp_path / "far").rglob("state/*/manifest.json")))
        nodes.kill(first)
        nodes.add(RNN_NODE_FOLDER=str(tmp_path / "second"))
        running.finish()
    points = read(path / "training")
    small.check_each_step_once(points)
    monkeypatch.delenv("RNN_STORAGE")
    assert small.numbers(points) == small.numbers(small.train(undisturbed, 1))
    assert (path / "training/best/model.safetensors").read_bytes() == (
        undisturbed / "training/best/model.safetensors"
    ).read_bytes()
    assert list((tmp_path / "second").rglob("finished.json"))
    assert not list((tmp_path / "first").rglob("finished.json"))


MAKE = """
import sys
from pathlib import Path
from pipelines import cli, preprocess
raw, out = map(Path, sys.argv[1:])
data, sizes = {"from": "x", "max_bad_share": 0.0, "level": "word", "min_count": 1}, preprocess.Sizes(chunk_bytes=2000)
given = {"suite": "sample", "dataset": "x", "sizes": sizes, "processes": 1}
cli.run(lambda: preprocess.preprocess(raw, out, "language_model", data, **given))
"""


@pytest.mark.long
def test_a_cluster_makes_the_bytes_of_one_machine(nodes, tmp_path):
    """Each time in a process of its own, as a stage is: one that has seen clusters end may wait long for the next."""
    raw = tmp_path / "raw"
    raw.mkdir()
    for split, count in {"train": 30_000, "validation": 100, "test": 100}.items():
        (raw / f"{split}.txt").write_text("".join(f"w{i % 17} w{i % 5} .\n" for i in range(count)))
    nodes.add()
    nodes.add()

    def make(where: str, address: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", MAKE, str(raw), str(tmp_path / where)]
        own = {**os.environ, "PYTHONPATH": str(paths.REPOSITORY), "RAY_ADDRESS": address}
        return subprocess.run(command, env=own, capture_output=True, text=True)

    made = {}
    for where, address in (("cluster", nodes.address), ("here", "")):
        done = make(where, address)
        assert done.returncode == 0, done.stderr
        made[where] = {path.name: path.read_bytes() for path in (tmp_path / where).iterdir()}
    assert made["cluster"] == made["here"]
    (raw / "train.txt").write_bytes(b"a .\n" * 10_000 + b"\xff\n")
    told = make("bad", nodes.address)
    assert told.returncode == 1
    assert re.search("train.txt:10001: .*UTF-8", told.stderr), told.stderr
