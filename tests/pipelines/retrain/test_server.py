"""A tick and what `--prune` asks, on a real store: a tick's run with its children, standings, versions that go."""

from pathlib import Path

import pytest

from pipelines import tracking
from pipelines.tracking import Card, Evaluation, Ruling, Tick
from tests.pipelines import spooled

pytestmark = pytest.mark.filterwarnings(spooled.NOLOAD)


def register(tracker: tracking.Tracker, root: Path, training_id: str, score: float, *, moves: bool) -> int:
    """A version that is judged, as `pipelines.register` makes one; its number."""
    folder = spooled.training(root / "trainings" / training_id, training_id)
    tracker.send(folder)
    evaluation = Evaluation(
        metric="accuracy",
        direction="max",
        score=score,
        test_digest="t",
        column="text",
        input="a sentence",
        answer={"words": ["a", "sentence"]},
    )
    version = tracker.register(folder, evaluation, Card(text=Card.BEGIN, tags={})).version
    champion = tracker.standing("sample", "pos_tagging").champion
    ruling = Ruling(moves=moves, why="champion" if moves else "no champion", test_digest=None)
    tracker.decide("sample", "pos_tagging", version, champion and champion.number, ruling)
    return version


def test_a_tick_and_the_versions_around_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    root = spooled.machine(tmp_path_factory, tmp_path, monkeypatch)
    tracker = tracking.connect()
    assert tracker.standing("sample", "pos_tagging") == tracking.Standing(champion=None, newest=None)
    register(tracker, root, "t1", 90.0, moves=True)
    register(tracker, root, "t2", 80.0, moves=False)
    register(tracker, root, "t3", 85.0, moves=False)
    standing = tracker.standing("sample", "pos_tagging")
    assert standing.champion == tracking.Version(number=1, score=90.0, why="champion")
    assert standing.newest == tracking.Version(number=3, score=85.0, why="no champion")

    (root / "tick").mkdir()
    (root / "tick/summary.txt").write_text("what came of it\n")
    told = Tick(
        name="tick 1",
        suite="sample",
        status="FAILED",
        began=1000,
        ended=3000,
        tags={"outcome": "failed"},
        params={"revision": "main"},
        metrics={"core_seconds": 12.0},
        folder=root / "tick",
        trainings=[("sample/pos_tagging", "t3"), ("sample/pos_tagging", "not on the server")],
    )
    run = tracker.tick(told)
    assert tracker.tick(told) == run, "told again, it is the same run"
    about = spooled.rows(root / "mlflow.db", f"select status, start_time, end_time from runs where run_uuid = '{run}'")
    assert about == [("FAILED", 1000, 3000)]
    parents = spooled.rows(root / "mlflow.db", "select value from tags where key = 'mlflow.parentRunId'")
    assert parents == [(run,)]
    assert list(root.glob(f"mlartifacts/retrain/sample/{run}/artifacts/summary.txt"))

    assert tracker.has(root / "trainings/t2")
    spooled.add_points(root / "trainings/t2", 3, 4)
    assert not tracker.has(root / "trainings/t2"), "a point more than the server has"
    registered = tracker.registered()
    (gone,) = [one for one in registered if one.superseded]
    assert (gone.version, gone.training_id) == (2, "t2")
    places = len(list((root / "mlartifacts").glob("**/MLmodel")))
    tracker.remove(gone)
    assert len(list((root / "mlartifacts").glob("**/MLmodel"))) == places - 1
    assert sorted(one.version for one in tracker.registered()) == [1, 3]
    tracker.remove(next(one for one in registered if one.version == 1))
    assert tracker.standing("sample", "pos_tagging").champion is not None, "an alias names it"
    assert tracker.bring("sample", "pos_tagging", "champion").version == 1
