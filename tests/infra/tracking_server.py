"""The shipped tracking server on a PostgreSQL of its own, for tests."""

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from tests import ports
from tests.infra.manifests import INFRA

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
AS_ADMIN = {
    "MLFLOW_TRACKING_USERNAME": SETTINGS["MLFLOW_AUTH_ADMIN_USERNAME"],
    "MLFLOW_TRACKING_PASSWORD": SETTINGS["MLFLOW_AUTH_ADMIN_PASSWORD"],
}
"""In the environment of a client."""


def possible() -> bool:
    """Whether this machine has PostgreSQL, and lets its user be taken."""
    return os.geteuid() == 0 and bool(_programs())


def _programs() -> list[Path]:
    return sorted(Path("/usr/lib/postgresql").glob("*/bin"))


@contextlib.contextmanager
def database() -> Iterator[dict[str, str]]:
    """PostgreSQL on loopback with a password and one empty database; SETTINGS with the variables that find it."""
    folder = Path(tempfile.mkdtemp(prefix="postgres"))  # its user may not enter pytest's own folder
    shutil.chown(folder, "postgres")
    secret, port = folder / "password", str(ports.free())
    secret.write_text(SETTINGS["PGPASSWORD"])
    shutil.chown(secret, "postgres")

    def run(program: str, *words: str) -> None:
        command = ["runuser", "-u", "postgres", "--", str(_programs()[-1] / program), "-D", str(folder / "data")]
        subprocess.run([*command, *words], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    run("initdb", "-U", "mlflow", "--auth=scram-sha-256", f"--pwfile={secret}")
    options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={folder}"
    run("pg_ctl", "-w", "-o", options, "-l", str(folder / "log"), "start")
    settings = {**SETTINGS, "PGPORT": port}
    try:
        subprocess.run(["createdb", "mlflow"], env={**os.environ, **settings}, check=True)
        yield settings
    finally:
        run("pg_ctl", "-m", "fast", "-w", "stop")
        shutil.rmtree(folder)


class Server:
    """The shipped script's, asked over HTTP."""

    def __init__(self, settings: dict[str, str], log: Path, host: str = "127.0.0.1", workers: int = 1):
        """
        Args:
            host: address that it listens at.
            workers: processes.
        """
        self.host, self.port = host, ports.free(host)
        variables = {**os.environ, **settings, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
        variables["MLFLOW_SERVER_ALLOWED_HOSTS"] = f"{host}:{self.port}"
        command = [str(SERVE), "--host", host, "--port", str(self.port), "--workers", str(workers)]
        with log.open("w") as out:
            self.process = subprocess.Popen(command, env=variables, stdout=out, stderr=out, start_new_session=True)
        deadline = time.monotonic() + 400
        while self.status("/health") != 200:
            assert self.process.poll() is None, log.read_text()[-2000:]
            assert time.monotonic() < deadline, log.read_text()[-2000:]
            time.sleep(1)

    @property
    def address(self) -> str:
        return f"http://{self.host}:{self.port}"

    def status(self, path: str, **headers: str) -> int:
        request = urllib.request.Request(self.address + path, headers=headers)
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
