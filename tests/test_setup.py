"""The environment that `make` makes: whole or made again, one process at a time, from a Python that fits.

Run on a copy in a temporary folder, whose lock names one tiny package of our own, so that no network is needed.
Usage statistics: a process that records its connections makes none outside this machine.
"""

import itertools
import os
import shutil
import signal
import stat
import subprocess
import sys
import time
import tomllib
import zipfile
from pathlib import Path

import pytest

from infra.images.install import normal

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout that holds the environment's scripts and a lock of one package, `demo`."""
    (tmp_path / "infra").mkdir()
    for name in ("environment.sh", "environment.py"):
        shutil.copy(ROOT / "infra" / name, tmp_path / "infra")
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    for version in ("1.0", "2.0"):
        with zipfile.ZipFile(wheels / f"demo-{version}-py3-none-any.whl", "w") as wheel:
            info = f"demo-{version}.dist-info"
            wheel.writestr("demo.py", f"VERSION = {version!r}\n")
            wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: demo\nVersion: {version}\n")
            kind = "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
            wheel.writestr(f"{info}/WHEEL", kind)
            wheel.writestr(f"{info}/RECORD", "")
    (tmp_path / "requirements.lock").write_text("# a lock\ndemo==1.0\n")
    return tmp_path


def environment(checkout: Path, **variables: str) -> subprocess.Popen[str]:
    known = {name: value for name, value in os.environ.items() if not name.startswith(("PIP_", "PYTHON"))}
    known |= {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(checkout / "wheels"), "PIP_CONFIG_FILE": os.devnull}
    return subprocess.Popen(
        ["sh", "infra/environment.sh"],
        cwd=checkout,
        env={**known, "PATH": f"{Path(sys.executable).parent}:{known['PATH']}", **variables},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def finish(process: subprocess.Popen[str]) -> str:
    output = process.communicate()[0]
    assert process.returncode == 0, output
    return output


def installed(checkout: Path) -> str:
    command = [checkout / ".venv/bin/python", "-c", "import demo; print(demo.VERSION)"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def test_made_once_and_again_for_another_lock(checkout: Path) -> None:
    assert "making .venv" in finish(environment(checkout))
    assert installed(checkout) == "1.0"
    assert finish(environment(checkout)) == ""
    (checkout / "requirements.lock").write_text("demo==2.0\n")
    assert "making .venv" in finish(environment(checkout))
    assert installed(checkout) == "2.0"


def test_two_at_once_make_it_once(checkout: Path) -> None:
    outputs = [finish(process) for process in (environment(checkout), environment(checkout))]
    assert sum("making .venv with" in output for output in outputs) == 1
    assert installed(checkout) == "1.0"


def test_killed_half_way_is_made_again_when_its_children_have_ended(checkout: Path) -> None:
    first = environment(checkout)
    while not (checkout / ".venv/pyvenv.cfg").exists():
        assert first.poll() is None
        time.sleep(0.01)
    os.kill(first.pid, signal.SIGKILL)
    first.communicate()
    assert not (checkout / ".venv/made-from.txt").exists()
    assert "making .venv" in finish(environment(checkout))
    assert installed(checkout) == "1.0"


def test_pip_fails(checkout: Path) -> None:
    (checkout / "requirements.lock").write_text("no-such-package==1.0\n")
    process = environment(checkout)
    output = process.communicate()[0]
    assert process.returncode != 0
    assert output.splitlines()[-1].startswith("error: requirements.lock: pip ended with status 1")
    assert not (checkout / ".venv/made-from.txt").exists()


@pytest.mark.parametrize("version", ["3.10.13", "3.14.0", "2.7.18"])
def test_another_python_is_one_line(checkout: Path, version: str) -> None:
    other = checkout / "bin/python3"
    other.parent.mkdir()
    other.write_text(f'#!/bin/sh\n[ "$1" = --version ] && echo Python {version}\n[ "$1" = --version ]\n')
    other.chmod(other.stat().st_mode | stat.S_IXUSR)
    for name in ("python", "python3.11", "python3.12", "python3.13"):
        shutil.copy(other, other.with_name(name))
    for variables in ({"PYTHON": str(other)}, {"PATH": f"{other.parent}:{os.environ['PATH']}", "PYTHON": ""}):
        process = environment(checkout, **variables)
        output = process.communicate()[0]
        assert process.returncode == 1
        assert len(output.splitlines()) == 1
        assert f"found Python {version}; Python 3.11, 3.12 or 3.13 is needed" in output


def test_lock_is_exact_and_serves_cpu_and_cuda() -> None:
    lines = [line for line in (ROOT / "requirements.lock").read_text().splitlines() if not line.startswith("#")]
    pins = dict(line.split("==") for line in lines)
    assert pins["torch"] == "2.13.0"
    assert not [line for line in lines if "+" in line or "--hash" in line]
    assert not [name for name in pins if name.startswith(("nvidia", "cuda", "triton"))]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    direct = [*project["dependencies"], *itertools.chain(*project["optional-dependencies"].values())]
    names = {normal(line.replace("[", "=").replace(">", "=").partition("=")[0]) for line in direct}
    assert names <= {normal(name) for name in pins}


RECORDER = """
import os, sys
HERE = ("127.0.0.1", "::1", "localhost", "0.0.0.0", "")
def record(event, arguments):
    if event == "socket.connect" and isinstance(arguments[1], tuple):
        refuse(arguments[1][0])
    elif event in ("socket.getaddrinfo", "socket.gethostbyname"):
        refuse(arguments[0])
def refuse(host):
    if host and host not in HERE:
        with open(os.environ["CONNECTIONS"], "a") as file:
            file.write(f"{host}\\n")
        raise OSError(f"{host} is outside")
sys.addaudithook(record)
"""

LIBRARIES = """
import time
{first}
import mlflow
import ray._common.usage.usage_lib
assert ray._common.usage.usage_lib.usage_stats_enabled() is {enabled}
mlflow.set_tracking_uri("sqlite:///mlflow.db")
mlflow.set_experiment("sample/demo")
with mlflow.start_run():
    mlflow.log_metric("loss", 1.0)
time.sleep(2)
"""


def connections(folder: Path, command: list[str]) -> set[str]:
    """Hosts outside this machine that a command, or a process it started, wanted to reach: they are refused.

    The environment is bare: MLflow sends nothing where a variable says that this is a test or CI.
    """
    (folder / "sitecustomize.py").write_text(RECORDER)
    bare = {"PATH": os.environ["PATH"], "HOME": str(folder), "PYTHONPATH": f"{folder}:{ROOT}"}
    bare["CONNECTIONS"] = str(folder / "connections.txt")
    done = subprocess.run([sys.executable, *command], cwd=folder, env=bare, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    time.sleep(2)
    recorded = folder / "connections.txt"
    return set(recorded.read_text().splitlines()) if recorded.exists() else set()


def test_importing_pipelines_stops_usage_statistics_of_ray_and_mlflow(tmp_path: Path) -> None:
    program = LIBRARIES.format(first="import pipelines", enabled=False)
    assert connections(tmp_path, ["-c", program]) == set()


def test_the_recorder_sees_usage_statistics_where_they_are_on(tmp_path: Path) -> None:
    program = LIBRARIES.format(first="", enabled=True)
    assert connections(tmp_path, ["-c", program]) != set()


@pytest.mark.parametrize("ours", [True, False])
def test_dvc_by_hand_sends_nothing_with_our_settings(tmp_path: Path, ours: bool) -> None:
    """DVC leaves the sending to a child in the background: whether it starts one stands in its messages."""
    settings = (ROOT / ".dvc/config").read_text()
    assert "check_update = false" in settings
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    (tmp_path / ".dvc").mkdir()
    (tmp_path / ".dvc/config").write_text(settings if ours else settings.replace("analytics = false", ""))
    (tmp_path / "dvc.yaml").write_text("stages: {}\n")
    bare = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "DVC_SITE_CACHE_DIR": str(tmp_path / "site")}
    bare["DVC_DAEMON"] = "1"  # what DVC's own children have: they start no others, so nothing is sent from here
    command = [sys.executable, "-m", "dvc", "status", "--verbose"]
    done = subprocess.run(command, cwd=tmp_path, env=bare, capture_output=True, text=True, check=True)
    assert ("Analytics is disabled" in done.stderr + done.stdout) is ours
