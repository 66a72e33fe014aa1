"""Four nights on one machine, with real trainings: a first one, one without news, one with new data, one with a worse
model; then one killed in the middle of a training and the one that finishes it."""

import os
import signal
from pathlib import Path

import pytest

from tests.pipelines import spooled
from tests.pipelines.retrain.nights import Nights, four, steps_of_the_newest, until
from tests.pipelines.retrain.small import git

pytestmark = pytest.mark.long


@pytest.mark.timeout(3600)
def test_nights(tmp_path: Path) -> None:
    nights = Nights(tmp_path)
    four(nights)
    elsewhere = nights.tick("--no-push", work="elsewhere")
    assert elsewhere["stages"]["ran"] == [], "in an empty folder"
    assert elsewhere["trainings"] == []

    nights.params(a={"epochs": 200})
    killed(nights, "a")
    finished = nights.tick("--when-busy", "replace")
    assert finished["attempts"] == 2
    assert "train@a" in finished["stages"]["ran"]
    steps = steps_of_the_newest(nights.folder / "work/repository/data/checkpoints/sample/a")
    assert steps == sorted(set(steps)), "it went on from where it was killed"
    runs = spooled.rows(nights.folder / "mlflow.db", "select status from runs")
    assert {status for (status,) in runs} == {"FINISHED"}
    assert git(nights.origin, "rev-parse", "retrain/sample") == finished["state"]

    nights.params(a={"epochs": 2})
    away = nights.tick(status=1, RAY_ADDRESS="127.0.0.1:9", RNN_WAIT_SECONDS="1")
    assert away["outcome"] == "failed"
    assert list(away["stages"]["failed"]) == ["train@a"]
    assert "127.0.0.1:9" in away["stages"]["failed"]["train@a"]
    assert nights.tick()["outcome"] == "done"


def killed(nights: Nights, block: str) -> None:
    """A tick, killed with all it runs once the block's new training has left a state."""
    known = nights.states(block)
    with nights.start() as process:

        def alive() -> None:
            assert process.poll() is None, process.stdout.read()

        until(lambda: nights.states(block) - known, alive)
        os.kill(process.pid, signal.SIGKILL)
        process.stdout.close()
