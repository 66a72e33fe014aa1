"""Ticks on a small repository, from an empty folder on: what runs, what is kept, what is told."""

from pipelines.retrain import tick
from pipelines.retrain.outcome import Outcome
from tests.pipelines.retrain.small import Place, git


def test_ticks_run_what_changed_and_leave_their_state_on_a_branch(place: Place, capsys) -> None:
    first = place.tick()
    assert (first["outcome"], first["reason"]) == ("done", "")
    assert set(first["stages"]["ran"]) == {"train@a", "train@b", "register@a", "register@b", "report"}
    assert first["core_seconds"] == 2 * (2.0 * 2 * 3)
    assert "a           accuracy 90" in capsys.readouterr().out
    tree = git(place.origin, "ls-tree", "-r", "--name-only", "retrain/sample").splitlines()
    assert {"dvc.lock", "data/scores/sample/a.json", "params.yaml"} <= set(tree)
    assert git(place.origin, "rev-parse", "retrain/sample") == first["state"]

    place.data("b", "80")
    assert tick.look(place.settings()) is Outcome.DONE
    assert "would run   train@b" in capsys.readouterr().out
    assert place.summary() == first

    place.data("a", "full")
    elsewhere = place.tick("elsewhere")
    assert (elsewhere["outcome"], elsewhere["reason"]) == ("failed", "train@a")
    assert "No space left on device" in elsewhere["stages"]["failed"]["train@a"]
    assert set(elsewhere["stages"]["ran"]) == {"train@b", "register@b"}, "a block that fails keeps no other"
    assert set(elsewhere["stages"]["not_reached"]) == {"register@a", "report"}
    assert elsewhere["core_seconds"] == 2.0 * 2 * 3
    assert elsewhere["scores"]["b"]["score"] == 80
    assert (place.trained("a"), place.trained("b")) == (2, 2)
    assert git(place.origin, "rev-list", "--count", "main..retrain/sample") == "2", "a commit a tick"
    told = place.server.ticks[elsewhere["tick"]]
    assert (told.status, told.metrics["stages/ran"], told.metrics["core_seconds"]) == ("FAILED", 2, 12)
    assert told.trainings == [("sample/b", elsewhere["trainings"][0])]
