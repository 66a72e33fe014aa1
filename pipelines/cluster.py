"""The only file that starts or joins Ray: workers for a training, wherever they are.

The environment says how much there is, never `params.yaml`, so that scaling out trains nothing again:
    RNN_WORKERS   workers, 1 unless given        RNN_THREADS  threads of a worker, its share of the cores unless given
    RNN_GPUS      GPUs of a worker, 0 or 1       RAY_ADDRESS  the cluster to join; without it an embedded one starts
    RNN_RETRIES   times that a dead worker is replaced, 8 unless given
"""

import logging
import os
import re
import socket
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from pipelines import paths, telemetry
from rnn_core.errors import ConfigError, DataError

COLLECTIVE_TIMEOUT = timedelta(seconds=120)
"""How long a worker waits for a dead one in a reduction; Ray usually notices sooner."""

REACH_SECONDS = 10
BLOCK_BYTES = 2**18
"""Of rows that go from one process to another together: small, so that all workers have some and progress is seen."""
BATCH_ROWS = 256


@dataclass(frozen=True, kw_only=True)
class Resources:
    """What the deployment gives to one training."""

    workers: int
    threads: int
    gpus: int
    retries: int

    @classmethod
    def from_environment(cls) -> "Resources":
        """
        Raises:
            ConfigError: a variable is no whole number in its range.
        """
        workers = _number("RNN_WORKERS", 1, 1)
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        threads = _number("RNN_THREADS", max(1, cores // workers), 1)
        gpus, retries = _number("RNN_GPUS", 0, 0), _number("RNN_RETRIES", 8, 0)
        return cls(workers=workers, threads=threads, gpus=gpus, retries=retries)


def job_id() -> str | None:
    """The cluster job that this process runs in, if it does."""
    return os.environ.get("RAY_JOB_ID") or os.environ.get("RAY_JOB_SUBMISSION_ID")


@contextmanager
def joined(resources: Resources) -> Iterator[None]:
    """A cluster for the duration: the one that RAY_ADDRESS names, else an embedded one that is stopped afterwards."""
    address = os.environ.get("RAY_ADDRESS")
    for name, value in (_SETTINGS if address else _SETTINGS | _EMBEDDED).items():
        os.environ.setdefault(name, value)
    import ray

    environment = {"PYTHONPATH": str(paths.root()), "OMP_NUM_THREADS": str(resources.threads), **_SETTINGS}
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
    wanted = {"CPU": resources.workers * resources.threads, "GPU": resources.workers * resources.gpus}
    return max(1, min(int(there.get(kind, 0) // count) for kind, count in wanted.items() if count))


def run(work: Callable[[Any, str], None], plan: Any, *, name: str, storage: Path, resources: Resources) -> None:
    """`work(plan, device)` on each worker, with torch.distributed between them; a dead worker is replaced.

    Args:
        name: of the run in Ray's storage; a new one for new configuration or data.

    Raises:
        DataError: workers died more often than RNN_RETRIES allows.
    """
    import ray.train
    from ray.train.torch import TorchConfig, TorchTrainer

    def loop(config: dict[str, Any]) -> None:
        import ray.train.torch

        work(config["plan"], str(ray.train.torch.get_device()))

    trainer = TorchTrainer(
        loop,
        train_loop_config={"plan": plan},
        torch_config=TorchConfig(
            backend="nccl" if resources.gpus else "gloo", timeout_s=int(COLLECTIVE_TIMEOUT.total_seconds())
        ),
        scaling_config=ray.train.ScalingConfig(
            num_workers=resources.workers,
            use_gpu=bool(resources.gpus),
            resources_per_worker={"CPU": resources.threads, **({"GPU": resources.gpus} if resources.gpus else {})},
        ),
        run_config=ray.train.RunConfig(
            name=name,
            storage_path=str(storage),
            failure_config=ray.train.FailureConfig(max_failures=resources.retries),
            logging_config=ray.train.LoggingConfig(log_level="ERROR"),  # type: ignore[call-arg]  # V2's own RunConfig
        ),
    )
    try:
        trainer.fit()
    except ray.train.TrainingFailedError as error:
        found = f"the workers failed {resources.retries + 1} times: {_last_line(error)}"
        raise DataError(str(storage), found, "mend the cause; the same command goes on from the last state") from error


def stream(parts: Sequence[Any], read: Any, work: type, arguments: tuple[Any, ...], resources: Resources) -> Any:
    """Rows of Ray Data that come of `parts`, in their order, of which a bounded number is held at a time.

    Args:
        parts: pieces of the input, as Ray's items; each is read by one task.
        read: a function from a batch with a single part to tables of rows, a generator.
        work: a class; each worker makes one of `arguments`, once, and calls it with tables of up to BATCH_ROWS rows.

    Raises:
        DataError: a worker failed.
    """
    import ray.exceptions

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of Ray's own settings
        data = _streamed(parts, read, work, arguments, resources)
    try:
        yield from data.iter_rows()
    except ray.exceptions.RayError as error:
        raise DataError("the workers", _last_line(error), "mend the cause and run it again") from error


def _streamed(parts: Sequence[Any], read: Any, work: type, arguments: tuple[Any, ...], resources: Resources) -> Any:
    import ray.data

    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = context.print_on_execution_start = False
    context.target_max_block_size = BLOCK_BYTES
    context.execution_options.preserve_order = True
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    data: ray.data.Dataset = ray.data.from_items(list(parts), override_num_blocks=len(parts))
    # Reading takes no core from the workers, which have all of them.
    data = data.map_batches(read, batch_size=1, batch_format="pyarrow", num_cpus=0, concurrency=resources.workers)
    return data.map_batches(
        work,
        fn_constructor_args=arguments,
        compute=ray.data.ActorPoolStrategy(size=resources.workers),
        batch_size=BATCH_ROWS,
        batch_format="pyarrow",
        num_cpus=resources.threads,
        num_gpus=resources.gpus or None,
    )


def begin(work: Callable[..., None], *arguments: Any) -> Any:
    """`work`, which calls `run`, in a process of Ray's: there, in a main thread, `abort` can end it in good order."""
    import ray

    return ray.remote(num_cpus=0, max_retries=0)(work).options(scheduling_strategy="DEFAULT").remote(*arguments)


def goes_on(begun: Any, seconds: float) -> bool:
    """Whether it is still at work, after a wait of at most so long.

    Raises:
        ray.exceptions.RayError: it broke down.
    """
    import ray

    ready, _ = ray.wait([begun], timeout=seconds)
    if ready:
        ray.get(begun)
    return not ready


def abort(begun: Any) -> None:
    """End it as Ctrl-C would: its workers are gone and their cores free when this returns."""
    import ray
    from ray.exceptions import RayError

    ray.cancel(begun, recursive=False)
    with suppress(RayError):
        ray.get(begun)


_SETTINGS = {
    **telemetry.OFF,
    "RAY_CHDIR_TO_TRIAL_DIR": "0",  # paths stay what they are
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.5",  # a dead worker is noticed, a finished one collected, so soon
    "RAY_TRAIN_METRICS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",  # a sweep's trials are files of their own
    "RAY_AIR_NEW_OUTPUT": "0",  # which would draw its tables although told to be quiet
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # Ctrl-C ends a sweep as it ends a training
}

_EMBEDDED = {
    # Ray's own switch for one machine: with the loopback address as the node's, its processes listen there only,
    # and on all interfaces with any other one. (It is named for the systems where it is the default.)
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
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


def _unreached(address: str, error: Exception) -> ConfigError:
    allowed = "start that cluster, or unset RAY_ADDRESS for an embedded one"
    return ConfigError("RAY_ADDRESS", f"no cluster at {address}: {error}", allowed)


def _number(name: str, default: int, least: int) -> int:
    text = os.environ.get(name, str(default))
    if not text.isdigit() or int(text) < least:
        raise ConfigError(name, f"found {text!r}", f"a whole number from {least} on is wanted")
    return int(text)


def _last_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__
