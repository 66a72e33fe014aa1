"""The environment of a tick and of what it runs.

Reads RNN_WEBHOOK, which no process below the tick gets to see, and MLFLOW_TRACKING_URI, whose default lies in the work
folder. Stages call `python` from the clone's `.venv`, which it has not: the tick's own Python comes first in PATH.
"""

import os
import sys
from pathlib import Path

from pipelines.retrain.settings import CLONE
from rnn_core.errors import ConfigError

STORE = "MLFLOW_TRACKING_URI"


def webhook() -> str | None:
    """Where a tick's summary is sent: a secret."""
    return os.environ.get("RNN_WEBHOOK") or None


def enter(work: Path) -> Path:
    """For this process and those below it: the clone in a work folder is the checkout, and the store beside it that of
    models and runs, unless MLFLOW_TRACKING_URI names another. Returns the clone.

    Raises:
        ConfigError: the store's address is a relative one.
    """
    clone = work / CLONE
    given = os.environ.get(STORE) or f"sqlite:///{work}/mlflow.db"
    if given.startswith("sqlite:///") and not given.startswith("sqlite:////"):
        allowed = "an absolute one (sqlite:////...): the clone that it would lie in may be made anew"
        raise ConfigError(STORE, f"found {given}, relative to a checkout", allowed)
    os.environ |= {STORE: given, "DVC_ROOT": str(clone)}
    return clone


def of_commands() -> dict[str, str]:
    """For git, DVC and the stages."""
    own = {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_SSH_COMMAND": os.environ.get("GIT_SSH_COMMAND", "ssh -o BatchMode=yes"),
        "PYTHONUNBUFFERED": "1",
    }
    hidden = ("RNN_WEBHOOK", "DVC_ROOT", "GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE")
    return {name: value for name, value in os.environ.items() if name not in hidden} | own
