"""`make ui` shows the store that the trainings write to, or says where the server is that has it."""

import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from pipelines import ui
from tests.pipelines import spooled

ROOT = Path(__file__).resolve().parents[2]


def test_a_server_is_named_and_none_started(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://me:secret@127.0.0.1:{port}/mlflow/")
    ui.show(None)
    said = capsys.readouterr()
    assert said.out == f"The tracking server is at http://127.0.0.1:{port}/mlflow/?workflowType=machine_learning\n"
    assert said.err.startswith(f"warning: tracking server http://127.0.0.1:{port}/mlflow/: cannot be reached")


def test_a_taken_port_is_left_alone() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert ui.free_port(port) not in (port, 0)


def test_it_serves_until_it_is_stopped(
    tmp_path_factory: pytest.TempPathFactory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spooled.empty_store(tmp_path_factory, tmp_path / "mlflow.db")
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    command = [sys.executable, "-m", "pipelines.ui", "--port", str(ui.free_port(0))]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        address = next(line.split()[-1] for line in process.stdout if line.startswith("MLflow is at "))
        assert urllib.request.urlopen(address).status == 200
        process.send_signal(signal.SIGTERM)
        process.communicate()
    assert process.returncode == 0
    with pytest.raises(OSError, match="refused"):
        urllib.request.urlopen(address)
