"""What `dvc repro` runs and what it leaves alone, with the real dvc.yaml and params files of both suites.

The stages are stand-ins that write a line each: what DVC decides follows from dvc.yaml alone.
"""

import json
import os
import resource
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parent.parent
SUITES = {"sample": "params.yaml", "public": "pipelines/suites/public/params.yaml"}
STAGES = ("fetch", "preprocess", "train", "evaluate", "register")
"""Of a block; then comes the suite's `report`."""
FEW = 2
"""Blocks of each suite that are run: DVC takes a second for a stage."""

STAND_IN = """
import json, pathlib, sys, uuid
import rnn_core
stage, block, suite = pathlib.Path(__file__).stem, sys.argv[1], sys.argv[-1]
runs = f"data/runs/{suite}/{block}"

def write(path, text):
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)

with open("ran.log", "a") as log:
    log.write(f"report {suite}\\n" if stage == "report" else f"{stage} {suite}/{block}\\n")
if stage == "fetch":
    write(f"data/raw/{suite}/{block}/text", suite + block)
elif stage == "preprocess":
    write(f"data/arrow/{suite}/{block}/train.arrow", suite + block)
elif stage == "train":
    write(f"data/checkpoints/{suite}/{block}/state.json", "{}")
    rows = "".join(f"{step},{step},recurrent,train/loss,{9 - step}\\n" for step in range(3))
    write(f"{runs}/curves.csv", "step,seconds,training,metric,value\\n" + rows)
    write(f"{runs}/train/recurrent/run.json", uuid.uuid4().hex)
    if pathlib.Path("power-cut").exists():
        sys.exit(7)
elif stage == "evaluate":
    write(f"{runs}/evaluation/table.csv", "a\\n")
    write(f"{runs}/metrics.json", json.dumps({"recurrent": {"accuracy": 97.0}}))
elif stage == "register":
    write(f"data/scores/{suite}/{block}.json", pathlib.Path(f"{runs}/train/recurrent/run.json").read_text())
else:
    write(f"data/reports/{suite}.html", "".join(sorted(map(str, pathlib.Path(f"data/runs/{suite}").rglob("*.csv")))))
"""


class Checkout:
    """A repository in a temporary folder, with what DVC reads of the real one."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.params = {suite: self.read(suite) for suite in SUITES if (folder / SUITES[suite]).exists()}

    def read(self, suite: str) -> dict[str, Any]:
        return dict(yaml.safe_load((self.folder / SUITES[suite]).read_text()))

    def write(self, suite: str, values: dict[str, Any]) -> None:
        (self.folder / SUITES[suite]).write_text(yaml.safe_dump(values, sort_keys=False))

    def blocks(self, suite: str) -> list[str]:
        return list(self.params[suite]["blocks"])

    def all_stages(self, suite: str) -> list[str]:
        of_blocks = [f"{stage} {suite}/{block}" for stage in STAGES for block in self.blocks(suite)]
        return sorted([*of_blocks, f"report {suite}"])

    def run(self, *command: str, status: int = 0) -> str:
        cleared = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
        own = {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "PYTHONDONTWRITEBYTECODE": "1"}
        own |= {"DVC_SITE_CACHE_DIR": str(self.folder.parent / "site"), "DVC_NO_ANALYTICS": "1"}
        done = subprocess.run(command, cwd=self.folder, env=cleared | own, capture_output=True, text=True)
        assert done.returncode == status, done.stdout + done.stderr
        return done.stdout

    def dvc(self, *arguments: str, status: int = 0) -> str:
        return self.run(sys.executable, "-m", "dvc", *arguments, status=status)

    def repro(self, suite: str = "sample", status: int = 0, target: str | None = None) -> list[str]:
        """Bring a suite up to date, or the one stage `target` of it alone; the stages that ran."""
        log = self.folder / "ran.log"
        log.unlink(missing_ok=True)
        file = Path(SUITES[suite]).with_name("dvc.yaml")
        arguments = ["--single-item", f"{file}:{target}"] if target else [str(file)] if suite != "sample" else []
        self.dvc("repro", *arguments, status=status)
        return log.read_text().splitlines() if log.exists() else []

    def stale(self) -> set[str]:
        """Stages with changed dependencies, as `stage@block`, with the path of dvc.yaml for the public suite."""
        status = json.loads(self.dvc("status", "--json"))
        return {stage for stage, changes in status.items() if any("changed deps" in change for change in changes)}

    def untracked(self) -> set[str]:
        return set(self.run("git", "status", "--porcelain", "-uall").split()) - {"??", "M"}

    def commit(self) -> None:
        self.run("git", "add", "-A")
        self.run("git", "-c", "user.name=t", "-c", "user.email=t@t", "commit", "-qm", "state")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    """Both suites run once, and committed."""
    folder = tmp_path_factory.mktemp("dvc") / "finished"
    for name in ("dvc.yaml", "params.yaml", ".gitignore", ".dvcignore", ".dvc/config", ".dvc/.gitignore", ".dvc/plots"):
        copy(name, folder)
    for name in ("dvc.yaml", "params.yaml"):
        copy(f"pipelines/suites/public/{name}", folder)
    one = Checkout(folder)
    for suite, values in one.params.items():
        values["blocks"] = dict(list(values["blocks"].items())[:FEW])
        one.write(suite, values)
    stages = yaml.safe_load((folder / "dvc.yaml").read_text())["stages"].values()
    deps = {dep for stage in stages for dep in stage.get("do", stage)["deps"] if "${" not in dep}
    needed = {dep if dep.endswith(".py") else f"{dep}/__init__.py" for dep in deps}
    stand_ins = [*STAGES, "report"]
    needed |= {f"pipelines/{stage}.py" for stage in stand_ins}
    for suite in SUITES:
        for block in one.params[suite]["blocks"].values():
            needed |= {f"pipelines/tasks/{block['task']}.py", block["data"]["from"]}
    for name in needed:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(STAND_IN if Path(name).stem in stand_ins else f"# {name}\n")
    (folder / ".git/info").mkdir(parents=True)
    one.run("git", "init", "-q")
    (folder / ".git/info/exclude").write_text("/ran.log\n/power-cut\n")
    one.commit()
    for suite in SUITES:
        assert sorted(one.repro(suite)) == one.all_stages(suite)
    scores = {f"data/scores/{suite}/{block}.json" for suite in SUITES for block in one.blocks(suite)}
    assert one.untracked() == scores | {"dvc.lock", "pipelines/suites/public/dvc.lock"}
    one.commit()
    return one


def copy(name: str, folder: Path) -> None:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    if (ROOT / name).is_dir():
        shutil.copytree(ROOT / name, folder / name)
    else:
        shutil.copy(ROOT / name, folder / name)


@pytest.fixture
def checkout(finished: Checkout, tmp_path: Path) -> Checkout:
    """A copy of `finished` of one's own."""
    shutil.copytree(finished.folder, tmp_path / "copy")
    return Checkout(tmp_path / "copy")


def test_copies_are_identical() -> None:
    assert (ROOT / "dvc.yaml").read_bytes() == (ROOT / "pipelines/suites/public/dvc.yaml").read_bytes()


def test_going_from_suite_to_suite_runs_nothing(checkout: Checkout) -> None:
    assert [checkout.repro(suite) for suite in ("sample", "public", "sample")] == [[], [], []]
    assert checkout.untracked() == set()


def test_nothing_to_do_takes_less_than_four_seconds(checkout: Checkout) -> None:
    """Of processor time: how busy the machine is besides does not count."""
    checkout.repro()
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert checkout.repro() == []
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 4


@pytest.mark.parametrize("suite", SUITES)
def test_a_setting_of_one_block_reruns_that_block_from_its_training_on(checkout: Checkout, suite: str) -> None:
    values, block = checkout.read(suite), checkout.blocks(suite)[0]
    values["blocks"][block]["train"]["seed"] = 77
    checkout.write(suite, values)
    changes = json.loads(checkout.dvc("params", "diff", "--json"))
    assert changes == {SUITES[suite]: {f"blocks.{block}.train.seed": {"old": None, "new": 77}}}
    assert checkout.repro("public" if suite == "sample" else "sample") == []
    again = [f"{stage} {suite}/{block}" for stage in ("train", "evaluate", "register")]
    assert checkout.repro(suite) == [*again, f"report {suite}"]
    checkout.run("git", "checkout", "-q", SUITES[suite])
    assert not [stage for stage in checkout.repro(suite) if stage.startswith(("train", "evaluate"))]


def test_what_depends_on_what(checkout: Checkout) -> None:
    block = checkout.blocks("sample")[0]
    task = checkout.params["sample"]["blocks"][block]["task"]
    own = {name for name in checkout.blocks("sample") if checkout.params["sample"]["blocks"][name]["task"] == task}
    (checkout.folder / f"pipelines/tasks/{task}.py").write_text("# another\n")
    changed = {name for name in checkout.stale() if not name.startswith("pipelines")}
    assert changed == {f"{stage}@{name}" for stage in ("preprocess", "train", "evaluate") for name in own}
    checkout.run("git", "checkout", "-q", "pipelines")

    (checkout.folder / "rnn_core/__pycache__").mkdir()
    (checkout.folder / "rnn_core/__pycache__/layers.cpython-311.pyc").write_text("")
    assert checkout.stale() == set()
    (checkout.folder / "rnn_core/layers.py").write_text("# new\n")
    assert {name.partition("@")[0].rpartition(":")[2] for name in checkout.stale()} == {"train", "evaluate"}


def test_a_base_setting_reaches_both_suites(checkout: Checkout) -> None:
    values = checkout.read("sample")
    values["base"]["train"]["clip"] = 77.0
    checkout.write("sample", values)
    expected = {f"train@{block}" for block in checkout.blocks("sample")}
    expected |= {f"pipelines/suites/public/dvc.yaml:train@{block}" for block in checkout.blocks("public")}
    assert checkout.stale() == expected


def test_a_new_block_needs_its_settings_only(checkout: Checkout) -> None:
    values = checkout.read("sample")
    values["blocks"]["one_more"] = next(iter(values["blocks"].values()))
    checkout.write("sample", values)
    assert checkout.repro() == [*(f"{stage} sample/one_more" for stage in STAGES), "report sample"]


def test_metrics_and_curves_can_be_shown(checkout: Checkout) -> None:
    metrics = json.loads(checkout.dvc("metrics", "show", "--json"))[""]["data"]
    assert len(metrics) == sum(len(checkout.blocks(suite)) for suite in SUITES)
    checkout.dvc("plots", "show")
    page = (checkout.folder / "dvc_plots/index.html").read_text()
    assert '"metric": "train/loss"' in page
    assert '"training": "recurrent"' in page
    assert checkout.untracked() == set()


def test_an_interrupted_run_leaves_git_clean_and_goes_on(checkout: Checkout) -> None:
    values, block = checkout.read("sample"), checkout.blocks("sample")[0]
    values["blocks"][block]["train"]["seed"] = 78
    checkout.write("sample", values)
    checkout.commit()
    (checkout.folder / "power-cut").touch()
    assert checkout.repro(status=255) == [f"train sample/{block}"]
    assert checkout.untracked() == set()
    (checkout.folder / "power-cut").unlink()
    again = [f"{stage} sample/{block}" for stage in ("train", "evaluate", "register")]
    assert checkout.repro() == [*again, "report sample"]


def test_new_pictures_make_a_new_report_and_one_block_is_enough_for_one(checkout: Checkout) -> None:
    """As `make repro TASK=...` asks for it: the report by itself, whatever else of the suite has not run."""
    block, other = checkout.blocks("sample")
    (checkout.folder / f"data/runs/sample/{block}/evaluation/table.csv").write_text("another\n")
    assert checkout.repro("sample", target="report") == ["report sample"]
    shutil.rmtree(checkout.folder / f"data/runs/sample/{other}")
    (checkout.folder / f"data/scores/sample/{other}.json").unlink()
    assert checkout.repro("sample", target="report") == ["report sample"]
    page = (checkout.folder / "data/reports/sample.html").read_text()
    assert block in page
    assert other not in page


def test_a_clean_clone_runs_every_stage_although_scores_are_committed(checkout: Checkout, tmp_path: Path) -> None:
    checkout.run("git", "clone", "-q", ".", str(tmp_path / "clone"))
    ran = Checkout(tmp_path / "clone").repro()
    assert sorted(ran) == checkout.all_stages("sample")
