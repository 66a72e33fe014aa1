"""`make repro JOBS=4`: blocks side by side on a cluster, each training with workers of its own; Ray decides what fits.

DVC knows no such thing, but locks only what a stage reads and writes while it runs one: so all data are made first, as
ever, and then each block's further stages are run one by one, several blocks at a time.
"""

import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TextIO

from pipelines import cluster, paths
from rnn_core.errors import ConfigError, DataError

STAGES = ("train", "evaluate", "register")
PATIENCE_SECONDS = 24 * 60 * 60
"""A training waits for room while the others of this run have it."""


def check(jobs: int) -> None:
    """
    Raises:
        ConfigError: blocks cannot run side by side here.
    """
    if jobs < 1:
        raise ConfigError(f"JOBS={jobs}", "no such number of blocks", "1 or more")
    if jobs > 1 and not cluster.Resources.from_environment().address:
        allowed = "a cluster that they share: RAY_ADDRESS=<host>:<port>, of `ray start --head` on one machine or many"
        raise ConfigError(f"JOBS={jobs}", "no cluster; each block would start one of its own on all cores", allowed)


def run(file: str, blocks: Sequence[str], jobs: int, lock: TextIO) -> None:
    """Train, evaluate and register all blocks that are not up to date, at most `jobs` at a time.

    Args:
        file: the suite's dvc.yaml.
        lock: held by all that runs.

    Raises:
        DataError: a block failed; the others went on to their ends.
    """
    crew = _Crew(file, lock, max(map(len, blocks)))
    handler = signal.signal(signal.SIGINT, lambda *_: crew.stopped.set())  # the blocks have it too, and end in order
    try:
        with ThreadPoolExecutor(jobs) as pool:
            well = list(pool.map(crew.block, blocks))
    finally:
        signal.signal(signal.SIGINT, handler)
    if crew.stopped.is_set():
        raise KeyboardInterrupt
    failed = [block for block, is_well in zip(blocks, well, strict=True) if not is_well]
    if failed:
        raise DataError(", ".join(failed), "failed, see above", "mend the cause; the same command does what is missing")


class _Crew:
    """Runs blocks, and prints what they say behind their names."""

    def __init__(self, file: str, lock: TextIO, width: int):
        self._file, self._lock, self._width = file, lock, width
        self.stopped = threading.Event()

    def block(self, name: str) -> bool:
        """Whether all its stages went well."""
        return all(not self.stopped.is_set() and self._stage(f"{stage}@{name}", name) for stage in STAGES)

    def _stage(self, stage: str, name: str) -> bool:
        command = [sys.executable, "-m", "dvc", "--wait-for-lock", "repro", "--single-item", f"{self._file}:{stage}"]
        environment = cluster.patient(PATIENCE_SECONDS) | {"PYTHONUNBUFFERED": "1"}
        with subprocess.Popen(
            command,
            cwd=paths.root(),
            env=environment,
            pass_fds=[self._lock.fileno()],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as process:
            assert process.stdout is not None
            for line in process.stdout:
                print(f"{name:<{self._width}} | {line}", end="", flush=True)
        return process.returncode == 0
