"""A cluster for the duration of a block of code: the one that is named, else an embedded one."""

import logging
import os
import re
import socket
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pipelines import paths, telemetry
from pipelines.cluster.resources import Resources
from rnn_core.errors import ConfigError

REACH_SECONDS = 10


@contextmanager
def joined(resources: Resources) -> Iterator[None]:
    """A cluster for the duration: the one that is named, else an embedded one that is stopped afterwards."""
    address = resources.address
    for name, value in (_SETTINGS if address else _SETTINGS | _EMBEDDED).items():
        os.environ.setdefault(name, value)
    import ray

    environment = {"PYTHONPATH": str(paths.root()), "OMP_NUM_THREADS": str(resources.threads), **_SETTINGS}
    # Over which of a machine's networks workers speak to each other.
    environment |= _given("GLOO_SOCKET_IFNAME") | _given("NCCL_SOCKET_IFNAME")
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR, "configure_logging": True}
    if address is None:
        slots = max(resources.workers * resources.threads, os.cpu_count() or 1)
        quiet |= {"num_cpus": slots, "include_dashboard": False}
        if resources.gpus:
            quiet["num_gpus"] = resources.workers * resources.gpus
    else:
        _reach(address)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            # Not None: that would join whatever cluster somebody started on this machine.
            ray.init(address=address or "local", runtime_env={"env_vars": environment}, **quiet)
        except ConnectionError as error:
            raise _unreached(address or "this machine", error) from error
    try:
        yield
    finally:
        ray.shutdown()


def at_once(resources: Resources) -> int:
    """How many trainings the cores and GPUs of the joined cluster hold side by side, 1 at least."""
    import ray

    there = ray.cluster_resources()
    return max(
        1, int(min(there.get(kind, 0) // count for kind, count in resources.a_worker().items()) // resources.workers)
    )


_SETTINGS = {
    **telemetry.OFF,
    "RAY_CHDIR_TO_TRIAL_DIR": "0",  # paths stay what they are
    "RAY_OVERRIDE_JOB_RUNTIME_ENV": "1",  # a tick that is a job of the cluster has settings of the job, and its own
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.5",  # a dead worker is noticed, a finished one collected, so soon
    # How long workers are waited for that were counted on a machine which had died, before they are counted again.
    "RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S": "20",
    "RAY_TRAIN_METRICS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",  # settings that cannot be trained with end without a score
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",  # a sweep's trials are files of their own
    "RAY_AIR_NEW_OUTPUT": "0",  # which would draw its tables although told to be quiet
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # Ctrl-C ends a sweep as it ends a training
}

_EMBEDDED = {
    # Ray's own switch for one machine: with the loopback address as the node's, its processes listen there only,
    # and on all interfaces with any other one. (It is named for the systems where it is the default.)
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER": "0",  # a process of its own, and nobody takes a person's machine away
    # Ray makes its workers give way to everything else; here they are what the machine is for.
    "RAY_worker_niceness": "0",
}


def _reach(address: str) -> None:
    """Raises ConfigError where nothing listens at the address: Ray itself would try for minutes."""
    match = re.fullmatch(r"(?:ray://)?(?P<host>.+):(?P<port>\d+)", address)
    if match is None:
        return
    try:
        socket.create_connection((match["host"], int(match["port"])), timeout=REACH_SECONDS).close()
    except OSError as error:
        raise _unreached(address, error) from error


def _given(name: str) -> dict[str, str]:
    """A variable of the driver's environment, for the workers', if it is set."""
    value = os.environ.get(name)
    return {} if value is None else {name: value}


def _unreached(address: str, error: Exception) -> ConfigError:
    allowed = "start that cluster, or unset RAY_ADDRESS for an embedded one"
    return ConfigError("RAY_ADDRESS", f"no cluster at {address}: {error}", allowed)
