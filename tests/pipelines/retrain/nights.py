"""A repository with two blocks on a user's own files, its remotes, and ticks on it in processes of their own: real
trainings of seconds, for whatever schedules them.
"""

import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from tests.pipelines import spooled
from tests.pipelines.retrain import small
from tests.pipelines.retrain.small import git

ROOT = small.ROOT
STAGES = ("fetch", "preprocess", "train", "evaluate", "register")


class Nights:
    def __init__(self, folder: Path, remote: str | None = None):
        """
        Args:
            remote: the lines of .dvc/config that name it; one in a folder, unless given.
        """
        self.folder, self.own, self.origin = folder, folder / "own", folder / "origin.git"
        self.variables = {
            "RNN_THREADS": "1",
            "DVC_SITE_CACHE_DIR": str(folder / "site"),
            "MLFLOW_TRACKING_URI": f"sqlite:///{folder}/mlflow.db",
        }
        """Of the environment of its ticks."""
        for number, block in enumerate("ab"):
            self.data(block, 600, seed=number)
        listed = git(ROOT, "ls-files", "-co", "--exclude-standard", "-z")
        for name in filter(None, listed.split("\0")):
            if (ROOT / name).is_file() and not name.startswith(("tests/", "data/", "dvc.lock")):
                (self.own / name).parent.mkdir(parents=True, exist_ok=True)
                (self.own / name).write_bytes((ROOT / name).read_bytes())
                (self.own / name).chmod((ROOT / name).stat().st_mode)
        remote = remote or f"    remote = r\n['remote \"r\"']\n    url = {folder / 'remote'}\n"
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

    def options(self, *more: str, work: str = "work") -> list[str]:
        """Of a tick."""
        return ["--repository", str(self.origin), "--suite", "sample", "--work", str(self.folder / work), *more]

    def start(self, *more: str, work: str = "work", **variables: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "pipelines.retrain", *self.options(*more, work=work)],
            cwd=ROOT,
            env=os.environ | self.variables | variables,
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
        return self.summaries(work)[-1]

    def summaries(self, work: str = "work") -> list[dict[str, Any]]:
        """Of all ticks that came to an end, oldest first."""
        return [
            json.loads(path.read_text()) for path in sorted(self.folder.glob(f"{work}/ticks/sample/*/summary.json"))
        ]

    def states(self, block: str) -> set[Path]:
        """Training states that the block's trainings have left."""
        return set(self.folder.glob(f"work/repository/data/checkpoints/sample/{block}/*/state/*"))

    def checkout(self, folder: Path, **more: str) -> Path:
        """A user's own checkout of the newest commit, with this environment, as schedulers call it; the file of
        settings that its ticks take.

        Args:
            more: settings besides.
        """
        git(self.folder, "clone", "-q", "--branch", "main", str(self.origin), str(folder))
        (folder / ".venv").symlink_to(sys.prefix)
        (folder / "data").mkdir(exist_ok=True)
        settings = folder.parent / "retrain.env"
        given = {"RETRAIN_REPOSITORY": str(self.origin), "RETRAIN_REVISION": "main", "RETRAIN_SUITE": "sample"}
        given |= {"RETRAIN_WORK": str(self.folder / "work")} | self.variables | more
        settings.write_text("".join(f"{name}={value}\n" for name, value in given.items()))
        settings.chmod(0o600)
        return settings

    def versions(self, block: str) -> tuple[int, int]:
        """How many the model has, and which is champion."""
        store = self.folder / "mlflow.db"
        ((count,),) = spooled.rows(store, f"select count(*) from model_versions where name = 'rnn-{block}'")
        name = f"name = 'rnn-{block}' and alias = 'champion'"
        ((champion,),) = spooled.rows(store, f"select version from registered_model_aliases where {name}")
        return count, int(champion)


def of(*blocks: str) -> set[str]:
    """All stages that a new commit of these blocks' data runs."""
    return {f"{stage}@{block}" for block in blocks for stage in STAGES} | {"report"}


def four(nights: Nights) -> None:
    """A first night, one without news, one with new data for a block, one in which another block's model is worse."""
    first = nights.tick()
    assert set(first["stages"]["ran"]) == of("a", "b")
    assert len(first["trainings"]) == 2
    assert first["core_seconds"] > 0
    assert [nights.versions(block) for block in "ab"] == [(1, 1), (1, 1)]

    nothing = nights.tick()
    assert nothing["stages"]["ran"] == []
    assert [nights.versions(block) for block in "ab"] == [(1, 1), (1, 1)]

    nights.data("b", 900, seed=7)
    news = nights.tick()
    assert set(news["stages"]["ran"]) == of("b")
    assert nights.versions("a") == (1, 1)
    assert nights.versions("b")[0] == 2

    nights.params(a={"optimizer": {"name": "adamw", "rate": 1e-7}, "epochs": 1})
    worse = nights.tick()
    assert set(worse["stages"]["ran"]) == {"train@a", "evaluate@a", "register@a", "report"}
    assert nights.versions("a") == (2, 1)
    scores = worse["scores"]["a"]
    assert (scores["new"], scores["champion"]) == (True, 1)
    assert scores["score"] > scores["champion_score"], "perplexity"
    assert scores["why"].startswith("no champion")


def steps_of_the_newest(checkpoints: Path) -> list[int]:
    """Of each loss that a block's last training has recorded.

    Args:
        checkpoints: the block's folder.
    """
    last = max(checkpoints.glob("*/points.jsonl"), key=lambda path: path.stat().st_mtime_ns)
    points = map(json.loads, last.read_text().splitlines())
    return [point["step"] for point in points if "train/loss" in point["values"]]


def until(condition: Callable[[], Any], alive: Callable[[], None]) -> None:
    """As long as it takes: pytest's own limit ends what never comes.

    Args:
        alive: raises what there is to say where that can never come.
    """
    while not condition():
        alive()
        time.sleep(0.1)
