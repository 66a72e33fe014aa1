"""`mlflow models serve` as a user starts it, on loopback, pickle disallowed, and questions to it."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pipelines import ui

START_SECONDS = 400


@contextlib.contextmanager
def serving(models: Mapping[str, str], folder: Path, **variables: str) -> Iterator[dict[str, str]]:
    """All models at once, by their addresses for mlflow; gives the addresses that answer, by the same names.

    Args:
        folder: they run in it, without this repository's code; their messages go there.
        variables: of their environment.
    """
    known = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | variables
    known |= {"MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false", "OMP_NUM_THREADS": "1"}
    known["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    addresses = {}
    with contextlib.ExitStack() as stack:
        for name, model in models.items():
            port = ui.free_port(0)
            command = [sys.executable, "-m", "mlflow", "models", "serve", "-m", model, "--env-manager", "local"]
            command += ["--host", ui.HOST, "--port", str(port)]
            log = stack.enter_context((folder / f"{name}.log").open("w"))
            process = subprocess.Popen(command, cwd=folder, env=known, stdout=log, stderr=log, start_new_session=True)
            stack.callback(_end, process)
            addresses[name] = f"http://{ui.HOST}:{port}"
        for name, address in addresses.items():
            _wait(address, folder / f"{name}.log")
        yield addresses


def ask(address: str, body: bytes | dict[str, Any], kind: str = "application/json") -> tuple[int, str]:
    """Status and text of the answer to a request."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    request = urllib.request.Request(f"{address}/invocations", data, {"Content-Type": kind})
    try:
        with _open(request) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def _open(request: Any) -> Any:
    return urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=120)


def _end(process: subprocess.Popen[Any]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    process.wait()


def _wait(address: str, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError):
            _open(f"{address}/ping").close()
            return
        time.sleep(0.3)
    raise AssertionError(log.read_text())
