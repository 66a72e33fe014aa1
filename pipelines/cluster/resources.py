"""What the deployment gives to a training: workers, threads, GPUs, and how patient it is.

The environment says it, never `params.yaml`, so that scaling out trains nothing again:
    RNN_WORKERS   workers, 1 unless given; `2:8` takes as many from 2 to 8 as there is room for, also later on
    RNN_THREADS   threads of a worker, its share of the cores unless given
    RNN_GPUS      GPUs of a worker, 0 or 1
    RNN_RETRIES   times that a dead worker is replaced, 8 unless given
    RNN_CHECKPOINT_SECONDS   at the latest after so many there is a new training state, 60 unless given
    RNN_WAIT_SECONDS         how long the cluster may have no room for the workers, 600 unless given
    RNN_TIMEOUT_SECONDS      how long a worker waits for another in a sum before all start anew, 120 unless given
    RNN_RESIZE_SECONDS       how often it is asked for room for more of them, 30 unless given
    RNN_COMPRESS  1: gradients travel between workers as bfloat16, for slow networks; 0 unless given
    RNN_STORAGE   what machines that share no folder all reach: s3://..., file:///...; none unless given
    RAY_ADDRESS   the cluster to join; without it an embedded one starts
"""

import os
from dataclasses import dataclass

from rnn_core.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class Resources:
    """What the deployment gives to one training."""

    workers: int = 1
    """At most, and as many wherever there is room for them."""
    least: int = 1
    """Of workers: with fewer a training waits."""
    threads: int = 1
    gpus: int = 0
    retries: int = 8
    checkpoint_seconds: int = 60
    wait_seconds: int = 600
    timeout_seconds: int = 120
    resize_seconds: int = 30
    compressed: bool = False
    storage: str | None = None
    """Address of what all machines reach, where they share no folder."""
    address: str | None = None
    """Of the cluster to join; None starts an embedded one, as large as it has to be."""

    @classmethod
    def from_environment(cls) -> "Resources":
        """
        Raises:
            ConfigError: a variable is no whole number in its range.
        """
        least, workers = _range("RNN_WORKERS")
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        return cls(
            workers=workers,
            least=least,
            threads=_number("RNN_THREADS", max(1, cores // workers), 1),
            gpus=_number("RNN_GPUS", cls.gpus, 0),
            retries=_number("RNN_RETRIES", cls.retries, 0),
            checkpoint_seconds=_number("RNN_CHECKPOINT_SECONDS", cls.checkpoint_seconds, 1),
            wait_seconds=_number("RNN_WAIT_SECONDS", cls.wait_seconds, 1),
            timeout_seconds=_number("RNN_TIMEOUT_SECONDS", cls.timeout_seconds, 1),
            resize_seconds=_number("RNN_RESIZE_SECONDS", cls.resize_seconds, 1),
            compressed=_number("RNN_COMPRESS", 0, 0, 1) == 1,
            storage=os.environ.get("RNN_STORAGE") or None,
            address=os.environ.get("RAY_ADDRESS"),
        )

    @property
    def elastic(self) -> bool:
        return self.least < self.workers

    def a_worker(self) -> dict[str, float]:
        """What one worker takes, in Ray's words."""
        return {"CPU": self.threads, **({"GPU": self.gpus} if self.gpus else {})}


def job_id() -> str | None:
    """The cluster job that this process runs in, if it does."""
    return os.environ.get("RAY_JOB_ID") or os.environ.get("RAY_JOB_SUBMISSION_ID")


def patient(seconds: int) -> dict[str, str]:
    """The environment of a process whose trainings wait so long for room, unless the deployment says how long."""
    return {"RNN_WAIT_SECONDS": str(seconds), **os.environ}


def _range(name: str) -> tuple[int, int]:
    """`n` or `min:max`, of at least 1."""
    text = os.environ.get(name, "1")
    numbers = [int(part) for part in text.split(":") if part.isdigit()]
    if len(numbers) != text.count(":") + 1 or len(numbers) > 2 or not 1 <= numbers[0] <= numbers[-1]:
        raise ConfigError(name, f"found {text!r}", "a whole number from 1 on, or a range of them: 2:8")
    return numbers[0], numbers[-1]


def _number(name: str, default: int, least: int, most: int | None = None) -> int:
    text = os.environ.get(name, str(default))
    if not text.isdigit() or not least <= int(text) <= (int(text) if most is None else most):
        bounds = f"from {least} on" if most is None else f"from {least} to {most}"
        raise ConfigError(name, f"found {text!r}", f"a whole number {bounds} is wanted")
    return int(text)
