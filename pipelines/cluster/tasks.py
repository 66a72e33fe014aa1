"""Ray's processes for what is no training by `run`: rows of Ray Data, and work that can be ended in good order."""

import logging
import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from pipelines.cluster.resources import Resources
from rnn_core.errors import DataError

BLOCK_BYTES = 2**18
"""Of rows that go from one process to another together: small, so that all workers have some and progress is seen."""
BATCH_ROWS = 256


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
        raise DataError("the workers", last_line(error), "mend the cause and run it again") from error


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


class Pool:
    """Calls of functions on whatever machines the cluster has, a core each, for `pipelines/parallel.py`."""

    def __init__(self) -> None:
        import ray

        self._ray = ray
        self.cores = max(1, int(ray.cluster_resources().get("CPU", 1)))

    def submit(self, function: Callable[..., Any], /, *arguments: Any) -> "Begun":
        return Begun(self._ray.remote(num_cpus=1)(_called).remote(function, *arguments))


class Begun:
    """A call on its way."""

    def __init__(self, reference: Any):
        self._reference = reference

    def result(self) -> Any:
        """
        Raises:
            UserError: what the call raised.
            DataError: its process or machine failed, again and again.
        """
        import ray
        from ray.exceptions import RayError, RayTaskError

        try:
            return ray.get(self._reference)
        except RayTaskError as error:
            raise error.cause from None
        except RayError as error:
            raise DataError("the cluster", last_line(error), "mend the cause and run it again") from error


def _called(function: Callable[..., Any], *arguments: Any) -> Any:
    """What Ray knows by name, whatever is called."""
    return function(*arguments)


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


def last_line(error: BaseException) -> str:
    """Of what Ray says, the cause."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__
