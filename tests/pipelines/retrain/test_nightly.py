"""Four nights on one machine, with real trainings: a first one, one without news, one with new data, one with a worse
model; then one killed in the middle of a training and the one that finishes it."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.pipelines import spooled
from tests.pipelines.retrain import small
from tests.pipelines.retrain.small import git

ROOT = small.ROOT
pytestmark = pytest.mark.long
STAGES = ("fetch", "preprocess", "train", "evaluate", "register")


class Nights:
    """A repository with two blocks on a user's own files, its remotes, and ticks in processes of their own."""

    def __init__(self, folder: Path):
        self.folder, self.own, self.origin = folder, folder / "own", folder / "origin.git"
        for number, block in enumerate("ab"):
            self.data(block, 600, seed=number)
        listed = git(ROOT, "ls-files", "-co", "--exclude-standard", "-z")
        for name in filter(None, listed.split("\0")):
            if (ROOT / name).is_file() and not name.startswith(("tests/", "data/", "dvc.lock")):
                (self.own / name).parent.mkdir(parents=True, exist_ok=True)
                (self.own / name).write_bytes((ROOT / name).read_bytes())
        remote = f"    remote = r\n['remote \"r\"']\n    url = {folder / 'remote'}\n"
        (self.own / ".dvc/config").write_text((ROOT / ".dvc/config").read_text() + remote)
        git(folder, "init", "-q", "--bare", str(self.origin))
        git(self.own, "init", "-q")
        self.params()

    def data(self, block: str, lines: int, seed: int) -> None:
        rng = random.Random(seed)
        nouns, verbs = ["dog", "cat", "bird"], ["runs", "sings", "sleeps"]
        sentences = (f"the {rng.choice(nouns)} {rng.choice(verbs)} .\n" for _ in range(lines))
        (self.folder / f"{block}.txt").write_text("".join(sentences))

    def params(self, **train: dict[str, Any]) -> None:
        """The blocks as the newest commit, with these settings of the training of each."""
        params = yaml.safe_load((ROOT / "params.yaml").read_text())
        params["blocks"] = {block: self._block(block, train.get(block, {})) for block in "ab"}
        (self.own / "params.yaml").write_text(yaml.safe_dump(json.loads(json.dumps(params))))
        git(self.own, "add", "-A")
        git(self.own, "-c", "user.name=t", "-c", "user.email=t@t", "commit", "-qm", "params")
        git(self.own, "push", "-q", str(self.origin), "HEAD:refs/heads/main")

    def _block(self, block: str, changes: dict[str, Any]) -> dict[str, Any]:
        model = {"cell": "lstm", "embedding_size": 8, "hidden_size": 8, "num_layers": 1, "tie": True}
        train = {"lanes": 4, "window": 12, "k2": 12, "carry": True, "epochs": 3, "clip": 1.0, "point_steps": 5}
        train |= {"optimizer": {"name": "adamw", "rate": 0.02}, "schedule": {"name": "constant"}}
        return {
            "task": "language_model",
            "data": {"from": str(self.folder / f"{block}.txt"), "level": "word", "min_count": 1},
            "model": model | {"input_dropout": 0.0, "dropout": 0.0},
            "train": train | {"checkpoint_steps": 5} | changes,
            "baselines": {},
            "evaluate": {"metric": "perplexity", "published": None},
        }

    def start(self, *more: str, work: str = "work", **variables: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "pipelines.retrain", "--repository", str(self.origin), "--suite", "sample"]
        own = {"RNN_THREADS": "1", "DVC_SITE_CACHE_DIR": str(self.folder / "site")}
        store = {"MLFLOW_TRACKING_URI": f"sqlite:///{self.folder}/mlflow.db"}
        return subprocess.Popen(
            [*command, "--work", str(self.folder / work), *more],
            cwd=ROOT,
            env=os.environ | own | store | variables,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def tick(self, *more: str, status: int = 0, work: str = "work", **variables: str) -> dict[str, Any]:
        """To its end: its summary."""
        with self.start(*more, work=work, **variables) as process:
            said, _ = process.communicate()
        assert process.returncode == status, said
        newest = max(self.folder.glob(f"{work}/ticks/sample/*/summary.json"), key=lambda path: path.stat().st_mtime_ns)
        return json.loads(newest.read_text())

    def versions(self, block: str) -> tuple[int, int]:
        """How many the model has, and which is champion."""
        store = self.folder / "mlflow.db"
        ((count,),) = spooled.rows(store, f"select count(*) from model_versions where name = 'rnn-{block}'")
        name = f"name = 'rnn-{block}' and alias = 'champion'"
        ((champion,),) = spooled.rows(store, f"select version from registered_model_aliases where {name}")
        return count, int(champion)


def of(*blocks: str) -> set[str]:
    return {f"{stage}@{block}" for block in blocks for stage in STAGES} | {"report"}


@pytest.mark.timeout(3600)
def test_nights(tmp_path: Path) -> None:
    nights = Nights(tmp_path)
    first = nights.tick()
    assert set(first["stages"]["ran"]) == of("a", "b")
    assert len(first["trainings"]) == 2
    assert first["core_seconds"] > 0
    assert [nights.versions(block) for block in "ab"] == [(1, 1), (1, 1)]

    nothing = nights.tick()
    assert nothing["stages"]["ran"] == []
    assert [nights.versions(block) for block in "ab"] == [(1, 1), (1, 1)]
    elsewhere = nights.tick("--no-push", work="elsewhere")
    assert elsewhere["stages"]["ran"] == [], "in an empty folder"
    assert elsewhere["trainings"] == []

    nights.data("b", 900, seed=7)
    news = nights.tick()
    assert set(news["stages"]["ran"]) == of("b")
    assert nights.versions("a") == (1, 1)
    assert nights.versions("b")[0] == 2

    champion = nights.versions("a")[1]
    nights.params(a={"optimizer": {"name": "adamw", "rate": 1e-7}, "epochs": 1})
    worse = nights.tick()
    assert set(worse["stages"]["ran"]) == {"train@a", "evaluate@a", "register@a", "report"}
    assert nights.versions("a") == (2, champion)
    scores = worse["scores"]["a"]
    assert (scores["new"], scores["champion"]) == (True, champion)
    assert scores["score"] > scores["champion_score"], "perplexity"
    assert scores["why"].startswith("no champion")

    nights.params(a={"epochs": 200})
    killed(nights, "a")
    finished = nights.tick("--when-busy", "replace")
    assert finished["attempts"] == 2
    assert "train@a" in finished["stages"]["ran"]
    curves = nights.folder.glob("work/repository/data/checkpoints/sample/a/*/points.jsonl")
    last = max(curves, key=lambda path: path.stat().st_mtime_ns)
    steps = [
        point["step"] for point in map(json.loads, last.read_text().splitlines()) if "train/loss" in point["values"]
    ]
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
    known = set(nights.folder.glob(f"work/repository/data/checkpoints/sample/{block}/*/state/*"))
    with nights.start() as process:
        while not set(nights.folder.glob(f"work/repository/data/checkpoints/sample/{block}/*/state/*")) - known:
            assert process.poll() is None, process.stdout.read()
            time.sleep(0.1)
        os.kill(process.pid, signal.SIGKILL)
        process.stdout.close()
