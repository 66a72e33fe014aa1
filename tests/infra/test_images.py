"""The image: its Dockerfile by hadolint, what the build sees, and its install steps in an empty environment."""

import fnmatch
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from infra.images import install
from infra.lock import LOCK
from tests.infra.manifests import INFRA, ROOT

pytestmark = pytest.mark.manifests

DOCKERFILE = INFRA / "images/Dockerfile"


def test_dockerfile_by_hadolint() -> None:
    hadolint = Path(sys.executable).parent / "hadolint"
    done = subprocess.run([str(hadolint), str(DOCKERFILE)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_it_runs_as_nobody_in_particular() -> None:
    text = DOCKERFILE.read_text()
    (user,) = re.findall(r"^USER (.*)$", text, re.MULTILINE)
    assert user == "10001:10001"
    assert "--uid 10001" in text
    assert text.index("USER ") > text.rindex("RUN ")


def test_the_build_sees_what_it_copies_and_no_data() -> None:
    lines = DOCKERFILE.with_name("Dockerfile.dockerignore").read_text().splitlines()
    seen = {line.removeprefix("!") for line in lines if line.startswith("!")}
    assert "*" in lines
    copied = re.findall(r"^COPY (?!--from)(.*) \S+$", DOCKERFILE.read_text(), re.MULTILINE)
    for path in " ".join(copied).split():
        assert (ROOT / path).exists(), path
        assert [part for part in seen if fnmatch.fnmatch(path, part) or path.startswith(f"{part}/")], path
    assert not [part for part in seen if part.startswith((".", "data", "tests"))]


def test_what_is_installed_is_what_runs_and_not_what_tests() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = install.wanted()
    assert set(project["dependencies"]) <= set(wanted)
    assert set(project["optional-dependencies"]["cluster"]) <= set(wanted)
    assert not set(project["optional-dependencies"]["test"]) & set(wanted)


@pytest.mark.parametrize(
    ("installed", "device", "said"),
    [
        ({"torch": "2.13.0", "stranger": "1.0"}, "cuda", "stranger 1.0"),
        ({"torch": "2.12.0"}, "cuda", "torch 2.12.0"),
        ({"torch": "2.13.0", "nvidia-cublas": "13"}, "cpu", "CUDA libraries"),
        ({"torch": "2.13.0+cpu"}, "cuda", "is for CPUs"),
    ],
)
def test_another_environment_than_asked_for_is_refused(installed: dict[str, str], device: str, said: str) -> None:
    with pytest.raises(SystemExit, match=re.escape(said)):
        install.check(installed, {"torch": "2.13.0"}, device)


def test_builds_of_the_locked_version_are_taken() -> None:
    lock = install.locked(LOCK.read_text())
    install.check({"torch": f"{lock['torch']}+cpu", "pip": "26"}, lock, "cpu")
    install.check({"torch": f"{lock['torch']}+cu130", "nvidia-cublas": "13", "triton": "4"}, lock, "cuda")
    assert install.normal("zc.lockfile") in lock


def test_an_environment_that_is_there_is_left_alone(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "infra.images.install", "--device", "cpu", "--into", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 1
    assert "is there already" in done.stderr


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_the_install_steps_in_an_empty_environment(tmp_path: Path) -> None:
    """The script that the Dockerfile runs; the environment then starts what the image is for."""
    folder = tmp_path / "venv"
    steps = [sys.executable, "-m", "infra.images.install", "--device", "cpu", "--into", str(folder)]
    done = subprocess.run(steps, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    bare = {"PATH": f"{folder}/bin:/usr/bin:/bin", "HOME": str(tmp_path), "PYTHONPATH": str(ROOT)}
    for command in (
        ["python", "-c", "import torch, ray, mlflow, pyarrow, boto3, psycopg, dvc_s3; assert not torch.version.cuda"],
        ["python", "-m", "infra.jobs.kubernetes.tick", "--help"],
        ["python", "-m", "infra.jobs.ray.submit", "--help"],
        ["python", "-m", "infra.mlflow.backup", "--help"],
        ["python", "-m", "pipelines.retrain", "--help"],
        ["mlflow", "server", "--help"],
        ["ray", "job", "submit", "--help"],
        ["dvc", "--version"],
    ):
        done = subprocess.run(command, env=bare, capture_output=True, text=True, cwd=tmp_path)
        assert done.returncode == 0, f"{command}: {done.stderr[-2000:]}"
    assert not (folder / "bin/pytest").exists()
