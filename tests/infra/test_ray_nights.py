"""Four nights as jobs of a Ray cluster, with a tracking server on PostgreSQL and an object store: the whole of what
runs in a cluster, but for the machines. The two hosts that train share no folder with the one that runs the jobs."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mlflow
import pytest

from tests import object_store
from tests.cluster import hosts as machines
from tests.infra import tracking_server
from tests.infra.tracking_server import AS_ADMIN, Server
from tests.pipelines.retrain.nights import ROOT, Nights, four

pytestmark = [
    pytest.mark.long,
    pytest.mark.cluster,
    pytest.mark.scheduler,
    pytest.mark.timeout(3600),
    pytest.mark.skipif(not machines.possible(), reason="hosts of their own need root and iproute2"),
    pytest.mark.skipif(not tracking_server.possible(), reason="PostgreSQL's programs are not on this machine"),
]


class Jobs(Nights):
    """Its ticks are jobs."""

    def __init__(self, folder: Path, objects: object_store.ObjectStore, address: str, store: str):
        """
        Args:
            address: of the cluster's job server.
            store: address of the tracking server.
        """
        super().__init__(folder, objects.dvc_remote("dvc").removeprefix("[core]\n"))
        self.variables |= {"MLFLOW_TRACKING_URI": store, "RNN_STORAGE": objects.address("trainings")}
        self.variables |= {"RNN_WORKERS": "2", "GLOO_SOCKET_IFNAME": "eth0"}
        self._address, self._count = address, 0

    def tick(self, *more: str, status: int = 0, work: str = "work", **variables: str) -> dict[str, Any]:
        self._count += 1
        command = [sys.executable, "-m", "infra.jobs.ray.submit", "--address", self._address]
        command += ["--tick", f"night{self._count}", "--", *self.options(*more, work=work)]
        given = os.environ | self.variables | variables
        done = subprocess.run(command, env=given, cwd=ROOT, capture_output=True, text=True)
        assert done.returncode == status, done.stdout + done.stderr
        return self.summaries(work)[-1]

    def versions(self, block: str) -> tuple[int, int]:
        client = mlflow.MlflowClient(self.variables["MLFLOW_TRACKING_URI"])
        champion = client.get_model_version_by_alias(f"rnn-{block}", "champion")
        return len(client.search_model_versions(f"name = 'rnn-{block}'")), int(champion.version)


@pytest.fixture
def nights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Jobs]:
    """Secrets are in the environment of the nodes, and do not travel with a job."""
    own = {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "DVC_SITE_CACHE_DIR": str(tmp_path / "site")}
    with (
        tracking_server.database() as settings,
        machines.made(**own, **object_store.ACCESS, **AS_ADMIN, RNN_THREADS="1") as made,
        object_store.served(made.outside) as objects,
    ):
        far = {"MLFLOW_ARTIFACTS_DESTINATION": f"s3://{object_store.BUCKET}/mlflow"}
        far |= object_store.ACCESS | {"AWS_ENDPOINT_URL": f"http://{objects.endpoint}"}
        server = Server(settings | far, tmp_path / "server.log", made.outside)
        try:
            made.add(cores=0, jobs=True)
            for _ in range(2):
                made.add(hides=tmp_path)
            known = AS_ADMIN | {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": made.token}
            for name, value in known.items():
                monkeypatch.setenv(name, value)
            yield Jobs(tmp_path, objects, f"http://{made.head}:{machines.JOBS_PORT}", server.address)
        finally:
            server.end()


def test_four_nights_as_jobs(nights: Jobs) -> None:
    four(nights)
    client = mlflow.MlflowClient(nights.variables["MLFLOW_TRACKING_URI"])
    ticks = client.get_experiment_by_name("retrain/sample")
    places = [client.get_experiment_by_name(f"sample/{block}").experiment_id for block in "ab"]
    trainings = client.search_runs(places, "tags.role = 'recurrent'")
    assert [run.data.tags["workers"] for run in trainings] == ["2"] * 4, "a worker on each host, which has one core"
    assert {run.info.status for run in trainings} == {"FINISHED"}
    kept = [path.read_text() for path in nights.folder.glob("work/ticks/**/*") if path.is_file()]
    kept += [str(run.data.to_dictionary()) for run in client.search_runs([*places, ticks.experiment_id])]
    shown = subprocess.run(["ps", "axww", "-o", "args"], capture_output=True, text=True, check=True).stdout
    planted = [value for value in (AS_ADMIN | object_store.ACCESS).values() if value.startswith("planted")]
    assert planted
    assert not [secret for secret in planted for text in [*kept, shown] if secret in text]
