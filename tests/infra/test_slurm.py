"""The batch script for Slurm, with Ray for real: by stand-ins of Slurm's own commands, which run what they are given on
this machine, and by a real Slurm of two nodes on loopback."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import ports
from tests.infra.manifests import INFRA
from tests.pipelines.retrain.nights import Nights

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


CONFIGURATION = """
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={port}
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CredType=cred/munge
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SwitchType=switch/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SlurmdParameters=config_overrides
ReturnToService=2
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/%n.log
NodeName=n1 NodeHostname={host} NodeAddr=127.0.0.1 Port={first} CPUs=1
NodeName=n2 NodeHostname={host} NodeAddr=127.0.0.1 Port={second} CPUs=1
PartitionName=all Nodes=n1,n2 Default=YES MaxTime=INFINITE State=UP
"""


@pytest.fixture
def slurm(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A controller and two nodes with a core each, on loopback, with their own keys; the folder of their logs."""
    if os.geteuid() != 0 or not all(map(shutil.which, ("slurmctld", "slurmd", "munged"))):
        pytest.skip("Slurm (Debian's slurm-wlm) is not on this machine, or this is not root")
    folder = Path(tempfile.mkdtemp(prefix="slurm"))
    folder.chmod(0o755)
    keys = folder / "munge"
    keys.mkdir(mode=0o700)
    (keys / "key").write_bytes(os.urandom(128))
    (keys / "key").chmod(0o400)
    (folder / "state").mkdir()
    configuration = folder / "slurm.conf"
    listened = {name: ports.free() for name in ("port", "first", "second")}
    host = os.uname().nodename.partition(".")[0]
    configuration.write_text(CONFIGURATION.format(folder=folder, host=host, **listened))
    monkeypatch.setenv("SLURM_CONF", str(configuration))
    own = [f"--{name}-file={keys / name}" for name in ("key", "log", "pid", "seed")]
    munge = ["munged", "--foreground", "--force", f"--socket={folder / 'munge.socket'}", *own]
    daemons = [munge, ["slurmctld", "-D"], ["slurmd", "-D", "-N", "n1"], ["slurmd", "-D", "-N", "n2"]]
    running = []
    try:
        for number, command in enumerate(daemons):
            with (folder / f"daemon{number}.log").open("w") as log:
                running.append(subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True))
            time.sleep(1)
        deadline = time.monotonic() + 60
        while asked("sinfo", "-h", "-o", "%T %D") != "idle 2":
            logs = "".join(path.read_text() for path in folder.glob("*.log"))
            assert time.monotonic() < deadline, logs
            time.sleep(0.5)
        yield folder
    finally:
        for one in reversed(running):
            one.terminate()
            one.wait()
        shutil.rmtree(folder)


def asked(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True).stdout.strip()


@pytest.mark.long
@pytest.mark.cluster
@pytest.mark.scheduler
@pytest.mark.timeout(1500)
def test_a_real_slurm_trains_with_a_worker_on_each_node(slurm: Path, tmp_path: Path) -> None:
    nights = Nights(tmp_path)
    root = tmp_path / "home/recurrent-training"
    settings = nights.checkout(root, RETRAIN_BLOCK="a")
    command = ["sbatch", "--wait", "--parsable", "--cpus-per-task=1", f"--chdir={root}"]
    done = subprocess.run(
        [*command, str(root / "infra/jobs/slurm/retrain.sbatch"), str(settings)], capture_output=True, text=True
    )
    told = {path.name: path.read_text() for path in [*root.glob("data/*.log"), *slurm.glob("*.log")]}
    assert done.returncode == 0, (done.stderr, told)
    job = done.stdout.split()[0]
    assert set(root.glob("data/*.log")) == {root / f"data/retrain-{job}{node}.log" for node in ("", "-n1", "-n2")}
    assert asked("scontrol", "show", "job", job).count("NumNodes=2") == 1
    (summary,) = nights.summaries()
    assert (summary["outcome"], len(summary["trainings"])) == ("done", 1)
    (run,) = tmp_path.glob("work/repository/data/runs/sample/a/train/recurrent/run.json")
    assert json.loads(run.read_text())["workers"] == 2, "a node has one core, so each has one"
    assert nights.versions("a") == (1, 1)
    assert not list(root.glob("data/ray-token*")), "the token goes with the job"
