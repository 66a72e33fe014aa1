"""Blocks side by side: what DVC knows afterwards is what it knows after a serial run."""

import shutil
import subprocess
import sys

import pytest
import yaml

from pipelines import paths, side_by_side
from rnn_core.errors import ConfigError, DataError

BLOCKS = ("first", "second")
STAGES = """
stages:
  preprocess:
    foreach: {blocks}
    do:
      cmd: echo data of ${{item}} > data-${{item}}
      outs: ["data-${{item}}"]
  train:
    foreach: {blocks}
    do:
      cmd: {python} train.py ${{item}}
      deps: ["data-${{item}}"]
      outs: ["train-${{item}}"]
  evaluate:
    foreach: {blocks}
    do:
      cmd: cat train-${{item}} train-${{item}} > score-${{item}}
      deps: ["train-${{item}}"]
      outs: ["score-${{item}}"]
  register:
    foreach: {blocks}
    do:
      cmd: cat score-${{item}} > model-${{item}}
      deps: ["score-${{item}}"]
      outs: ["model-${{item}}"]
"""
TRAIN = """
import os, pathlib, sys, time
block, together = sys.argv[1], int(os.environ["TOGETHER"])
pathlib.Path(f"begun-{block}").touch()
deadline = time.monotonic() + 120
while len(list(pathlib.Path(".").glob("begun-*"))) < together:
    assert time.monotonic() < deadline, "no other block trains at the same time"
    time.sleep(0.05)
print("trains", block)
assert block != os.environ.get("FAILS")
pathlib.Path(f"train-{block}").write_text(f"weights of {block}")
"""


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A checkout with stages that do little; `train` waits until as many blocks train as TOGETHER says."""
    monkeypatch.setattr(paths, "root", lambda: tmp_path)
    monkeypatch.setenv("TOGETHER", "1")
    monkeypatch.setenv("DVC_NO_ANALYTICS", "1")
    monkeypatch.setenv("DVC_SITE_CACHE_DIR", str(tmp_path / ".site"))
    (tmp_path / "dvc.yaml").write_text(STAGES.format(blocks=list(BLOCKS), python=sys.executable))
    (tmp_path / "train.py").write_text(TRAIN)
    dvc(tmp_path, "init", "--no-scm", "-q")
    dvc(tmp_path, "repro", *(f"preprocess@{block}" for block in BLOCKS))
    return tmp_path


def dvc(home, *arguments):
    done = subprocess.run([sys.executable, "-m", "dvc", *arguments], cwd=home, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def run(home, jobs):
    with (home / "lock").open("w") as lock:
        side_by_side.run("dvc.yaml", BLOCKS, jobs, lock)


def test_blocks_train_at_the_same_time_and_dvc_finds_nothing_left(home, monkeypatch, capsys):
    dvc(home, "repro")
    serial = yaml.safe_load((home / "dvc.lock").read_text())
    for path in home.glob("*-*"):
        path.unlink()
    (home / "dvc.lock").unlink()
    dvc(home, "repro", *(f"preprocess@{block}" for block in BLOCKS))
    monkeypatch.setenv("TOGETHER", "2")
    shutil.rmtree(home / ".dvc/cache/runs")  # what was trained before is not taken from there
    run(home, jobs=2)
    said = capsys.readouterr().out
    assert [line for line in said.splitlines() if line.endswith("trains first")] == ["first  | trains first"]
    assert yaml.safe_load((home / "dvc.lock").read_text()) == serial
    assert "up to date" in dvc(home, "status")
    assert "up to date" in dvc(home, "repro")


@pytest.mark.long
def test_a_block_that_fails_is_told_and_the_others_go_on(home, monkeypatch):
    monkeypatch.setenv("FAILS", "second")
    with pytest.raises(DataError, match="^second: failed, see above; mend the cause"):
        run(home, jobs=2)
    assert (home / "model-first").exists()
    assert not (home / "score-second").exists()
    monkeypatch.delenv("FAILS")
    run(home, jobs=2)
    assert "up to date" in dvc(home, "status")


@pytest.mark.parametrize(
    ("jobs", "address", "told"), [(4, "", "JOBS=4: no cluster; .*RAY_ADDRESS"), (0, "a:1", "JOBS=0: .*1 or more")]
)
def test_several_at_once_need_a_cluster(monkeypatch, jobs, address, told):
    monkeypatch.setenv("RAY_ADDRESS", address)
    with pytest.raises(ConfigError, match=told):
        side_by_side.check(jobs)


def test_one_at_a_time_needs_none(monkeypatch):
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    side_by_side.check(1)
