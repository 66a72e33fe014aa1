"""Training states written beside training: it stands still for a copy in memory, not for the disk.

One state is on its way at a time; whoever brings the next one waits for the one before. A kill loses at most what is on
its way, and the state before it is whole: see `rnn_core/checkpoint.py`.
"""

import copy
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from rnn_core import checkpoint
from rnn_core.bptt import Carry, TrainState


class Saver:
    """Writes states below a folder. A context, which ends when the last one is written; or `close` it."""

    def __init__(self, folder: Path, *, key: str, then: Callable[[Path], None] = lambda written: None):
        """
        Args:
            key: names configuration and data.
            then: called with each state's folder once it is whole, in the thread that wrote it.
        """
        self._folder, self._key, self._then = folder, key, then
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="saver")
        self._under_way: Future[None] | None = None

    def save(self, state: TrainState, carry: Carry, facts: Mapping[str, Any]) -> None:
        """The state as it is now, on its way to disk.

        Args:
            carry: of all lanes, in lane order.

        Raises:
            DataError: the state before this one could not be written.
        """
        self.wait()
        tensors = checkpoint.snapshot(state, carry)
        # All of the facts too: whoever gave them counts on in them.
        self._under_way = self._thread.submit(self._write, tensors, state.update, copy.deepcopy(dict(facts)))

    def wait(self) -> None:
        """Until all states are written.

        Raises:
            DataError: one could not be.
        """
        under_way, self._under_way = self._under_way, None
        if under_way is not None:
            under_way.result()

    def close(self) -> None:
        """As `wait`; and end the thread."""
        try:
            self.wait()
        finally:
            self._thread.shutdown()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _write(self, tensors: Mapping[str, Any], update: int, facts: Mapping[str, Any]) -> None:
        self._then(checkpoint.write(self._folder, tensors, update=update, key=self._key, facts=facts))
