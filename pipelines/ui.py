"""`make ui`: MLflow's web pages over the store that the trainings write to, with links to what is compared there.

    python -m pipelines.ui [--port 5000]

Where MLFLOW_TRACKING_URI names a server, that one has pages of its own: its address and the links are printed.
"""

import argparse
import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator

from pipelines import cli, params, paths, tracking
from pipelines.tracking import environment

HOST = "127.0.0.1"
PAGE = "/?workflowType=machine_learning"
"""mlflow 3 opens in its mode for language-model applications otherwise, with a narrow column for the charts."""
DEFAULT_PORT = 5000
START_SECONDS = 300
"""A busy machine takes minutes over what takes ten seconds on a quiet one."""


@contextlib.contextmanager
def serve(store: str, port: int) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """A server over a store, answering when the block begins, ended with it: its address and process.

    Raises:
        TrackingError: it ended by itself, or did not answer within START_SECONDS.
    """
    with environment.lock():
        environment.create_store(store)
    address = f"http://{HOST}:{port}"
    command = [sys.executable, "-m", "mlflow", "server", "--host", HOST, "--port", str(port), "--workers", "1"]
    # Files lie where they would lie without the server, so that a training may use the store either way.
    command += ["--backend-store-uri", store, "--default-artifact-root", environment.artifacts(store).as_uri()]
    command += ["--uvicorn-opts", "--log-level warning"]
    process = subprocess.Popen(command, env=environment.for_server(), start_new_session=True)
    try:
        _wait(process, address)
        yield address, process
    finally:
        # The server's worker is a process of its own, which outlives its parent where only that one is ended.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        process.wait()


def free_port(wanted: int) -> int:
    """`wanted`, or another one where somebody listens on it."""
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            taken.bind((HOST, wanted))
        except OSError:
            taken.bind((HOST, 0))
        return int(taken.getsockname()[1])


def show(port: int | None) -> None:
    """Serve until Ctrl+C; where MLFLOW_TRACKING_URI names a server, say where its pages are only."""
    uri = environment.uri()
    if environment.is_server(uri):
        address = environment.shown(uri).rstrip("/")
        print(f"The tracking server is at {address}{PAGE}")
        try:
            print(links(address))
        except tracking.TrackingError as error:
            print(f"warning: {error}", file=sys.stderr)
        return
    tracking.settle()
    with serve(uri, port or free_port(DEFAULT_PORT)) as (address, process):
        print(f"MLflow is at {address}{PAGE}")
        print(f"{links(address)}\nCtrl+C stops it.", flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            process.wait()


def links(address: str) -> str:
    """Where the runs of each block are compared, and its model; of blocks that the tracking store has runs of.

    Raises:
        TrackingError: the store cannot be reached.
    """
    metrics = {
        (suite, block): params.block(suite, block).evaluate.metric
        for suite in paths.SUITES
        for block in params.blocks(suite)
    }
    found = tracking.connect().compared(address, metrics)
    lines = []
    for one in found:
        lines += [one.experiment, f"  charts  {one.charts}", f"  table   {one.table}"]
        lines += [f"  model   {one.model}"] if one.model else []
    return "\n".join(lines) or "No block has been trained yet: `make repro` does it."


def _wait(process: subprocess.Popen[bytes], address: str) -> None:
    deadline = time.monotonic() + START_SECONDS
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    while process.poll() is None and time.monotonic() < deadline:
        try:
            direct.open(f"{address}/health", timeout=5).close()
            return
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
    raise tracking.TrackingError(address, "the server did not start", "its messages above say why")


def main() -> None:
    parser = argparse.ArgumentParser(description="Show runs, curves and models in the browser.")
    parser.add_argument("--port", type=int, help=f"default: {DEFAULT_PORT}, or a free one where that is taken")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # ends the server too
    cli.run(lambda: show(arguments.port))


if __name__ == "__main__":
    main()
