"""The next windows ready on the device before they are asked for.

On a GPU one thread assembles them while the GPU works, and copies them from pinned memory on a stream of its own, so
that the step waits for neither. On a CPU the cores that would assemble in advance are those that compute, and a window
costs little (`make bench`, input/): there it is assembled when it is asked for.
"""

import time
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Self

import torch
from torch import Tensor

from rnn_core.lanes import Window

AHEAD = {"cuda": 2}
"""Windows in advance by type of device, 0 on any other: one ready, one on its way."""


class Prefetched:
    """`windows` on a device: called with a window's number, gives that window. A context, or `close` it.

    The windows are those of `windows`, a pure function, in whatever order they are asked for; only a call that asks
    for the one after the last (or for one of the last few) finds it ready. An error is raised by the call that asks
    for the window that has it.

    The thread pins memory, which CUDA forbids while a graph is captured with the capture mode "global": capture with
    "thread_local".
    """

    def __init__(
        self, windows: Callable[[int], Window], device: torch.device | str, *, ahead: int | None = None, kept: int = 1
    ):
        """
        Args:
            windows: called in one thread only, and in no fixed order.
            device: where the windows are wanted.
            ahead: windows to assemble in advance; 0 starts no thread, None is the device's `AHEAD`.
            kept: windows before the newest one that are asked for again (k2 > k1): they stay on the device.
        """
        self._windows, self._device = windows, torch.device(device)
        self._ahead = AHEAD.get(self._device.type, 0) if ahead is None else ahead
        self._room = kept + 1 + self._ahead
        self._stream = torch.cuda.Stream(self._device) if self._device.type == "cuda" else None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="windows") if self._ahead else None
        self._held: OrderedDict[int, Future[tuple[Window, torch.cuda.Event | None]]] = OrderedDict()
        self.waited = 0.0
        """Seconds that the calls have taken, together; whoever reads it may set it back to 0."""

    def __call__(self, number: int) -> Window:
        began = time.perf_counter()
        if self._thread is None:
            window, copied = self._make(number)
        else:
            window, copied = self._ask(number, self._thread).result()
        if copied is not None:
            window = self._receive(window, copied)
        self.waited += time.perf_counter() - began
        return window

    def close(self) -> None:
        """End the thread, once it has assembled what it is at."""
        if self._thread is not None:
            self._thread.shutdown(cancel_futures=True)
        self._held.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _ask(self, number: int, thread: ThreadPoolExecutor) -> Future[tuple[Window, torch.cuda.Event | None]]:
        """This window, and those after it, on their way; what nobody has asked for the longest is let go."""
        for wanted in range(number, number + self._ahead + 1):
            if wanted not in self._held:
                self._held[wanted] = thread.submit(self._make, wanted)
            self._held.move_to_end(wanted)
        while len(self._held) > self._room:
            self._held.popitem(last=False)[1].cancel()
        return self._held[number]

    def _make(self, number: int) -> tuple[Window, torch.cuda.Event | None]:
        """The window on the device, or on its way there until the event."""
        window = self._windows(number)
        if self._stream is None:
            return window.to(self._device), None
        with torch.cuda.stream(self._stream):
            moved = window.map(lambda tensor: tensor.pin_memory().to(self._device, non_blocking=True))
            return moved, self._stream.record_event()

    def _receive(self, window: Window, copied: torch.cuda.Event) -> Window:
        """For the caller's stream: it waits for the copy, and the memory is free again only after its work."""
        stream = torch.cuda.current_stream(self._device)
        stream.wait_event(copied)

        def used(tensor: Tensor) -> Tensor:
            tensor.record_stream(stream)
            return tensor

        return window.map(used)
