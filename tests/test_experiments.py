"""`dvc exp run --queue`: two experiments, each in a copy of the checkout below `.dvc/tmp`; what they train and record
lies in the main checkout's stores when the copies are gone.

The quick test has stand-ins for the stages, which ask the real code where things lie; the long one runs the stages.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.pipelines import spooled

ROOT = Path(__file__).resolve().parent.parent
BLOCK = "words"
RATES = (0.002, 0.02)
STAGES = ("fetch", "preprocess", "train", "evaluate", "register")
REAL = ("paths.py", "files.py", "locks.py", "points.py", "cost.py", "dvc_lock.py", "tracking")
STAND_IN = """
import json, pathlib, sys
import yaml
from pipelines import paths
from pipelines.tracking import environment
stage, block, suite = pathlib.Path(__file__).stem, sys.argv[1], sys.argv[3]
outs = {"fetch": paths.raw, "preprocess": paths.arrow, "train": paths.train, "evaluate": paths.evaluation}
if stage == "register":
    paths.score(suite, block).parent.mkdir(parents=True, exist_ok=True)
    paths.score(suite, block).write_text((paths.train(suite, block) / "out").read_text())
else:
    rate = yaml.safe_load(paths.params_file(suite).read_text())["blocks"][block]["train"]["optimizer"]["rate"]
    folder = outs[stage](suite, block)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "out").write_text(str(rate) if stage in ("train", "evaluate") else stage)
if stage == "train":
    state = paths.checkpoints(suite, block) / f"recurrent-{rate}"
    state.mkdir(parents=True)
    (state / "where.json").write_text(json.dumps({"code": str(paths.root()), "store": environment.uri()}))
    paths.curves(suite, block).write_text("step,seconds,training,metric,value\\n0,0,recurrent,train/loss,1\\n")
if stage == "evaluate":
    paths.metrics(suite, block).write_text(json.dumps({"rate": rate}))
"""


def small_block(source: str) -> dict:
    train = {"lanes": 4, "window": 12, "k2": 12, "carry": True, "epochs": 1, "clip": 1.0, "point_steps": 5}
    train |= {"optimizer": {"name": "adamw", "rate": 0.01}, "schedule": {"name": "constant"}}
    model = {"cell": "lstm", "embedding_size": 8, "hidden_size": 8, "num_layers": 1, "tie": True}
    return {
        "task": "language_model",
        "data": {"from": source, "level": "word", "min_count": 1},
        "model": model | {"input_dropout": 0.0, "dropout": 0.1},
        "train": train,
        "baselines": {},
        "evaluate": {"metric": "perplexity", "published": None},
    }


def commit(home: Path) -> Path:
    """The folder as a repository with its params cut down to one block."""
    params = yaml.safe_load((home / "params.yaml").read_text())
    (home.parent / "story.txt").write_text("the dog runs .\nthe cat sleeps .\na bird sings .\n" * 200)
    params["blocks"] = {BLOCK: small_block(str(home.parent / "story.txt"))}
    (home / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
    for command in (["init", "-q"], ["add", "-A"], ["-c", "user.name=t", "-c", "user.email=t@t", "commit", "-qm", "t"]):
        subprocess.run(["git", *command], cwd=home, check=True)
    return home


def copy(home: Path, wanted: tuple[str, ...]) -> None:
    """What git has of the real repository below these names."""
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    for name in filter(None, listed.stdout.split("\0")):
        if name.startswith(wanted) and (ROOT / name).is_file():
            (home / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, home / name)


def dvc(home: Path, *arguments: str) -> str:
    known = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    own = {"PATH": path, "RNN_THREADS": "1", "DVC_SITE_CACHE_DIR": str(home.parent / "site"), "DVC_NO_ANALYTICS": "1"}
    command = [sys.executable, "-m", "dvc", *arguments]
    done = subprocess.run(command, cwd=home, env=known | own, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def run_two(home: Path) -> list[dict]:
    """Queue an experiment for each rate and run both; what `dvc exp show` knows of them."""
    for rate in RATES:
        dvc(home, "exp", "run", "--queue", "-S", f"blocks.{BLOCK}.train.optimizer.rate={rate}", f"register@{BLOCK}")
    said = dvc(home, "exp", "run", "--run-all")
    shown = json.loads(dvc(home, "exp", "show", "--json"))
    found = [experiment for row in shown for experiment in (row.get("experiments") or [])]
    assert [one["revs"][0]["data"] is not None for one in found] == [True, True], said
    return found


def test_checkpoints_and_tracking_store_of_two_experiments_are_the_main_checkouts(tmp_path):
    home = tmp_path / "home"
    copy(home, ("dvc.yaml", "params.yaml", ".gitignore", ".dvcignore", ".dvc/", "rnn_core/errors.py"))
    copy(home, tuple(f"pipelines/{name}" for name in REAL))
    for name in (*(f"pipelines/{stage}.py" for stage in STAGES),):
        (home / name).write_text(STAND_IN)
    stages = yaml.safe_load((home / "dvc.yaml").read_text())["stages"].values()
    deps = {dep for stage in stages for dep in stage.get("do", stage)["deps"]}
    for dep in {dep.replace("${item.task}", "language_model") for dep in deps}:
        if not dep.startswith(("data/", "${")) and not (home / dep).exists():
            place = home / dep if dep.endswith(".py") else home / dep / "part.py"
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text("")
    run_two(commit(home))
    states = home / "data/checkpoints/sample" / BLOCK
    assert {path.name for path in states.iterdir()} == {f"recurrent-{rate}" for rate in RATES}
    for rate in RATES:
        where = json.loads((states / f"recurrent-{rate}/where.json").read_text())
        assert Path(where["code"]).is_relative_to(home / ".dvc/tmp"), "it ran in a copy"
        assert where["store"] == f"sqlite:///{home}/mlflow.db"
    assert not (home / "data/runs").exists(), "the checkout itself is as it was"


@pytest.mark.long
def test_two_queued_experiments_are_trained_and_recorded_in_the_main_checkout(tmp_path, tmp_path_factory):
    home = tmp_path / "home"
    copy(home, ("dvc.yaml", "params.yaml", ".gitignore", ".dvcignore", ".dvc/", "rnn_core/", "pipelines/"))
    spooled.empty_store(tmp_path_factory, home / "mlflow.db")
    run_two(commit(home))
    finished = list((home / "data/checkpoints/sample" / BLOCK).glob("recurrent-*/finished.json"))
    assert len(finished) == 2
    rates = "select p.value from params p join runs r on r.run_uuid = p.run_uuid where p.key = 'train.optimizer.rate'"
    assert {float(rate) for (rate,) in spooled.rows(home / "mlflow.db", rates)} == set(RATES)
    assert spooled.statuses(home / "mlflow.db") == ["FINISHED", "FINISHED"]
    assert not list((home / ".dvc/tmp").rglob("mlflow.db"))
    for folder in finished:
        assert list(folder.parent.glob("state/step-*"))
