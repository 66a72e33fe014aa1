"""Processes that share work: results come in the order of the calls, a bounded number at a time."""

import contextlib
import itertools
import multiprocessing
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from typing import Any, Protocol, TypeVar

Result = TypeVar("Result")


class Pool(Protocol):
    """Whoever does calls elsewhere: another process of this machine, or of a cluster."""

    def submit(self, function: Callable[..., Any], /, *arguments: Any) -> Any:
        """Begins the call; the answer's `result()` waits for what it returns, or raises what it raises."""
        ...


def in_order(
    function: Callable[..., Result], calls: Iterable[tuple[Any, ...]], pool: Pool | None, ahead: int
) -> Iterator[Result]:
    """Results in the order of the calls; at most `ahead` calls are held in memory. Without a pool: in this process."""
    if pool is None:
        yield from itertools.starmap(function, calls)
        return
    waiting: deque[Any] = deque()
    for call in calls:
        waiting.append(pool.submit(function, *call))
        if len(waiting) >= ahead:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


@contextlib.contextmanager
def pool(processes: int, modules: Sequence[str]) -> Iterator[Executor | None]:
    """Processes that have imported `modules`, or None where one is enough. No plain fork: the parent has threads."""
    if processes <= 1:
        yield None
        return
    method = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"
    context = multiprocessing.get_context(method)
    if method == "forkserver":
        context.set_forkserver_preload(list(modules))
    with ProcessPoolExecutor(processes, mp_context=context) as executor:
        try:
            yield executor
        finally:
            executor.shutdown(cancel_futures=True)


def cores() -> int:
    """Those that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
