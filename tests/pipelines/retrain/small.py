"""A repository with two blocks whose stages take no time, its DVC remote, and ticks on it in this process.

Real are `pipelines.repro`, DVC and git; the stages and the tracking server are stand-ins. A block's data is a file with
one word: a number is the score that its model will have, `fail`, `full` and `sleep` are what its training does instead.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipelines import shards, tracking
from pipelines.retrain import tick
from pipelines.retrain.outcome import Outcome
from pipelines.retrain.settings import Settings

ROOT = Path(__file__).resolve().parents[3]
REAL = ("pipelines/repro.py", "pipelines/cli.py", "pipelines/locks.py", "pipelines/paths.py", "rnn_core/errors.py")
PARAMS = """
import yaml
from pipelines import paths

def blocks(suite):
    return tuple(yaml.safe_load(paths.params_file(suite).read_text())["blocks"])
"""
TRAIN = """
import datetime, json, pathlib, sys, time, uuid
import yaml
block = sys.argv[1]
source = pathlib.Path(yaml.safe_load(open("params.yaml"))["blocks"][block]["from"])
word = source.read_text().strip()
with source.with_suffix(".ran").open("a") as ran:
    ran.write("train\\n")
if word == "sleep":
    time.sleep(1000)
if word == "fail":
    sys.exit("error: update 3: the loss is not finite; a smaller rate")
if word == "full":
    open("/dev/full", "w").write("x" * 100000)
now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
run = {"training_id": uuid.uuid4().hex, "suite": "sample", "block": block, "finished": now}
run |= {"seconds": 2.0, "workers": 2, "threads": 3, "device": "cpu", "score": float(word)}
folder = pathlib.Path(f"data/runs/sample/{block}/train/recurrent")
folder.mkdir(parents=True)
(folder / "run.json").write_text(json.dumps(run))
"""
REGISTER = """
import json, pathlib, sys
if sys.argv[1] != "--missing":
    block = sys.argv[1]
    run = json.loads(pathlib.Path(f"data/runs/sample/{block}/train/recurrent/run.json").read_text())
    score = {"metric": "accuracy", "direction": "max", "score": run["score"], "model_version": None, "run_id": None}
    pathlib.Path("data/scores/sample").mkdir(parents=True, exist_ok=True)
    pathlib.Path(f"data/scores/sample/{block}.json").write_text(json.dumps(score) + "\\n")
"""
REPORT = """
import pathlib
pathlib.Path("data/reports").mkdir(parents=True, exist_ok=True)
pathlib.Path("data/reports/sample.html").write_text("a page")
"""
STAND_INS = {
    "pipelines/__init__.py": "",
    "rnn_core/__init__.py": "",
    "pipelines/params.py": PARAMS,
    "pipelines/reports/__init__.py": "",
    "pipelines/reports/tables.py": "def table(suite):\n    return 'a table'\n",
    "pipelines/side_by_side.py": "def check(jobs):\n    assert jobs == 1\n",
    "pipelines/train.py": TRAIN,
    "pipelines/register.py": REGISTER,
    "pipelines/report.py": REPORT,
}
PYTHON = 'PATH="$DVC_ROOT/.venv/bin:$PATH" python -m'
RUNS, SCORE = "data/runs/${suite}/${key}/train", "data/scores/${suite}/${key}.json"
STAGES = {
    "train": {
        "foreach": "${blocks}",
        "do": {"cmd": f"{PYTHON} pipelines.train ${{key}}", "deps": ["${item.from}"], "outs": [RUNS]},
    },
    "register": {
        "foreach": "${blocks}",
        "do": {
            "cmd": f"{PYTHON} pipelines.register ${{key}}",
            "deps": [RUNS],
            "outs": [{SCORE: {"cache": False, "persist": True}}],
        },
    },
    "report": {
        "cmd": f"{PYTHON} pipelines.report",
        "deps": ["data/runs/${suite}", "data/scores/${suite}"],
        "outs": [{"data/reports/${suite}.html": {"cache": False, "persist": True}}],
    },
}


class Server:
    """In the place of a tracking server: holds the ticks that it is told of; away where it is to be."""

    def __init__(self) -> None:
        self.ticks: dict[str, tracking.Tick] = {}
        self.standings: dict[str, tracking.Standing] = {}
        self.away: tracking.TrackingError | None = None

    def connect(self) -> "Server":
        if self.away:
            raise self.away
        return self

    def standing(self, _suite: str, block: str) -> tracking.Standing:
        return self.standings.get(block, tracking.Standing(champion=None, newest=None))

    def tick(self, told: tracking.Tick) -> str:
        self.ticks[told.name] = told
        return f"run of {told.name}"


class Place:
    """The repository, its data and its remotes, below a folder."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch):
        self.folder, self.origin, self._own = folder, folder / "origin.git", folder / "own"
        for name in ("MLFLOW_TRACKING_URI", "DVC_ROOT"):  # set by a tick for its process: taken back after the test
            monkeypatch.setenv(name, "")
        for name, value in (("DVC_NO_ANALYTICS", "1"), ("DVC_SITE_CACHE_DIR", str(folder / "site"))):
            monkeypatch.setenv(name, value)
        self.server = Server()
        monkeypatch.setattr(tracking, "connect", self.server.connect)
        self._monkeypatch = monkeypatch
        for block in "ab":
            self.data(block, "90")
        git(folder, "init", "-q", "--bare", str(self.origin))
        self._write()
        self.commit("first")

    def data(self, block: str, word: str) -> None:
        (self.folder / f"{block}.txt").write_text(f"{word}\n")

    def trained(self, block: str) -> int:
        """How often a block's training has begun."""
        ran = self.folder / f"{block}.ran"
        return len(ran.read_text().splitlines()) if ran.exists() else 0

    def without_dvc(self, said: str = "", status: int = 0) -> None:
        """From here on a tick says this instead of running stages, and there is no DVC remote: only git is real."""
        code = f"import sys; print({said!r}); sys.exit({status})"
        self._monkeypatch.setattr(tick, "reproducing", lambda *_: [sys.executable, "-c", code])
        self._monkeypatch.setattr(shards, "remote_address", lambda: None)

    def settings(self, work: str = "work", **changes: Any) -> Settings:
        given = {"repository": str(self.origin), "revision": "main", "suite": "sample"}
        return Settings(**{**given, "work": self.folder / work, **changes})

    def tick(self, work: str = "work", **changes: Any) -> dict[str, Any]:
        """A tick to its end; its summary."""
        outcome = tick.run(self.settings(work, **changes))
        if outcome is Outcome.BUSY:
            return {"outcome": "busy"}
        summary = self.summary(work)
        assert summary["status"] == outcome.value
        return summary

    def summary(self, work: str = "work") -> dict[str, Any]:
        """The last one that was written."""
        written = self.folder.glob(f"{work}/ticks/sample/*/summary.json")
        return json.loads(max(written, key=lambda path: path.stat().st_mtime_ns).read_text())

    def commit(self, message: str, **files: str) -> str:
        """What lies in the author's checkout, and these files, as the newest commit of `main`."""
        for name, text in files.items():
            (self._own / name).write_text(text)
        git(self._own, "add", "-A")
        git(self._own, "-c", "user.name=t", "-c", "user.email=t@t", "commit", "-qm", message)
        git(self._own, "push", "-q", str(self.origin), "HEAD:refs/heads/main")
        return git(self._own, "rev-parse", "HEAD")

    def _write(self) -> None:
        for name, text in STAND_INS.items() | {(name, (ROOT / name).read_text()) for name in REAL}:
            (self._own / name).parent.mkdir(parents=True, exist_ok=True)
            (self._own / name).write_text(text)
        params = {"root": ".", "suite": "sample", "own": "params.yaml"}
        params["blocks"] = {block: {"from": str(self.folder / f"{block}.txt")} for block in "ab"}
        (self._own / "params.yaml").write_text(yaml.safe_dump(params))
        (self._own / "dvc.yaml").write_text(yaml.safe_dump({"stages": STAGES}))
        (self._own / ".gitignore").write_text((ROOT / ".gitignore").read_text())
        (self._own / ".dvc").mkdir()
        remote = (
            f"[core]\n    analytics = false\n    remote = r\n['remote \"r\"']\n    url = {self.folder / 'remote'}\n"
        )
        (self._own / ".dvc/config").write_text(remote)
        (self._own / ".dvc/.gitignore").write_text("/config.local\n/tmp\n/cache\n")
        git(self._own, "init", "-q")


def git(folder: Path, *arguments: str) -> str:
    known = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    done = subprocess.run(["git", *arguments], cwd=folder, env=known, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def command(settings: Settings, *more: str) -> list[str]:
    """The tick as a scheduler starts it."""
    given = ["--repository", settings.repository, "--revision", settings.revision, "--work", str(settings.work)]
    return [sys.executable, "-m", "pipelines.retrain", *given, "--suite", settings.suite, *more]
