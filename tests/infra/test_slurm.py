"""The batch script for Slurm, with Ray for real: only Slurm's own commands are stood in for, which then run what they
are given on this machine. (The scheduler tests hand it to a real Slurm.)"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.infra.manifests import INFRA

SRUN = """#!/bin/sh
while [ "${1#--}" != "$1" ]; do shift; done
exec "$@"
"""
SCONTROL = """#!/bin/sh
case "$2" in
    hostnames) printf 'n1\\nn2\\n' ;;
    node) echo "   NodeAddr=127.0.0.1 NodeHostName=$3 Version=1" ;;
esac
"""
RETRAINING = """
import os, time
import ray
ray.init(address=os.environ["RAY_ADDRESS"], log_to_driver=False)
until = time.monotonic() + 100
while len([node for node in ray.nodes() if node["Alive"]]) < 2 and time.monotonic() < until:
    time.sleep(0.5)
cores, workers = ray.cluster_resources()["CPU"], os.environ["RNN_WORKERS"]
print("nodes", len(ray.nodes()), "cores", cores, "workers", workers, flush=True)
raise SystemExit(6)
"""


@pytest.mark.long
@pytest.mark.cluster
def test_it_starts_ray_on_each_node_and_ends_it_with_the_ticks_status(tmp_path: Path) -> None:
    root, programs = tmp_path / "checkout", tmp_path / "bin"
    (root / "pipelines").mkdir(parents=True)
    (root / "data").mkdir()
    programs.mkdir()
    shutil.copytree(INFRA, root / "infra")
    (root / ".venv").symlink_to(Path(sys.prefix))
    (root / "pipelines/__init__.py").touch()
    (root / "pipelines/retrain.py").write_text(RETRAINING)
    for name, text in (("srun", SRUN), ("scontrol", SCONTROL)):
        (programs / name).write_text(text)
        (programs / name).chmod(0o755)
    settings = tmp_path / "retrain.env"
    settings.write_text("RETRAIN_REPOSITORY=x\nRETRAIN_REVISION=main\nRETRAIN_WORK=/x\nRETRAIN_SUITE=sample\n")
    settings.chmod(0o600)
    number = 10_000 + os.getpid() % 10_000
    slurm = {"SLURM_JOB_ID": str(number), "SLURM_JOB_NODELIST": "n[1-2]", "SLURM_CPUS_PER_TASK": "1"}
    variables = {**os.environ, **slurm, "PATH": f"{programs}:{os.environ['PATH']}", "TMPDIR": "/tmp"}
    command = ["bash", str(INFRA / "jobs/slurm/retrain.sbatch"), str(settings)]
    done = subprocess.run(command, cwd=root, env=variables, capture_output=True, text=True, timeout=400)
    logs = "".join(path.read_text() for path in (root / "data").glob("*.log"))
    assert done.returncode == 6, done.stdout + done.stderr + logs
    assert "nodes 2 cores 2.0 workers 2" in done.stdout
    assert not list((root / "data").glob("ray-token*")), "the token goes with the job"
    listed = subprocess.run(["ps", "axww", "-o", "args"], capture_output=True, text=True, check=True).stdout
    assert f":{20_000 + number % 10_000}" not in listed, "its Ray goes with the job"
