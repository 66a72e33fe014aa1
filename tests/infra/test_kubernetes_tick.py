"""The CronJob's pod: makes a RayJob once, follows it, ends with its status. The server answers as Kubernetes."""

import argparse
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from infra.jobs.kubernetes import tick
from pipelines.cluster import jobs
from rnn_core.errors import ConfigError, DataError
from tests.infra.manifests import INFRA

JOBS = "/apis/ray.io/v1/namespaces/rnn/rayjobs"


class Kubernetes(ThreadingHTTPServer):
    """Keeps RayJobs; `becomes` are the states of one that is made, a look each."""

    def __init__(self) -> None:
        self.jobs: dict[str, Any] = {}
        self.becomes: list[dict[str, str]] = []
        self.refuses: tuple[int, str] | None = None
        self.tokens: set[str | None] = set()
        super().__init__(("127.0.0.1", 0), Answer)


class Answer(BaseHTTPRequestHandler):
    server: Kubernetes

    def do_GET(self) -> None:
        self.server.tokens.add(self.headers["Authorization"])
        job = self.server.jobs.get(self.path.removeprefix(f"{JOBS}/"))
        if job is not None and self.server.becomes:
            job["status"] = self.server.becomes.pop(0)
        self.answer(*((404, {"message": "not found"}) if job is None else (200, job)))

    def do_POST(self) -> None:
        job = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.server.refuses:
            self.answer(self.server.refuses[0], {"message": self.server.refuses[1]})
            return
        self.server.jobs[job["metadata"]["name"]] = job
        self.answer(201, job)

    def answer(self, code: int, value: Any) -> None:
        self.send_response(code)
        self.end_headers()
        self.wfile.write(json.dumps(value).encode())

    def log_message(self, *_: Any) -> None:
        """Nothing: a test reads what it wants."""


@pytest.fixture
def kubernetes() -> Iterator[Kubernetes]:
    with Kubernetes() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def arguments(kubernetes: Kubernetes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> argparse.Namespace:
    monkeypatch.setattr(tick, "LOOK_SECONDS", 0.01)
    (tmp_path / "token").write_text("a token\n")
    (tmp_path / "namespace").write_text("rnn")
    return argparse.Namespace(
        template=INFRA / "jobs/kubernetes/base/rayjob.yaml",
        job="retrain-29000000",
        uid="1234",
        cluster="http://rnn-head-svc:8265",
        api=f"http://127.0.0.1:{kubernetes.server_port}",
        account=tmp_path,
    )


@pytest.fixture
def followed(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """Jobs that were followed; each ends with status 4."""
    calls: list[tuple[str, str]] = []
    monkeypatch.setattr(jobs, "follow", lambda address, job: calls.append((address, job)) or 4)
    return calls


def test_a_tick_makes_a_job_of_its_name_and_ends_as_it_does(
    kubernetes: Kubernetes, arguments: argparse.Namespace, followed: list[tuple[str, str]]
) -> None:
    running = {"jobDeploymentStatus": "Running", "jobStatus": "RUNNING", "jobId": "retrain-29000000-1"}
    kubernetes.becomes = [{"jobDeploymentStatus": "Initializing"}, running]
    assert tick.run(arguments) == 4
    assert followed == [("http://rnn-head-svc:8265", "retrain-29000000-1")]
    (made,) = kubernetes.jobs.values()
    assert made["spec"]["jobId"] == made["metadata"]["name"] == "retrain-29000000-1"
    (owner,) = made["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["name"], owner["uid"]) == ("Job", "retrain-29000000", "1234")
    assert kubernetes.tokens == {"Bearer a token"}


def test_a_pod_that_starts_again_follows_the_job_that_is_there(
    kubernetes: Kubernetes, arguments: argparse.Namespace, followed: list[tuple[str, str]]
) -> None:
    there = {"jobDeploymentStatus": "Running", "jobStatus": "RUNNING", "jobId": "retrain-29000000-1"}
    kubernetes.jobs["retrain-29000000-1"] = {"status": there}
    assert tick.run(arguments) == 4
    assert len(kubernetes.jobs) == 1


def test_after_a_failure_a_further_job_is_made(
    kubernetes: Kubernetes, arguments: argparse.Namespace, followed: list[tuple[str, str]]
) -> None:
    kubernetes.jobs["retrain-29000000-1"] = {"status": {"jobDeploymentStatus": "Failed", "jobStatus": "FAILED"}}
    name = tick.made(tick.Kubernetes.of(arguments.api, arguments.account), arguments)
    assert name == "retrain-29000000-2"
    assert set(kubernetes.jobs) == {"retrain-29000000-1", "retrain-29000000-2"}


@pytest.mark.parametrize(
    ("state", "status"),
    [
        ({"jobDeploymentStatus": "Complete", "jobStatus": "SUCCEEDED"}, 0),
        ({"jobDeploymentStatus": "Failed", "jobStatus": "FAILED", "message": "DeadlineExceeded"}, 1),
        ({"jobDeploymentStatus": "ValidationFailed", "message": "no such cluster"}, 1),
    ],
)
def test_a_job_that_never_seemed_to_run(
    kubernetes: Kubernetes,
    arguments: argparse.Namespace,
    capsys: pytest.CaptureFixture[str],
    state: dict[str, str],
    status: int,
) -> None:
    kubernetes.becomes = [state]
    assert tick.run(arguments) == status
    assert state.get("message", "") in capsys.readouterr().out


def test_what_kubernetes_refuses_is_told(kubernetes: Kubernetes, arguments: argparse.Namespace) -> None:
    kubernetes.refuses = (403, "rayjobs.ray.io is forbidden")
    with pytest.raises(ConfigError, match="403: rayjobs.ray.io is forbidden"):
        tick.run(arguments)


def test_no_account_and_no_kubernetes(arguments: argparse.Namespace, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no token in"):
        tick.Kubernetes.of("https://kubernetes.default.svc", tmp_path / "nothing")
    nobody = tick.Kubernetes.of("http://127.0.0.1:9", arguments.account)
    with pytest.raises(DataError, match="no answer"):
        nobody.get("retrain-1")
