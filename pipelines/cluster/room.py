"""Whether the cluster has room for a training's workers: what is missing is said, and waited for with an end."""

import _thread
import threading
import time
from collections import Counter
from types import TracebackType
from typing import Any, Self

from pipelines.cluster.resources import Resources
from rnn_core.errors import DataError

LOOK_SECONDS = 1.0
GRACE_SECONDS = 15.0
"""Workers take some to start; sooner nothing is said."""
INSIST_SECONDS = 5.0


class Room:
    """For the duration of a training. When it gives up it interrupts the main thread, as Ctrl-C would.

    In an embedded cluster there is always room: nothing is watched, and no process is spent on it.
    """

    def __init__(self, resources: Resources):
        self._resources = resources
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="room", daemon=True)
        self.roster: Any = None if resources.address is None else _roster()
        """An actor that is told by each worker that begins, and where."""
        self.given_up: DataError | None = None
        """Set when no room has come in time."""

    def __enter__(self) -> Self:
        if self.roster is not None:
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        if self.roster is not None:
            self._thread.join()

    def _watch(self) -> None:
        short_since, told, at_work = None, False, ""
        while not self._ended.wait(LOOK_SECONDS):
            missing, hosts = self._missing()
            if hosts not in ("", at_work):
                at_work = hosts
                if self._resources.elastic or " and " in hosts:
                    print(f"at work: {hosts}", flush=True)
            if missing is None:
                short_since, told = None, False
                continue
            now = time.monotonic()
            short_since = short_since or now
            waited = now - short_since
            if not told and waited >= min(GRACE_SECONDS, self._resources.wait_seconds):
                told = True
                print(
                    f"waiting for {missing}; gives up in {self._resources.wait_seconds} s (RNN_WAIT_SECONDS)",
                    flush=True,
                )
            if waited >= self._resources.wait_seconds:
                allowed = "a larger cluster, fewer workers or threads, or a range such as RNN_WORKERS=1:4"
                self.given_up = DataError("the cluster", f"no {missing} in {waited:.0f} s", allowed)
                _thread.interrupt_main()
                while not self._ended.wait(INSIST_SECONDS):
                    _thread.interrupt_main()  # Ray forgets one that comes before its own process for this runs
                return

    def _missing(self) -> tuple[str | None, str]:
        """What there is no room for, if so; and which workers have begun where."""
        import ray
        from ray.exceptions import RayError

        try:
            nodes, free, begun = ray.nodes(), ray.available_resources(), ray.get(self.roster.hosts.remote())
        except RayError as error:
            return f"an answer of the cluster ({type(error).__name__})", ""
        needed, wanted = self._resources.least, self._resources.a_worker()
        there = sum(_fits(node["Resources"], wanted) for node in nodes if node["Alive"])
        each = ", ".join(f"{count:g} {kind}" for kind, count in wanted.items())
        room = f"room for {needed} worker{'s' * (needed > 1)} of {each} each"
        hosts = " and ".join(f"{count} worker{'s' * (count > 1)} on {host}" for host, count in sorted(begun.items()))
        if there < needed:
            return f"{room} (there is room for {there})", hosts
        if not begun and not _placed() and _fits(free, wanted) < needed:
            return f"{room} (others use it)", hosts
        return None, hosts


def _roster() -> Any:
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    here: Any = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    return ray.remote(num_cpus=0, scheduling_strategy=here)(_Roster).remote()


def _placed() -> bool:
    """Whether this driver's workers have their room already, though they have not begun: they take long to start."""
    import ray
    from ray.util import placement_group_table

    own = ray.get_runtime_context().get_job_id()
    return any(name.endswith(own) and one["state"] == "CREATED" for name, one in placement_group_table().items())


class _Roster:
    """The workers that have begun, as they tell it themselves."""

    def __init__(self) -> None:
        self._size = 0
        self._hosts: dict[int, str] = {}

    def begins(self, rank: int, size: int, host: str) -> None:
        if size != self._size or rank in self._hosts:  # a new group of workers
            self._size, self._hosts = size, {}
        self._hosts[rank] = host

    def hosts(self) -> dict[str, int]:
        """How many on which, once all of them have begun."""
        return dict(Counter(self._hosts.values())) if len(self._hosts) == self._size else {}


def _fits(there: dict[str, float], wanted: dict[str, float]) -> int:
    """So many times."""
    return int(min(there.get(kind, 0) // count for kind, count in wanted.items()))
