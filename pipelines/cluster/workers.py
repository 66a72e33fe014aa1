"""Workers for a training, wherever they are, and as many as there is room for."""

import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pipelines.cluster.resources import Resources
from pipelines.cluster.room import Room
from pipelines.cluster.tasks import last_line
from rnn_core.errors import DataError


def run(
    work: Callable[[Any, str, Callable[[], Any]], None], plan: Any, *, name: str, storage: Path, resources: Resources
) -> None:
    """`work(plan, device, notice)` on each worker, with torch.distributed between them.

    A dead worker is replaced, by all of them starting anew; with a range of workers they are also as many as there is
    room for then, and more as soon as there is. `notice` gives what is announced of the end of a worker's machine, None
    while nothing is.

    Args:
        name: of the run in Ray's storage; a new one for new configuration or data.

    Raises:
        DataError: workers died more often than RNN_RETRIES allows, or had no room for longer than RNN_WAIT_SECONDS.
    """
    import ray.train
    from ray.train.torch import TorchConfig, TorchTrainer

    def loop(config: dict[str, Any]) -> None:
        import ray.train.torch

        if config["roster"] is not None:
            context = ray.train.get_context()
            config["roster"].begins.remote(context.get_world_rank(), context.get_world_size(), socket.gethostname())
        work(config["plan"], str(ray.train.torch.get_device()), _announced)

    numbers: Any = (resources.least, resources.workers) if resources.elastic else resources.workers
    room = Room(resources)
    trainer = TorchTrainer(
        loop,
        train_loop_config={"plan": plan, "roster": room.roster},
        torch_config=TorchConfig(
            # What is on a GPU goes from GPU to GPU, and a few sums from processor to processor.
            backend="cpu:gloo,cuda:nccl" if resources.gpus else "gloo",
            timeout_s=resources.timeout_seconds,  # Ray usually notices a dead one sooner
        ),
        scaling_config=ray.train.ScalingConfig(
            num_workers=numbers,
            elastic_resize_monitor_interval_s=resources.resize_seconds,  # type: ignore[call-arg]  # V2's own, as below
            use_gpu=bool(resources.gpus),
            resources_per_worker=resources.a_worker(),
        ),
        run_config=ray.train.RunConfig(
            name=name,
            storage_path=str(storage),
            failure_config=ray.train.FailureConfig(max_failures=resources.retries),
            logging_config=ray.train.LoggingConfig(log_level="ERROR"),  # type: ignore[call-arg]  # V2's own RunConfig
        ),
    )
    with room:
        try:
            trainer.fit()
        except ray.train.TrainingFailedError as error:
            found = f"the workers failed {resources.retries + 1} times: {last_line(error)}"
            raise DataError(
                str(storage), found, "mend the cause; the same command goes on from the last state"
            ) from error
        except BaseException:
            # Ray turns an interruption into one error or another.
            if room.given_up is not None:
                raise room.given_up from None
            raise


def _announced() -> Any:
    """What Ray knows of the end of a worker's machine; None while nothing is announced.

    Ray's public call for it is a barrier of all workers; this is what it asks, without the barrier: our workers agree
    by a sum that they make anyway (`pipelines/training.py`).
    """
    from ray.train.v2._internal.execution.context import get_train_context

    return get_train_context().preemption_context.preemption_info
