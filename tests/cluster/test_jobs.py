"""`make repro JOBS=2` with real trainings on two hosts: side by side, and what comes of it as one by one."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cluster import hosts as machines
from tests.pipelines.retrain.nights import Nights

pytestmark = [
    pytest.mark.long,
    pytest.mark.cluster,
    pytest.mark.timeout(1800),
    pytest.mark.skipif(not machines.possible(), reason="hosts of their own need root and iproute2"),
]


class Checkout:
    """Of a repository with two blocks, with a store of its own."""

    def __init__(self, nights: Nights, folder: Path):
        self.folder = folder / "checkout"
        folder.mkdir()
        nights.checkout(self.folder)
        self._own = {"MLFLOW_TRACKING_URI": f"sqlite:///{folder}/mlflow.db", "RNN_THREADS": "1"}
        self._own |= {"DVC_SITE_CACHE_DIR": str(folder / "site"), "DVC_ROOT": str(self.folder)}

    def run(self, *command: str, within: list[str], variables: dict[str, str]) -> str:
        done = subprocess.run(
            [*within, sys.executable, "-m", *command],
            cwd=self.folder,
            env=variables | self._own,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def lock(self) -> dict[str, Any]:
        """What DVC knows of the stages up to training; what a training leaves has times in it."""
        stages = yaml.safe_load((self.folder / "dvc.lock").read_text())["stages"]
        known = {name: stage for name, stage in stages.items() if name.startswith(("fetch", "preprocess", "train"))}
        return {name: stage | ({"outs": None} if name.startswith("train") else {}) for name, stage in known.items()}

    def json(self, pattern: str) -> dict[str, Any]:
        (path,) = self.folder.glob(pattern)
        return json.loads(path.read_text())


def test_side_by_side_is_as_one_by_one(tmp_path: Path) -> None:
    nights = Nights(tmp_path)
    nights.params(a={"epochs": 30}, b={"epochs": 30})
    serial, beside = (Checkout(nights, tmp_path / name) for name in ("serial", "beside"))
    with machines.made() as made:
        head = made.add(cores=0)
        for _ in range(2):
            made.add()
        where = {"within": head.within(), "variables": head.environment(RNN_WORKERS="1")}
        serial.run("pipelines.repro", "--suite", "sample", **where)
        beside.run("pipelines.repro", "--suite", "sample", "--jobs", "2", **where)
        assert "up to date" in beside.run("dvc", "status", "dvc.yaml", **where)
    for block in "ab":
        scores = [one.json(f"data/scores/sample/{block}.json") for one in (serial, beside)]
        assert scores[0]["score"] == scores[1]["score"], "bit for bit"
    first, second = (beside.json(f"data/runs/sample/{block}/train/recurrent/run.json") for block in "ab")
    assert max(first["started"], second["started"]) < min(first["finished"], second["finished"]), "at the same time"
    assert beside.lock() == serial.lock()
