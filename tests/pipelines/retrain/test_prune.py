"""What `--prune` removes from a checkout, and above all what it leaves."""

import hashlib
import json
from pathlib import Path

import pytest

from pipelines import files, locks, tracking
from pipelines.retrain import prune
from pipelines.retrain.outcome import Outcome
from pipelines.retrain.retention import piece
from tests.pipelines import spooled
from tests.pipelines.retrain.small import git


class Server:
    """In the place of a tracking server."""

    def __init__(self, *registered: tracking.Registration):
        self.all = list(registered)
        self.has = lambda folder: "unsent" not in str(folder)

    def registered(self) -> list[tracking.Registration]:
        return list(self.all)

    def remove(self, gone: tracking.Registration) -> None:
        self.all.remove(gone)


def version(number: int, *, superseded: bool) -> tracking.Registration:
    return tracking.Registration(
        name="rnn-a",
        version=number,
        run_id=f"run{number}",
        training_id=f"t{number}",
        digest=f"digest{number}",
        superseded=superseded,
    )


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A work folder's clone, without any age."""
    monkeypatch.setattr(piece, "FRESH_SECONDS", 0.0)
    for name in ("MLFLOW_TRACKING_URI", "DVC_ROOT"):
        monkeypatch.setenv(name, "")
    folder = tmp_path / "work/repository"
    (folder / "data").mkdir(parents=True)
    git(folder, "init", "-q", "-b", "main")
    (folder / ".gitignore").write_text("/data/*\n!/data/scores/\n/.dvc\n")
    return folder


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Server:
    """Version 1 is champion, 2 and 3 are superseded, 4 is the newest."""
    versions = [version(number, superseded=number in (2, 3)) for number in (1, 2, 3, 4)]
    found = Server(*versions)
    monkeypatch.setattr(tracking, "connect", lambda: found)
    return found


def cached(checkout: Path, content: str) -> str:
    """A file in DVC's cache; its md5."""
    md5 = hashlib.md5(content.encode(), usedforsecurity=False).hexdigest()
    place = checkout / ".dvc/cache/files/md5" / md5[:2] / md5[2:]
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(content)
    return md5


def cached_folder(checkout: Path, *contents: str) -> str:
    md5s = [cached(checkout, content) for content in contents]
    md5 = cached(checkout, json.dumps([{"md5": one, "relpath": one} for one in md5s]))
    place = checkout / ".dvc/cache/files/md5" / md5[:2]
    (place / md5[2:]).rename(place / f"{md5[2:]}.dir")
    return f"{md5}.dir"


def lock(checkout: Path, md5: str, name: str = "dvc.lock") -> None:
    (checkout / name).parent.mkdir(parents=True, exist_ok=True)
    (checkout / name).write_text(f"stages:\n  train@a:\n    outs:\n    - path: out\n      md5: {md5}\n")


def commit(checkout: Path) -> None:
    git(checkout, "add", "-A")
    git(checkout, "-c", "user.name=t", "-c", "user.email=t@t", "commit", "-qm", "t")


def run(checkout: Path, *, keep: int = 2, dry_run: bool = False) -> Outcome:
    return prune.run(checkout.parent, keep=keep, when_busy="leave", dry_run=dry_run)


def contents(checkout: Path) -> set[str]:
    """Of the files in DVC's cache, without folders."""
    return {path.read_text() for path in (checkout / ".dvc/cache/files/md5").glob("??/*") if path.suffix != ".dir"}


def test_cache_that_none_of_the_last_lock_files_reaches_goes(checkout: Path, server: Server) -> None:
    for word in ("oldest", "older", "newer"):
        lock(checkout, cached_folder(checkout, f"{word} 1", f"{word} 2"))
        commit(checkout)
    git(checkout, "checkout", "-q", "-b", "retrain/sample", "HEAD~1")
    lock(checkout, cached(checkout, "of a branch"))
    lock(checkout, cached(checkout, "of the other suite"), "pipelines/suites/public/dvc.lock")
    (checkout / "own.dvc").write_text(f"outs:\n- md5: {cached(checkout, 'added by hand')}\n  path: own\n")
    commit(checkout)
    git(checkout, "checkout", "-q", "main")
    lock(checkout, cached(checkout, "not committed"))
    cached(checkout, "of nobody")
    before = contents(checkout)
    assert run(checkout, dry_run=True) is Outcome.DONE
    assert contents(checkout) == before
    assert run(checkout) is Outcome.DONE
    assert before - contents(checkout) == {"oldest 1", "oldest 2", "of nobody"}
    assert run(checkout, keep=1) is Outcome.DONE
    kept = {"newer 1", "newer 2", "of a branch", "of the other suite", "added by hand", "not committed"}
    assert contents(checkout) == kept


def test_what_is_new_is_left_whoever_made_it(checkout: Path, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(piece, "FRESH_SECONDS", 3600.0)
    lock(checkout, cached(checkout, "of the lock"))
    commit(checkout)
    cached(checkout, "of a command at work")
    run(checkout)
    assert contents(checkout) == {"of the lock", "of a command at work"}


def finished(checkout: Path, name: str, training_id: str, **facts: str) -> Path:
    folder = spooled.training(checkout / "data/checkpoints/sample" / name, training_id, **facts)
    files.write_json(folder / "state/step-1/state.json", {})
    files.write_json(folder / "finished.json", {})
    return folder


def test_checkpoints_of_finished_trainings_go(checkout: Path, server: Server, capsys) -> None:
    lock(checkout, cached(checkout, "x"))
    commit(checkout)
    superseded = finished(checkout, "a/recurrent-1", "t2")
    unsent = finished(checkout, "a/recurrent-unsent", "t3")
    champion = finished(checkout, "a/recurrent-2", "t1")
    current = finished(checkout, "a/recurrent-3", "t9")
    spooled.training(checkout / "data/runs/sample/a/train/recurrent", "t9")
    interrupted = finished(checkout, "a/recurrent-4", "t8", status="running")
    (interrupted / "finished.json").unlink()
    at_work = finished(checkout, "b/recurrent-1", "t7")
    with locks.held(checkout / "data/checkpoints/sample/b/train.lock"):
        run(checkout)
    assert not superseded.exists()
    for folder in (unsent, champion, current):
        assert (folder / "points.jsonl").exists(), folder
        assert not (folder / "state").exists(), folder
    assert (interrupted / "state").exists()
    assert (at_work / "state").exists()
    assert "checkpoint data/checkpoints/sample/a/recurrent-1 " in capsys.readouterr().out


def test_versions_go_unless_an_alias_or_a_lock_files_scores_name_them(checkout: Path, server: Server) -> None:
    for number in (2, 4):
        lock(checkout, cached(checkout, f"lock {number}"))
        files.write_json(checkout / "data/scores/sample/a.json", {"run_id": f"run{number}"})
        commit(checkout)
    for number in (1, 2, 3):
        files.write_json(checkout / f"data/models/digest{number}/model.json", {})
    run(checkout, dry_run=True)
    assert len(server.all) == 4
    run(checkout)
    assert [one.version for one in server.all] == [1, 2, 4]
    assert sorted(path.name for path in (checkout / "data/models").iterdir()) == ["digest1", "digest2"]
    run(checkout, keep=1)
    assert [one.version for one in server.all] == [1, 4]


def test_curves_of_a_finished_sweep_that_the_server_has_go(checkout: Path, server: Server) -> None:
    lock(checkout, cached(checkout, "x"))
    commit(checkout)
    for sweep, status in (("done", "finished"), ("going-on", "running")):
        folder = spooled.training(checkout / f"data/sweeps/sample/a/{sweep}", sweep, status=status)
        for trial in ("1", "unsent"):
            spooled.training(folder / "trials" / trial, f"{sweep}-{trial}")
    run(checkout)
    left = {path.relative_to(checkout / "data/sweeps/sample/a").as_posix() for path in checkout.rglob("points.jsonl")}
    assert left == {
        *("done/points.jsonl", "going-on/points.jsonl", "done/trials/unsent/points.jsonl"),
        *("going-on/trials/1/points.jsonl", "going-on/trials/unsent/points.jsonl"),
    }


def test_nothing_goes_beside_a_tick_or_a_repro_at_work(checkout: Path, server: Server) -> None:
    lock(checkout, cached(checkout, "x"))
    commit(checkout)
    cached(checkout, "of nobody")
    for path in (checkout.parent / "tick.lock", checkout / "data/.repro.lock"):
        with locks.held(path, name="somebody"):
            assert run(checkout) is Outcome.BUSY
    assert "of nobody" in contents(checkout)


def test_nothing_goes_where_the_server_does_not_say_what_is_in_use(checkout: Path, server, monkeypatch) -> None:
    def away() -> None:
        raise tracking.TrackingError("tracking server", "cannot be reached", "one that answers")

    monkeypatch.setattr(tracking, "connect", away)
    lock(checkout, cached(checkout, "x"))
    commit(checkout)
    cached(checkout, "of nobody")
    with pytest.raises(tracking.TrackingError):
        run(checkout)
    assert "of nobody" in contents(checkout)
