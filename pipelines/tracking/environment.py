"""Which tracking server, its local store, and the settings of mlflow that must stand before its first request.

Reads MLFLOW_TRACKING_URI (default: sqlite in the main checkout), and gives mlflow's own variables shorter defaults
where the user has not set them: MLFLOW_HTTP_REQUEST_TIMEOUT, MLFLOW_HTTP_REQUEST_MAX_RETRIES.
"""

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from pipelines import locks, paths
from rnn_core.errors import UserError

SCHEMES = ("sqlite", "postgresql", "mysql", "mssql", "http", "https")


class TrackingError(UserError):
    """The tracking server cannot be reached, or refuses what it is sent."""


def set_defaults() -> None:
    """mlflow gives up on a server in seconds, not after the 8 tries of 120 s of its defaults, and prints nothing."""
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")


def for_server() -> dict[str, str]:
    """Environment of an mlflow server: 2 processes instead of the 10 of its job runner, no warnings of its own code."""
    return {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "PYTHONWARNINGS": "ignore"}


def uri() -> str:
    """Address of the tracking server or store. A relative sqlite file lies in the main checkout, also while an
    experiment runs in a copy of it.

    Raises:
        TrackingError: no kind of address that mlflow 3 takes (its file store is gone).
    """
    given = os.environ.get("MLFLOW_TRACKING_URI") or "sqlite:///mlflow.db"
    scheme = urlsplit(given).scheme.split("+")[0]
    if scheme not in SCHEMES:
        raise TrackingError("MLFLOW_TRACKING_URI", f"found {given}", f"an address with {', '.join(SCHEMES)} is wanted")
    return f"sqlite:///{paths.home() / given.removeprefix('sqlite:///')}" if scheme == "sqlite" else given


def shown(address: str) -> str:
    """The address as it may be printed: without user name and password."""
    parts = urlsplit(address)
    if not parts.netloc:
        return address
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def is_server(address: str) -> bool:
    return address.startswith("http")


def artifacts(address: str) -> Path:
    """The folder for pictures and models of a store without a server: beside its sqlite file."""
    beside = Path(address.removeprefix("sqlite:///")).parent if address.startswith("sqlite:") else paths.home()
    return beside / "mlartifacts"


@contextlib.contextmanager
def lock() -> Iterator[None]:
    """One process of this checkout at a time: what is looked up and then created is created once."""
    with locks.held(paths.home() / "data/.tracking.lock"):
        yield


def create_store(address: str) -> None:
    """Make the sqlite file where it is missing; call under `lock`.

    Its tables come about in a file of another name: mlflow takes seconds for them, and a half-made file that a
    killed process left, or two processes made at once, is beyond repair.
    """
    path = Path(address.removeprefix("sqlite:///"))
    if not address.startswith("sqlite:") or (path.exists() and path.stat().st_size):
        return
    aside = path.with_name(f"{path.name}.new")
    aside.unlink(missing_ok=True)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "mlflow", "db", "upgrade", f"sqlite:///{aside}"]
        subprocess.run(command, check=True, capture_output=True, text=True)
        os.replace(aside, path)
    except (OSError, subprocess.CalledProcessError) as error:
        reason = (getattr(error, "stderr", None) or str(error)).strip().splitlines()[-1]
        raise TrackingError(str(path), f"cannot be made: {reason}", "a folder that can be written is wanted") from error
