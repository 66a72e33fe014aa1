"""Ticks on a small repository, from an empty folder on: what runs, what is kept, what is told."""

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
    elsewhere = place.tick("elsewhere")
    assert set(elsewhere["stages"]["ran"]) == {"train@b", "register@b", "report"}
    assert elsewhere["core_seconds"] == 2.0 * 2 * 3
    assert elsewhere["scores"]["b"]["score"] == 80
    assert (place.trained("a"), place.trained("b")) == (1, 2)
    assert git(place.origin, "rev-list", "--count", "main..retrain/sample") == "2", "a commit a tick"
    told = place.server.ticks[elsewhere["tick"]]
    assert (told.status, told.metrics["stages/ran"], told.metrics["core_seconds"]) == ("FINISHED", 3, 12)
    assert told.trainings == [("sample/b", elsewhere["trainings"][0])]
