"""What a crash, a refusal or an absent server leaves behind, and that it is put right: no run stays RUNNING, every
point arrives once and in order."""

import json
import os
import shutil
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from pipelines import files, register, tracking, ui, watch
from pipelines.tracking import live, open_runs
from tests import slow_proxy
from tests.pipelines import small_training as small
from tests.pipelines import spooled

pytestmark = [pytest.mark.filterwarnings(spooled.NOLOAD), pytest.mark.outage]

ROOT = Path(__file__).resolve().parents[2]
DRIVER = """
import time
from pathlib import Path
from pipelines import tracking
with tracking.Live(Path("training"), interval=0.05):
    time.sleep(3600)
"""
REFUSED = ("metric: test/no|name", "metric: train/no|name", "param: no|name")


@pytest.fixture
def local(tmp_path_factory: pytest.TempPathFactory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return spooled.own_checkout(tmp_path_factory, tmp_path, monkeypatch)


def running(folder: Path) -> Path:
    return spooled.training(folder, "t", status="running", finished=None)


def test_a_driver_killed_with_sigkill_leaves_no_running_run(
    local: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    store, folder = local / "mlflow.db", running(local / "training")
    driver = spooled.python(DRIVER, local, DVC_ROOT=str(local), PYTHONPATH=str(ROOT))
    spooled.until(lambda: driver.poll() is not None or len(spooled.curve(store, "t")) == 3)
    tracking.settle()
    assert spooled.statuses(store) == ["RUNNING"], "while its driver lives it is left alone"
    driver.kill()
    driver.communicate()
    spooled.add_points(folder, 3, 9)
    assert spooled.statuses(store) == ["RUNNING"]
    monkeypatch.setattr(sys, "argv", ["register", "--missing"])
    register.main()
    assert capsys.readouterr().out == "tracking: 1 run ended that no process trains any more\n"
    assert spooled.statuses(store) == ["KILLED"]
    assert spooled.curve(store, "t") == spooled.wanted(9)
    assert spooled.rows(store, "select end_time from runs") == [(1_000_008,)], "it ended with its last point"
    assert not open_runs.any_left()
    # Resumed, it goes on in the same run.
    with tracking.Live(folder, interval=0.05):
        spooled.until(lambda: spooled.statuses(store) == ["RUNNING"])
        spooled.add_points(folder, 9, 12)
    spooled.until(lambda: not open_runs.any_left())
    assert spooled.statuses(store) == ["FINISHED"]
    assert spooled.curve(store, "t") == spooled.wanted(12)


def away(*_: object) -> None:
    raise tracking.TrackingError("tracking server", "cannot be reached", "a server that answers is wanted")


@pytest.mark.parametrize("folder_is", ["there", "gone", "damaged"])
def test_an_end_that_the_server_missed_is_told_later(
    local: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], folder_is: str
) -> None:
    store, folder = local / "mlflow.db", running(local / "training")
    one = tracking.Live(folder, interval=0.05)
    spooled.until(lambda: len(spooled.curve(store, "t")) == 3)
    monkeypatch.setattr(live, "connect", away)
    monkeypatch.setattr(tracking.Tracker, "send_points", away)
    spooled.add_points(folder, 3, 9)
    spooled.until(lambda: one._away)
    assert not one.close("FAILED")
    one._thread.join()
    assert "`register` sends it" in capsys.readouterr().err
    assert spooled.statuses(store) == ["RUNNING"]
    monkeypatch.undo()
    monkeypatch.setenv("DVC_ROOT", str(local))
    if folder_is == "gone":
        shutil.rmtree(folder)
    elif folder_is == "damaged":
        (folder / "run.json").write_text("{half")
    with monkeypatch.context() as elsewhere:
        elsewhere.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{local}/other.db")
        shutil.copy(store, local / "other.db")
        tracking.settle()
        assert open_runs.any_left(), "it is a matter of the server that has the run"
    tracking.settle()
    assert spooled.statuses(store) == ["FAILED"]
    assert spooled.curve(store, "t") == spooled.wanted(9 if folder_is == "there" else 3)
    assert not open_runs.any_left()


def test_what_the_server_refuses_is_told_once_and_holds_up_nothing(
    local: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = spooled.training(local / "training", "t")
    files.write_json(folder / "params.json", {"good": 1, "no|name": 2, "train.seed": 3})
    with (folder / "points.jsonl").open("a") as file:
        for step in range(3, 2000):
            values = {"train/loss": 1 / (step + 1), "train/no|name": 1.0}
            file.write(json.dumps({"step": step, "time": 1_000_000 + step, "seconds": 0.1, "values": values}) + "\n")
    tracker = tracking.connect()
    for _ in range(2):
        run_id = tracker.send(folder, scores={"accuracy": 95.0, "no|name": 1.0}).run_id
    assert spooled.curve(local / "mlflow.db", "t") == spooled.wanted(2000)
    run = tracker.client.get_run(run_id)
    assert run.data.params == {"good": "1", "train.seed": "3"}
    assert run.data.metrics["test/accuracy"] == 95.0
    assert run.info.status == "FINISHED"
    told = capsys.readouterr().err.splitlines()
    named = [line.partition(": refused by the server and left out: ")[0] for line in told]
    assert sorted(named) == [f"tracking recurrent-lstm-t {kind}" for kind in REFUSED]


def test_a_run_that_a_late_answer_made_twice_is_one_run(local: Path) -> None:
    folder = spooled.training(local / "training", "t")
    tracker = tracking.connect()
    run_id = tracker.send(folder).run_id
    experiment = tracker.client.get_run(run_id).info.experiment_id
    double = tracker.client.create_run(experiment, 0, {"training_id": "t"}).info.run_id
    assert tracker.send(folder).run_id == run_id
    shown = dict(spooled.rows(local / "mlflow.db", "select run_uuid, lifecycle_stage from runs"))
    assert shown == {run_id: "active", double: "deleted"}
    assert sorted(spooled.statuses(local / "mlflow.db")) == ["FINISHED", "KILLED"]


class Server:
    """A tracking server that can be killed and started again on the same port and store."""

    def __init__(self, store: Path):
        self.store, self.port = store, ui.free_port(0)
        self._serving: Any = None

    def start(self) -> None:
        self._serving = ui.serve(f"sqlite:///{self.store}", self.port)
        _, self._process = self._serving.__enter__()

    def kill(self) -> None:
        """Its worker too: both have its process group."""
        os.killpg(self._process.pid, signal.SIGKILL)
        self.stop()

    def stop(self) -> None:
        self._serving.__exit__(None, None, None)


def values_of(folder: Path) -> list[tuple[str, int, float, int]]:
    """All that the training recorded, as the server is to have it."""
    points = small.read(folder)
    return [
        (key, point["step"], value, point["time"])
        for point in points
        for key, value in {**point["values"], "seconds": point["seconds"]}.items()
    ]


def settled(checkout: Path) -> bool:
    """Whether no run is left open, after another try; the training's own thread may still be at it."""
    tracking.settle()
    return not list((checkout / "data/open_runs").glob("*.json"))


TRAIN = {"epochs": 30, "checkpoint_steps": 1000}


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[tuple]]:
    """Data, and what a training on them computes that no server disturbs."""
    folder = tmp_path_factory.mktemp("alone")
    data = small.write_data(folder / "arrow")
    return data, small.numbers(small.train(small.write_job(folder / "job", data, **TRAIN), 1))


@pytest.mark.long
@pytest.mark.timeout(3000)
@pytest.mark.parametrize("server_is", ["killed and back", "down at the start", "slow", "gone for good"])
def test_a_training_beside_a_server_that_fails(
    alone: tuple[Path, list[tuple]], local: Path, monkeypatch: pytest.MonkeyPatch, server_is: str
) -> None:
    """A real training, its driver's watch, and a real server; the numbers are those of a training that has none."""
    data, undisturbed = alone
    job = small.write_job(local / "job", data, **TRAIN)
    folder = job / "training"
    spooled.training(folder, "t", points=0, status="running", finished=None)
    server = Server(local / "mlflow.db")
    with slow_proxy.slowed(server.port, 1.0 if server_is == "slow" else 0.0) as address:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
        if server_is != "down at the start":
            server.start()
        with watch.Watch([small.job_of(job)], "sample/t"), small.Running(job, 1) as training:
            training.wait_for(100)
            assert not (folder / "finished.json").exists()
            if server_is in ("killed and back", "gone for good"):
                spooled.until(lambda: len(spooled.curve(server.store, "t")) > 0)
                server.kill()
                training.wait_for(small.read(folder)[-1]["step"] + 100)
            if server_is in ("killed and back", "down at the start"):
                server.start()
            training.finish()
        assert (folder / "finished.json").exists()
        if server_is == "gone for good":
            assert spooled.statuses(server.store) == ["RUNNING"]
            server.start()
        spooled.until(lambda: settled(local))  # what was too late for the training's end, if anything was
        server.stop()
    assert spooled.statuses(server.store) == ["FINISHED"]
    stored = spooled.whole_curve(server.store, "t")
    assert sorted(stored) == sorted(values_of(folder))
    for key in {key for key, *_ in stored}:
        steps = [step for name, step, *_ in stored if name == key]
        assert steps == sorted(steps), f"{key} out of order"
    assert small.numbers(small.read(folder)) == undisturbed
