"""What goes wrong is in the summary and in the exit status, and the next tick works.

Stages and data have stand-ins here, so that a tick is git, locks, files and messages.
"""

import dataclasses
import http.server
import json
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipelines import files, shards, tracking
from pipelines.retrain import tick, turn
from pipelines.retrain.clone import Clone
from pipelines.retrain.commands import Commands, members
from pipelines.retrain.outcome import CommandFailed, Outcome
from rnn_core.errors import ConfigError
from tests.pipelines.retrain import small
from tests.pipelines.retrain.small import Place, git

FAILS = """
Running stage 'train@a':
> python -m pipelines.train a
error: update 3: the loss is not finite; a smaller rate
WARNING: failed to run: python -m pipelines.train a, exited with 1
WARNING: Stages 'register@a', 'report' will be skipped due to this failure
Running stage 'train@b':
ERROR: failed to reproduce 'train@a'
"""


@pytest.fixture
def webhook(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[int, dict]]]:
    """A webhook on loopback: what it was sent. It answers with the status that is put there first."""
    sent: list = []

    class Takes(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            sent.append(body)
            self.send_response(sent[0] if isinstance(sent[0], int) else 200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Quiet."""

    with http.server.HTTPServer(("127.0.0.1", 0), Takes) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("RNN_WEBHOOK", f"http://127.0.0.1:{server.server_port}/services/planted-secret")
        yield sent
        server.shutdown()


def works(place: Place) -> None:
    """The next tick."""
    place.without_dvc()
    assert place.tick()["outcome"] == "done"


def test_a_stage_that_fails_is_named_with_its_reason(place: Place, webhook: list) -> None:
    place.without_dvc(FAILS, status=1)
    summary = place.tick()
    assert (summary["outcome"], summary["status"], summary["reason"]) == ("failed", 1, "train@a")
    assert summary["stages"]["failed"] == {"train@a": "error: update 3: the loss is not finite; a smaller rate"}
    assert summary["stages"]["not_reached"] == ["register@a", "report"]
    assert summary["stages"]["ran"] == ["train@b"]
    assert place.server.ticks[summary["tick"]].status == "FAILED"
    (told,) = webhook
    assert told["outcome"] == "failed"
    assert "train@a: error: update 3" in told["text"]
    works(place)


def test_a_revision_that_does_not_exist(place: Place) -> None:
    place.without_dvc()
    for wanted in ("mian", "0123456789abcdef"):
        summary = place.tick(revision=wanted)
        assert (summary["outcome"], summary["commit"]) == ("failed", None)
        assert f"no {wanted}" in summary["reason"]
        assert "a branch (main)" in summary["reason"]
    works(place)


def test_a_repository_that_is_not_there(place: Place) -> None:
    place.without_dvc()
    summary = place.tick("other", repository=str(place.folder / "nowhere.git"))
    assert summary["outcome"] == "failed"
    assert "git fetch" in summary["reason"]
    assert "nowhere.git" in summary["reason"]
    works(place)


def test_a_branch_that_may_not_be_pushed_is_pushed_once_it_may(place: Place) -> None:
    place.without_dvc()
    hook = place.origin / "hooks/pre-receive"
    hook.write_text("#!/bin/sh\necho 'error: the token has expired' >&2\nexit 1\n")
    hook.chmod(0o755)
    place.tick(push=False)
    score = place.settings().clone / "data/scores/sample/a.json"
    files.write_json(score, {"metric": "accuracy", "direction": "max", "score": 90.0, "model_version": 1})
    summary = place.tick()
    assert (summary["outcome"], summary["status"]) == ("not_stored", 6)
    assert "the token has expired" in summary["reason"]
    hook.unlink()
    assert place.tick()["outcome"] == "done"
    assert git(place.origin, "rev-parse", "retrain/sample") == summary["state"]


@pytest.mark.parametrize(
    ("verb", "outcome", "status", "reproduced"), [("pull", "failed", 1, False), ("push", "not_stored", 6, True)]
)
def test_a_dvc_remote_whose_token_has_expired(place: Place, monkeypatch, verb, outcome, status, reproduced) -> None:
    place.without_dvc("Running stage 'train@a':")

    def refuses(_commands: Commands, _folder: Path, *arguments: str) -> None:
        if arguments[0] == verb:
            raise CommandFailed(f"dvc {verb}: ERROR: 403, the token has expired")

    with monkeypatch.context() as patch:
        patch.setattr(shards, "remote_address", lambda: str(place.folder / "remote"))
        patch.setattr(Commands, "dvc", refuses)
        summary = place.tick()
    assert (summary["outcome"], summary["status"]) == (outcome, status)
    assert "403, the token has expired" in summary["reason"]
    assert bool(summary["stages"]["ran"]) == reproduced, "without its data nothing is trained anew"
    works(place)


def test_what_the_branch_holds_is_taken_up_in_another_folder_unless_the_revision_changed_it(place: Place) -> None:
    place.without_dvc()
    place.tick()
    folder = place.settings().clone / "data/scores/sample"
    about = {"metric": "accuracy", "direction": "max", "model_version": 1}
    for block, score in (("a", 90.0), ("b", 80.0)):
        files.write_json(folder / f"{block}.json", about | {"score": score})
    assert place.tick()["state"]
    (place.folder / "own/data/scores/sample").mkdir(parents=True)
    place.commit("by hand", **{"data/scores/sample/b.json": json.dumps(about | {"score": 70.0}) + "\n"})
    scores = place.tick("elsewhere")["scores"]
    assert (scores["a"]["score"], scores["b"]["score"]) == (90.0, 70.0)


def test_a_full_disk_while_the_summary_is_written(place: Place, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    place.without_dvc()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(tick.Journal, "summary", full)
        assert tick.run(place.settings()) is Outcome.FAILED
    assert "No space left on device" in capsys.readouterr().out
    works(place)


def test_a_tracking_server_that_is_away_or_refuses(place: Place) -> None:
    place.without_dvc()
    place.server.away = tracking.TrackingError("tracking server https://t", "401: the token has expired", "another one")
    summary = place.tick()
    assert (summary["outcome"], summary["status"], summary["run"]) == ("not_stored", 6, None)
    assert "the token has expired" in summary["reason"]
    place.server.away = None
    works(place)


def test_a_webhook_that_is_down_and_its_secret(place: Place, webhook: list, capsys, monkeypatch) -> None:
    place.without_dvc("saying RNN_WEBHOOK of the stages: no")
    webhook.append(500)
    summary = place.tick()
    assert (summary["outcome"], summary["status"]) == ("not_told", 7)
    assert "answered 500" in summary["reason"]
    monkeypatch.setenv("RNN_WEBHOOK", "http://127.0.0.1:9/planted-secret")
    assert "cannot be reached" in place.tick()["reason"]
    written = [path.read_text() for path in place.folder.glob("work/ticks/*/*/*")]
    assert not [text for text in (*written, capsys.readouterr().out) if "planted-secret" in text]
    monkeypatch.delenv("RNN_WEBHOOK")
    works(place)


def test_no_secret_of_the_tick_is_seen_by_what_it_runs(place: Place, webhook: list, monkeypatch) -> None:
    place.without_dvc()
    show = ["python", "-c", "import os; print('seen:', 'RNN_WEBHOOK' in os.environ, os.environ['MLFLOW_TRACKING_URI'])"]
    monkeypatch.setattr(tick, "reproducing", lambda *_: show)
    summary = place.tick()
    log = place.folder / "work/ticks/sample" / summary["tick"] / "log.txt"
    assert f"seen: False sqlite:///{place.settings().work}/mlflow.db" in log.read_text()


def test_scores_beside_the_champion(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    place.without_dvc()
    one = tracking.Version(number=1, score=91.0, why="champion: there is no other one")
    two = tracking.Version(number=2, score=90.0, why="no champion: not better beyond chance")
    place.server.standings["a"] = tracking.Standing(champion=one, newest=one)

    def registers(*_: object) -> list[str]:
        """A version comes about while the stages run."""
        score = {"metric": "accuracy", "direction": "max", "score": 90.0, "model_version": 2}
        files.write_json(place.settings().clone / "data/scores/sample/a.json", score)
        place.server.standings["a"] = tracking.Standing(champion=one, newest=two)
        return ["true"]

    monkeypatch.setattr(tick, "reproducing", registers)
    summary = place.tick()
    scores = summary["scores"]["a"]
    assert (scores["score"], scores["version"], scores["new"]) == (90.0, 2, True)
    assert (scores["champion"], scores["champion_before"], scores["champion_score"]) == (1, 1, 91.0)
    text = (place.folder / "work/ticks/sample" / summary["tick"] / "summary.txt").read_text()
    assert "accuracy 90 (version 2, new) against 91 of the champion, version 1; no champion: not better" in text
    assert place.server.ticks[summary["tick"]].metrics["versions"] == 1
    place.without_dvc()
    assert not place.tick()["scores"]["a"]["new"]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"suite": "smaple"}, "--suite"),
        ({"repository": "https://user:planted-secret@example.org/r.git"}, "a user or password"),
        ({"revision": "--upload-pack=x"}, "--revision"),
        ({"hours": 0.0}, "--hours"),
        ({"work": small.ROOT}, "a folder of its own"),
    ],
)
def test_settings_that_cannot_be(place: Place, changes: dict, said: str) -> None:
    with pytest.raises(ConfigError, match=said) as caught:
        dataclasses.replace(place.settings(), **changes)
    assert "planted-secret" not in str(caught.value)


def test_a_block_that_the_revision_lacks(place: Place) -> None:
    place.without_dvc()
    assert "no c in params.yaml; there are a, b" in place.tick(blocks=("c",))["reason"]


def test_a_work_folder_of_another_repository(place: Place) -> None:
    place.without_dvc()
    place.tick()
    assert "is a clone of" in place.tick(repository=str(place.folder / "own"))["reason"]


def test_a_relative_store_would_lie_in_the_clone(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///mlflow.db")
    with pytest.raises(ConfigError, match="relative"):
        place.tick()


def test_the_time_limit_ends_what_runs(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    place.without_dvc()
    monkeypatch.setattr(tick, "reproducing", lambda *_: ["sleep", "1000"])
    summary = place.tick(hours=3 / 3600)
    assert (summary["outcome"], summary["status"]) == ("overdue", 4)
    assert place.server.ticks[summary["tick"]].status == "KILLED"
    works(place)


def holder(place: Place, **wanted: object) -> dict:
    """Who holds the lock, once that is as wanted."""
    while True:
        time.sleep(0.1)
        path = place.folder / "work/tick.lock"
        text = path.read_text() if path.exists() else ""
        if text.endswith("\n") and wanted.items() <= (facts := json.loads(text)).items():
            return facts


HOLD = """
import sys, time
from pathlib import Path
from pipelines.retrain import turn
from pipelines.retrain.commands import Commands, signals
from pipelines.retrain.outcome import Stopped
work = Path(sys.argv[1])
with turn.taken(work, "leave") as held, signals():
    try:
        Commands(work / "log.txt", held.file, None, held.tell).run(["sleep", "1000"], work)
    except Stopped as stopped:
        print("stopped by", stopped)
"""


@pytest.fixture
def at_work(place: Place) -> Iterator[subprocess.Popen[str]]:
    """A process that has the turn, and runs a command."""
    (place.folder / "work").mkdir()
    command = [small.sys.executable, "-c", HOLD, str(place.folder / "work")]
    with subprocess.Popen(command, cwd=small.ROOT, stdout=subprocess.PIPE, text=True) as process:
        while holder(place, process=process.pid)["group"] is None:
            time.sleep(0.05)
        yield process
        process.kill()


def test_a_tick_while_another_runs_steps_back(place: Place, at_work, capsys) -> None:
    assert place.tick()["outcome"] == "busy"
    assert f'"process": {at_work.pid}' in capsys.readouterr().out


def test_a_tick_replaces_the_one_at_work(place: Place, at_work) -> None:
    place.without_dvc()
    group = holder(place)["group"]
    assert place.tick(when_busy="replace")["outcome"] == "done"
    assert at_work.communicate()[0] == "stopped by SIGTERM\n"
    assert members(group) == []


def test_what_a_killed_tick_left_running_is_replaced_too(place: Place, at_work) -> None:
    place.without_dvc()
    group = holder(place)["group"]
    at_work.send_signal(signal.SIGKILL)
    at_work.wait()
    assert place.tick()["outcome"] == "busy", "its command still runs"
    assert place.tick(when_busy="replace")["outcome"] == "done"
    assert members(group) == []


def test_a_process_with_an_id_that_is_used_again_is_left_alone(tmp_path: Path) -> None:
    lock = tmp_path / "tick.lock"
    with lock.open("w"), subprocess.Popen(["sleep", "1000"]) as other:
        turn._replace(lock, json.dumps({"process": other.pid, "host": turn.socket.gethostname(), "group": other.pid}))
        assert other.poll() is None
        other.kill()


def test_a_tick_that_died_is_taken_up_under_its_name(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    place.without_dvc("Running stage 'train@a':")

    def dies(*_: object) -> None:
        raise KeyboardInterrupt  # what no outcome is made of

    with monkeypatch.context() as patch:
        patch.setattr(Clone, "commit", dies)
        with pytest.raises(KeyboardInterrupt):
            tick.run(place.settings())
    place.without_dvc("Running stage 'register@a':")
    other = place.tick(blocks=("b",))
    summary = place.tick()
    assert (other["attempts"], summary["attempts"]) == (1, 2), "only the same job goes on from it"
    assert summary["stages"]["ran"] == ["train@a", "register@a"]
    assert "taken up 1 time" in (place.folder / "work/ticks/sample" / summary["tick"] / "summary.txt").read_text()
    assert place.tick()["attempts"] == 1


def test_where_no_branch_may_be_pushed_the_remote_carries_the_state(place: Place, monkeypatch) -> None:
    place.without_dvc()
    monkeypatch.setattr(shards, "remote_address", lambda: str(place.folder / "remote"))
    monkeypatch.setattr(Commands, "dvc", lambda *_: None)
    place.tick(push=False)
    about = {"metric": "accuracy", "direction": "max", "model_version": 1}
    scores = "data/scores/sample"
    for block, score in (("a", 90.0), ("b", 80.0)):
        files.write_json(place.settings().clone / scores / f"{block}.json", about | {"score": score})
    (place.settings().clone / "dvc.lock").write_text("schema: '2.0'\n")
    assert place.tick(push=False)["state"]
    assert place.tick(push=False)["state"] is None, "nothing is new"
    (place.folder / "own" / scores).mkdir(parents=True)
    place.commit("by hand", **{f"{scores}/b.json": json.dumps(about | {"score": 70.0}) + "\n"})
    elsewhere = place.tick("elsewhere", push=False)
    assert {block: one["score"] for block, one in elsewhere["scores"].items()} == {"a": 90.0, "b": 70.0}
    assert (place.settings("elsewhere").clone / "dvc.lock").read_text() == "schema: '2.0'\n"
    assert git(place.origin, "for-each-ref", "--format=%(refname)") == "refs/heads/main"

    def improves(*_: object) -> list[str]:
        files.write_json(place.settings("elsewhere").clone / scores / "a.json", about | {"score": 95.0})
        return ["true"]

    monkeypatch.setattr(tick, "reproducing", improves)
    pushed = place.tick("elsewhere")
    assert git(place.origin, "rev-parse", "retrain/sample") == pushed["state"]
    monkeypatch.setattr(tick, "reproducing", lambda *_: ["true"])
    assert place.tick("third")["scores"]["a"]["score"] == 95.0, "the branch's is newer now"
