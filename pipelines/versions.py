"""Which code and which torch a machine has: workers of one training have the same, or it is not one training."""

import hashlib
import socket

import torch

from pipelines import files, paths
from rnn_core.errors import ConfigError


def here(task: str) -> dict[str, str]:
    """`code`: digest of the code that decides what a training computes; what only looks at a trained network
    (`rnn_core/inspect`) does not. `torch`: without the name of its build, which differs from GPU to CPU."""
    root = paths.REPOSITORY  # where the code that runs lies
    core = [path for path in (root / "rnn_core").rglob("*.py") if path.parent != root / "rnn_core/inspect"]
    sources = sorted(core) + [root / f"pipelines/{name}.py" for name in ("training", "group", f"tasks/{task}")]
    code = hashlib.sha256("".join(files.sha256(path) for path in sources).encode()).hexdigest()
    return {"code": code, "torch": torch.__version__.partition("+")[0]}


def check(task: str, wanted: dict[str, str]) -> None:
    """
    Raises:
        ConfigError: this machine has others.
    """
    found = here(task)
    differing = [name for name in wanted if found[name] != wanted[name]]
    if differing:
        ours, theirs = (", ".join(f"{name} {of[name][:12]}" for name in differing) for of in (found, wanted))
        raise ConfigError(
            f"machine {socket.gethostname()}", f"found {ours}", f"{theirs}, as where training was started"
        )
