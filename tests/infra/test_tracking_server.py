"""The tracking server for many: its compose file and scripts; and, as a long test, the server itself on PostgreSQL and
an object store."""

import json
import os
import re
import subprocess
import sys
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests import object_store
from tests.infra import tracking_server
from tests.infra.manifests import INFRA, ROOT
from tests.infra.tracking_server import AS_ADMIN, SERVE, SETTINGS, Server

COMPOSE = INFRA / "mlflow/compose.yaml"
PLANTED = [value for value in (SETTINGS | object_store.ACCESS).values() if value.startswith("planted")]


@pytest.mark.manifests
def test_compose_file_against_its_schema() -> None:
    check = [str(Path(sys.executable).parent / "check-jsonschema"), "--builtin-schema", "vendor.compose-spec"]
    done = subprocess.run([*check, str(COMPOSE)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.manifests
def test_compose_file_with_an_unknown_field_is_refused(tmp_path: Path) -> None:
    wrong = yaml.safe_load(COMPOSE.read_text())
    wrong["services"]["mlflow"]["port"] = ["5000"]
    (tmp_path / "compose.yaml").write_text(yaml.safe_dump(wrong))
    check = [str(Path(sys.executable).parent / "check-jsonschema"), "--builtin-schema", "vendor.compose-spec"]
    done = subprocess.run([*check, str(tmp_path / "compose.yaml")], capture_output=True, text=True)
    assert done.returncode == 1
    assert "port" in done.stdout


@pytest.mark.manifests
def test_compose_file_has_no_default_and_listens_on_loopback() -> None:
    text = COMPOSE.read_text()
    asked = re.findall(r"\$\{(\w+)([^}]*)\}", text)
    assert asked
    assert all(rest.startswith(":?") for _, rest in asked), "a variable that is not set ends it"
    readme = (INFRA / "mlflow/README.md").read_text()
    assert {name for name, _ in asked} <= set(re.findall(r"[A-Z_]{6,}", readme))
    for name, service in yaml.safe_load(text)["services"].items():
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", [])), name
        for variable, value in service.get("environment", {}).items():
            if re.search(r"PASSWORD|SECRET|_KEY", variable):
                assert str(value).startswith("${"), f"{name}: {variable}"


@pytest.mark.manifests
@pytest.mark.parametrize("missing", SETTINGS)
@pytest.mark.parametrize("left", [None, ""])
def test_the_server_does_not_start_without_a_setting(missing: str, left: str | None) -> None:
    settings = {**SETTINGS, "PATH": os.environ["PATH"]}
    if left is None:
        del settings[missing]
    else:
        settings[missing] = left
    done = subprocess.run([str(SERVE)], env=settings, capture_output=True, text=True)
    assert done.returncode == 1
    assert f"error: {missing}: found nothing" in done.stderr


@pytest.mark.manifests
def test_a_damaged_backup_is_not_restored(tmp_path: Path) -> None:
    def restored() -> str:
        command = [sys.executable, "-m", "infra.mlflow.restore", str(tmp_path / "backup")]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
        assert done.returncode == 1
        return done.stderr

    assert "no backup" in restored()
    (tmp_path / "backup/artifacts").mkdir(parents=True)
    (tmp_path / "backup/database.dump").write_text("something else")
    (tmp_path / "backup/backup.json").write_text(json.dumps({"artifacts": 1, "database_sha256": "0" * 64}))
    assert "its checksum is another" in restored()


def _basic(password: str) -> str:
    return "Basic " + b64encode(f"admin:{password}".encode()).decode()


@pytest.fixture
def database() -> Iterator[dict[str, str]]:
    if not tracking_server.possible():
        pytest.skip("PostgreSQL's programs are not on this machine, or this is not root")
    with tracking_server.database() as settings:
        yield settings


@pytest.mark.long
@pytest.mark.scheduler
@pytest.mark.timeout(1500)
def test_the_server_keeps_strangers_out_loses_nothing_and_comes_back_from_a_backup(
    database: dict[str, str], tmp_path: Path
) -> None:
    with object_store.served() as store:
        far = {"MLFLOW_ARTIFACTS_DESTINATION": f"s3://{object_store.BUCKET}/mlflow"}
        settings = database | object_store.ACCESS | far | {"AWS_ENDPOINT_URL": f"http://{store.endpoint}"}
        variables = {**os.environ, **settings, "PYTHONPATH": str(ROOT)}

        def run(*command: str, **further: str) -> subprocess.CompletedProcess[str]:
            return subprocess.run(command, env=variables | further, capture_output=True, text=True, cwd=ROOT)

        def client(script: str, *words: str) -> str:
            done = run(sys.executable, "-c", script, *words, MLFLOW_TRACKING_URI=server.address, **AS_ADMIN)
            assert done.returncode == 0, done.stderr[-2000:]
            return done.stdout

        server = Server(settings, tmp_path / "server.log", workers=2)
        search, right = "/api/2.0/mlflow/experiments/search?max_results=5", _basic(AS_ADMIN["MLFLOW_TRACKING_PASSWORD"])
        try:
            assert server.status(search) == 401
            assert server.status(search, Authorization=_basic("wrong")) == 401
            assert server.status(search, Authorization=right) == 200
            assert server.status(search, Authorization=right, Host="elsewhere.example.org") == 403
            print(client(CROWD))
            logged = client(CLIENT, "log")
            shown = subprocess.run(["ps", "axww", "-o", "args"], capture_output=True, text=True, check=True).stdout
            assert not [secret for secret in PLANTED if secret in shown]
            saved = run(sys.executable, "-m", "infra.mlflow.backup", str(tmp_path / "backup"))
            assert saved.returncode == 0, saved.stderr
        finally:
            server.end()
        assert not [secret for secret in PLANTED if secret in (tmp_path / "server.log").read_text()]

        assert run("dropdb", "mlflow").returncode == 0
        assert run("createdb", "mlflow").returncode == 0
        store.system.delete_dir(f"{object_store.BUCKET}/mlflow")
        restored = run(sys.executable, "-m", "infra.mlflow.restore", str(tmp_path / "backup"))
        assert restored.returncode == 0, restored.stderr
        again = run(sys.executable, "-m", "infra.mlflow.restore", str(tmp_path / "backup"))
        assert again.returncode == 1, "over a database that holds something"
        server = Server(settings, tmp_path / "restored.log")
        try:
            assert server.status(search) == 401
            assert client(CLIENT, "find") == logged, "every run, version and file"
        finally:
            server.end()


CROWD = """
import time
from concurrent.futures import ThreadPoolExecutor
import mlflow

experiment, until = mlflow.MlflowClient().create_experiment("sample/crowd"), time.monotonic() + 60

def log(number):
    client, values = mlflow.MlflowClient(), []
    run = client.create_run(experiment).info.run_id
    while time.monotonic() < until:
        if len(values) % 50 == 0:
            client.log_text(run, str(len(values)), f"texts/{len(values)}.txt")
        values.append(len(values) / 7 + number)
        client.log_metric(run, "loss", values[-1], step=len(values))
    return run, values

with ThreadPoolExecutor(20) as clients:
    logged = dict(clients.map(log, range(20)))
client = mlflow.MlflowClient()
for run, values in logged.items():
    found = sorted(client.get_metric_history(run, "loss"), key=lambda metric: metric.step)
    assert [metric.value for metric in found] == values, run
    assert len(client.list_artifacts(run, "texts")) == -(-len(values) // 50), run
print(f"{sum(map(len, logged.values()))} values of {len(logged)} clients in 60 s, none lost")
"""
CLIENT = """
import sys
import mlflow
client = mlflow.MlflowClient()
if sys.argv[1] == "log":
    experiment = client.create_experiment("sample/pos_tagging")
    client.create_registered_model("rnn-pos_tagging")
    for number in range(3):
        run = client.create_run(experiment).info
        client.log_metric(run.run_id, "score", number, step=number)
        client.log_text(run.run_id, f"file of run {number}", "note.txt")
        client.create_model_version("rnn-pos_tagging", f"runs:/{run.run_id}/model", run.run_id)
    client.set_registered_model_alias("rnn-pos_tagging", "champion", "2")
experiment = client.get_experiment_by_name("sample/pos_tagging").experiment_id
for run in sorted(client.search_runs([experiment]), key=lambda run: run.info.run_id):
    text = mlflow.artifacts.load_text(f"runs:/{run.info.run_id}/note.txt")
    print(run.info.run_id, run.data.metrics, text)
for version in sorted(client.search_model_versions("name='rnn-pos_tagging'"), key=lambda version: int(version.version)):
    print(version.version, version.run_id)
print(client.get_model_version_by_alias("rnn-pos_tagging", "champion").version)
"""
