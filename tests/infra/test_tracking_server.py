"""The tracking server for many: its compose file and scripts; and, as a long test, the server itself on PostgreSQL."""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.infra.manifests import INFRA, ROOT

COMPOSE = INFRA / "mlflow/compose.yaml"
SERVE = INFRA / "mlflow/serve.sh"
SETTINGS = {
    "MLFLOW_AUTH_ADMIN_USERNAME": "admin",
    "MLFLOW_AUTH_ADMIN_PASSWORD": "planted-admin-password",
    "MLFLOW_FLASK_SERVER_SECRET_KEY": "planted-secret-key",
    "MLFLOW_SERVER_ALLOWED_HOSTS": "127.0.0.1",
    "MLFLOW_ARTIFACTS_DESTINATION": "s3://bucket/folder",
    "PGHOST": "127.0.0.1",
    "PGUSER": "mlflow",
    "PGDATABASE": "mlflow",
    "PGPASSWORD": "planted-database-password",
}
PLANTED = [value for value in SETTINGS.values() if value.startswith("planted")]
BINARIES = Path("/usr/lib/postgresql")


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


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@pytest.fixture
def database() -> Iterator[dict[str, str]]:
    """PostgreSQL on loopback with a password; the variables that find it."""
    found = sorted(BINARIES.glob("*/bin"))
    if not found or os.geteuid() != 0:
        pytest.skip("PostgreSQL's programs are not on this machine, or this is not root")
    folder = Path(tempfile.mkdtemp(prefix="postgres"))  # its user may not enter pytest's own folder
    shutil.chown(folder, "postgres")
    secret, port = folder / "password", str(_free_port())
    secret.write_text(SETTINGS["PGPASSWORD"])
    shutil.chown(secret, "postgres")

    def run(program: str, *words: str) -> None:
        command = ["runuser", "-u", "postgres", "--", str(found[-1] / program), "-D", str(folder / "data"), *words]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    run("initdb", "-U", "mlflow", "--auth=scram-sha-256", f"--pwfile={secret}")
    settings = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={folder}"
    run("pg_ctl", "-w", "-o", settings, "-l", str(folder / "log"), "start")
    try:
        yield {**SETTINGS, "PGPORT": port}
    finally:
        run("pg_ctl", "-m", "fast", "-w", "stop")
        shutil.rmtree(folder)


class Server:
    """The shipped script's, asked over HTTP."""

    def __init__(self, settings: dict[str, str], log: Path):
        self.port = _free_port()
        variables = {**os.environ, **settings, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
        variables["MLFLOW_SERVER_ALLOWED_HOSTS"] = f"127.0.0.1:{self.port}"
        command = [str(SERVE), "--port", str(self.port), "--workers", "1"]
        with log.open("w") as out:
            self.process = subprocess.Popen(command, env=variables, stdout=out, stderr=out, start_new_session=True)
        deadline = time.monotonic() + 400
        while self.status("/health") != 200:
            assert self.process.poll() is None, log.read_text()[-2000:]
            assert time.monotonic() < deadline, log.read_text()[-2000:]
            time.sleep(1)

    def status(self, path: str, **headers: str) -> int:
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code
        except OSError:
            return 0

    def end(self) -> None:
        self.process.terminate()
        self.process.wait()


def _basic(password: str) -> str:
    return "Basic " + b64encode(f"admin:{password}".encode()).decode()


@pytest.mark.long
@pytest.mark.scheduler
@pytest.mark.timeout(1500)
def test_the_server_keeps_strangers_out_and_comes_back_from_a_backup(database: dict[str, str], tmp_path: Path) -> None:
    settings = database | {"MLFLOW_ARTIFACTS_DESTINATION": str(tmp_path / "artifacts")}
    variables = {**os.environ, **settings, "PYTHONPATH": str(ROOT)}

    def run(*command: str, **further: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(command, env=variables | further, capture_output=True, text=True, cwd=ROOT)

    assert run("createdb", "mlflow").returncode == 0
    server = Server(settings, tmp_path / "server.log")
    search, right = "/api/2.0/mlflow/experiments/search?max_results=5", _basic(SETTINGS["MLFLOW_AUTH_ADMIN_PASSWORD"])
    try:
        assert server.status(search) == 401
        assert server.status(search, Authorization=_basic("wrong")) == 401
        assert server.status(search, Authorization=right) == 200
        assert server.status(search, Authorization=right, Host="elsewhere.example.org") == 403
        address = f"http://127.0.0.1:{server.port}"
        logged = run(sys.executable, "-c", CLIENT, "log", MLFLOW_TRACKING_URI=address, **AS_ADMIN)
        assert logged.returncode == 0, logged.stderr[-2000:]
        shown = subprocess.run(["ps", "axww", "-o", "args"], capture_output=True, text=True, check=True).stdout
        assert not [secret for secret in PLANTED if secret in shown]
        saved = run(sys.executable, "-m", "infra.mlflow.backup", str(tmp_path / "backup"))
        assert saved.returncode == 0, saved.stderr
    finally:
        server.end()
    assert not [secret for secret in PLANTED if secret in (tmp_path / "server.log").read_text()]

    assert run("dropdb", "mlflow").returncode == 0
    assert run("createdb", "mlflow").returncode == 0
    shutil.rmtree(tmp_path / "artifacts")
    restored = run(sys.executable, "-m", "infra.mlflow.restore", str(tmp_path / "backup"))
    assert restored.returncode == 0, restored.stderr
    again = run(sys.executable, "-m", "infra.mlflow.restore", str(tmp_path / "backup"))
    assert again.returncode == 1, "over a database that holds something"
    server = Server(settings, tmp_path / "restored.log")
    try:
        address = f"http://127.0.0.1:{server.port}"
        assert server.status(search) == 401
        found = run(sys.executable, "-c", CLIENT, "find", MLFLOW_TRACKING_URI=address, **AS_ADMIN)
        assert found.returncode == 0, found.stderr[-2000:]
        assert found.stdout.strip() == logged.stdout.strip(), "every run, version and file"
    finally:
        server.end()


AS_ADMIN = {"MLFLOW_TRACKING_USERNAME": "admin", "MLFLOW_TRACKING_PASSWORD": SETTINGS["MLFLOW_AUTH_ADMIN_PASSWORD"]}
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
