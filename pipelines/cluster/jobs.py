"""Jobs of a cluster that stands: handed in once however often one asks, and followed to their end.

Ray itself has no schedule and no second try. A job's name is what makes a tick one tick: asked again, the same job is
followed; only where it failed a further attempt gets the next number.
"""

import re
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from rnn_core.errors import ConfigError, DataError

LOOK_SECONDS = 2.0
PATIENCE_SECONDS = 300.0
"""How long a job's cluster may not answer before it is given up."""


def submit(
    *,
    address: str,
    name: str,
    entrypoint: str,
    runtime: Mapping[str, Any],
    cores: float = 0.0,
) -> tuple[str, bool]:
    """Hand in `entrypoint` under `name`, unless an attempt of that name runs or has succeeded.

    Args:
        address: of the cluster's job server, `http://host:8265`.
        runtime: Ray's runtime environment.
        cores: that the driver takes of a node; with 0 it runs on the head.

    Returns:
        The job's id, and whether it was handed in now.

    Raises:
        ConfigError: no job server there, or it refuses the token.
    """
    with _told(address):
        client = _client(address)
        attempts = _attempts(client, name)
        if attempts and attempts[-1][1] not in ("FAILED", "STOPPED"):
            return attempts[-1][0], False
        job = name if not attempts else f"{name}.{len(attempts) + 1}"
        try:
            client.submit_job(
                entrypoint=entrypoint, submission_id=job, runtime_env=dict(runtime), entrypoint_num_cpus=cores or None
            )
        except RuntimeError:
            if job not in dict(_attempts(client, name)):  # else somebody else was faster
                raise
            return job, False
    return job, True


def follow(address: str, job: str) -> int:
    """Print what the job prints until it ends. Returns its driver's exit status.

    Raises:
        ConfigError: it refuses the token.
        DataError: the cluster has not answered for PATIENCE_SECONDS.
    """
    from ray.exceptions import AuthenticationError

    shown, heard = 0, time.monotonic()
    while True:
        try:
            client = _client(address)
            info = client.get_job_info(job)  # before its log, which is whole then
            shown = _show(client.get_job_logs(job), shown)
            if info.status.is_terminal():
                return _status(info)
            heard = time.monotonic()
        except AuthenticationError as error:
            raise _refused(address, error) from error
        except (OSError, RuntimeError) as error:
            if time.monotonic() - heard > PATIENCE_SECONDS:
                allowed = "a cluster that answers; the job goes on there, the same command follows it"
                raise DataError(address, f"no answer for {PATIENCE_SECONDS:.0f} s: {_first(error)}", allowed) from error
        time.sleep(LOOK_SECONDS)


def _status(info: Any) -> int:
    """Ray knows the status of a driver that ended by itself."""
    if info.driver_exit_code is not None:
        return int(info.driver_exit_code)
    if info.status == "SUCCEEDED":
        return 0
    print(f"the job ended as {info.status}: {info.message}", flush=True)
    return 1


def _show(log: str, shown: int) -> int:
    """Print it from the character `shown` on. Returns up to which one."""
    print(log[shown:], end="", flush=True)
    return max(shown, len(log))


def _attempts(client: Any, name: str) -> Sequence[tuple[str, str]]:
    """Id and status of all jobs of this name, in their order."""
    pattern = re.compile(rf"{re.escape(name)}(?:\.(\d+))?")
    found = [(pattern.fullmatch(job.submission_id or ""), job) for job in client.list_jobs()]
    numbered = sorted((int(match[1] or 1), job.submission_id, str(job.status.value)) for match, job in found if match)
    return [(job, status) for _, job, status in numbered]


def _client(address: str) -> Any:
    from ray.job_submission import JobSubmissionClient

    return JobSubmissionClient(address)


@contextmanager
def _told(address: str) -> Iterator[None]:
    """What Ray's client says, as an error that names the place."""
    from ray.exceptions import AuthenticationError

    try:
        yield
    except (OSError, RuntimeError, AuthenticationError) as error:
        raise _refused(address, error) from error


def _refused(address: str, error: Exception) -> ConfigError:
    allowed = "a cluster's job server that answers, with RAY_AUTH_MODE=token and its token in RAY_AUTH_TOKEN_PATH"
    return ConfigError(address, _first(error), allowed)


def _first(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:300] if lines else type(error).__name__
