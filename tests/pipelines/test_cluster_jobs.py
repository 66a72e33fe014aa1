"""Jobs of a cluster that stands: once a name, a further attempt after a failure, followed through a lost connection."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ray.exceptions import AuthenticationError

from pipelines.cluster import jobs
from rnn_core.errors import ConfigError, DataError
from tests import ports

ADDRESS = "http://127.0.0.1:8265"


class Status(str):
    @property
    def value(self) -> str:
        return str(self)

    def is_terminal(self) -> bool:
        return self in ("SUCCEEDED", "FAILED", "STOPPED")


class Server:
    """Answers as Ray's client does."""

    def __init__(self) -> None:
        self.jobs: dict[str, str] = {}
        self.handed_in: list[dict[str, Any]] = []
        self.log = ""
        self.cut_at: list[int] = []
        self.exit_code: int | None = None

    def list_jobs(self) -> list[Any]:
        there = [SimpleNamespace(submission_id=name, status=Status(status)) for name, status in self.jobs.items()]
        return [*there, SimpleNamespace(submission_id=None, status=Status("RUNNING"))]

    def submit_job(self, **given: Any) -> None:
        self.handed_in.append(given)
        if given["submission_id"] in self.jobs:
            raise RuntimeError("Job with submission_id already exists")
        self.jobs[given["submission_id"]] = "PENDING"

    def get_job_info(self, name: str) -> Any:
        return SimpleNamespace(status=Status(self.jobs[name]), driver_exit_code=self.exit_code, message="as it is")

    def get_job_logs(self, name: str) -> str:
        end = self.cut_at.pop(0) if self.cut_at else len(self.log)
        if end == len(self.log):
            self.jobs[name] = "FAILED" if self.exit_code else "SUCCEEDED"
        return self.log[:end]


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Server:
    made = Server()
    monkeypatch.setattr(jobs, "_client", lambda address: made)
    monkeypatch.setattr(jobs, "LOOK_SECONDS", 0.0)
    return made


def handed_in(name: str = "retrain-1") -> tuple[str, bool]:
    return jobs.submit(address=ADDRESS, name=name, entrypoint="python -m x", runtime={"env_vars": {}})


def test_a_tick_is_one_job_however_often_asked_for(server: Server) -> None:
    assert handed_in() == ("retrain-1", True)
    assert handed_in() == ("retrain-1", False)
    server.jobs["retrain-1"] = "SUCCEEDED"
    assert handed_in() == ("retrain-1", False)
    assert handed_in("retrain-11") == ("retrain-11", True)
    assert [given["submission_id"] for given in server.handed_in] == ["retrain-1", "retrain-11"]


@pytest.mark.parametrize("ended", ["FAILED", "STOPPED"])
def test_after_a_failure_there_is_a_further_attempt(server: Server, ended: str) -> None:
    server.jobs = {"retrain-1": ended, "retrain-1.2": ended, "retrain-2": "RUNNING"}
    assert handed_in() == ("retrain-1.3", True)
    assert handed_in() == ("retrain-1.3", False)


def test_somebody_else_was_faster(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    looks = [[], [("retrain-1", "PENDING")]]
    server.jobs = {"retrain-1": "PENDING"}
    monkeypatch.setattr(jobs, "_attempts", lambda client, name: looks.pop(0))
    assert handed_in() == ("retrain-1", False)


def test_no_job_server_and_a_wrong_token(monkeypatch: pytest.MonkeyPatch) -> None:
    for error in (ConnectionError("Failed to connect to Ray"), RuntimeError("401: Unauthorized\nmore")):

        def refused(address: str, error: Exception = error) -> Any:
            raise error

        monkeypatch.setattr(jobs, "_client", refused)
        with pytest.raises(ConfigError, match=str(error).splitlines()[0]) as told:
            handed_in()
        assert told.value.where == ADDRESS


@pytest.mark.parametrize("status", [0, 4])
def test_log_and_status_are_passed_on(server: Server, capsys: pytest.CaptureFixture[str], status: int) -> None:
    server.jobs, server.log, server.exit_code = {"retrain-1": "RUNNING"}, "one\ntwo\nthree\n", status
    assert jobs.follow(ADDRESS, "retrain-1") == status
    assert capsys.readouterr().out == server.log


def test_a_lost_connection_repeats_and_loses_no_line(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    server.jobs, server.log, server.cut_at = {"retrain-1": "RUNNING"}, "0123456789\nabcdef\n", [7, 3, 12]
    assert jobs.follow(ADDRESS, "retrain-1") == 0
    assert capsys.readouterr().out == server.log


def test_a_job_that_was_stopped(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    server.jobs, server.cut_at, server.log = {"retrain-1": "STOPPED"}, [0], "x"
    assert jobs.follow(ADDRESS, "retrain-1") == 1
    assert "STOPPED: as it is" in capsys.readouterr().out


def test_a_token_that_expires_ends_the_following_at_once(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(name: str) -> Any:
        raise AuthenticationError("Authentication failed: expired")

    monkeypatch.setattr(server, "get_job_info", refused)
    with pytest.raises(ConfigError, match="expired"):
        jobs.follow(ADDRESS, "retrain-1")


def test_a_cluster_that_stays_away_is_given_up(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(name: str) -> Any:
        raise ConnectionError("gone")

    monkeypatch.setattr(server, "get_job_info", away)
    monkeypatch.setattr(jobs, "PATIENCE_SECONDS", 0.0)
    with pytest.raises(DataError, match="gone"):
        jobs.follow(ADDRESS, "retrain-1")


@pytest.fixture
def job_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Address of a real one, on loopback, that wants a token; this process knows it."""
    token, short, log = tmp_path / "token", Path(tempfile.mkdtemp(prefix="j")), tmp_path / "log"
    token.write_text("0123456789abcdef" * 4)
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(token))
    port = ports.free()
    command = [sys.executable, "-m", "ray.scripts.scripts", "start", "--block", "--head", "--num-cpus", "1"]
    command += ["--node-ip-address", "127.0.0.1", "--port", str(ports.free()), "--temp-dir", str(short)]
    command += ["--dashboard-host", "127.0.0.1", "--dashboard-port", str(port), "--disable-usage-stats"]
    with log.open("w") as out, subprocess.Popen(command, stdout=out, stderr=out, start_new_session=True) as head:
        try:
            deadline = time.monotonic() + 180
            while not _answers(port):
                assert head.poll() is None, log.read_text()
                assert time.monotonic() < deadline, log.read_text()
                time.sleep(1)
            yield f"http://127.0.0.1:{port}"
        finally:
            os.killpg(head.pid, signal.SIGTERM)
            head.wait()
            shutil.rmtree(short, ignore_errors=True)


JOB = """
import sys
from pathlib import Path
print("at work", flush=True)
went = Path(sys.argv[1])
second = went.exists()
went.touch()
raise SystemExit(0 if second else 4)
"""


TICK = """
import sys
from pipelines.cluster import jobs
address, work, entrypoint = sys.argv[1:]
job, new = jobs.submit(address=address, name="retrain-1", entrypoint=entrypoint, runtime={"working_dir": work})
print(job, new)
sys.exit(jobs.follow(address, job))
"""


@pytest.mark.long
@pytest.mark.cluster
def test_a_real_job_server(job_server: str, tmp_path: Path) -> None:
    """A job that fails with a status of its own, its second attempt, and no third. Ray reads a token once a process."""
    work = tmp_path / "work"
    work.mkdir()
    (work / "job.py").write_text(JOB)

    def tick() -> tuple[str, int]:
        command = [sys.executable, "-c", TICK, job_server, str(work), f"python job.py {tmp_path / 'went'}"]
        done = subprocess.run(
            command, env={**os.environ, "PYTHONPATH": str(Path.cwd())}, capture_output=True, text=True
        )
        assert done.stdout.count("at work") == 1, done.stdout + done.stderr
        return done.stdout.splitlines()[0], done.returncode

    assert tick() == ("retrain-1 True", 4)
    assert tick() == ("retrain-1.2 True", 0)
    assert tick() == ("retrain-1.2 False", 0)
    strangers = {**os.environ, "RAY_AUTH_TOKEN": "another" * 8, "PYTHONPATH": str(Path.cwd())}
    del strangers["RAY_AUTH_TOKEN_PATH"]
    command = [sys.executable, "-m", "infra.jobs.ray.submit", "--address", job_server, "--", "--suite", "sample"]
    done = subprocess.run(command, env=strangers, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.startswith(f"error: {job_server}: Authentication failed"), done.stderr
    assert "another" not in done.stderr


def _answers(port: int) -> bool:
    with socket.socket() as one:
        return one.connect_ex(("127.0.0.1", port)) == 0
