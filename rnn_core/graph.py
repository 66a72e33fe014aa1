"""A whole training step as one CUDA graph: recorded once for each set of shapes, then replayed by one launch.

A step of a recurrent network is hundreds of kernels of a few microseconds, which the CPU cannot launch as fast as a
GPU runs them. Lanes fix the shapes of every window, so a step can be recorded. What is recorded are addresses: a
replay reads its arguments from buffers that are filled beforehand, and leaves its results in buffers that the next
replay overwrites.

    update = Captured(update, CudaGraphs(torch.device("cuda")))
    numbers, carry = update(window, carry, rate)

What a function must be to be captured: its arguments and results are trees of tensors and numbers; all it does is
launched on the GPU, and the CPU never waits for an answer (no `.item()`, no `nonzero`, no choice by a tensor); it
gets rid of old gradients (`zero_grad(set_to_none=True)`) before it makes new ones; results carry no autograd graph.

The first calls with new shapes are run as they are, since libraries prepare themselves then, optimizers make their
state and kernels are compiled; these are updates like all others. So shapes that come seldom are never recorded.
"""

import dataclasses
import warnings
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import torch
from torch import Tensor

from rnn_core.looking import without_looking

Tree = Any
"""Tuples, lists, mappings and dataclasses (a `Window`) of tensors and numbers; anything else in it is a constant."""

WARM_UP = 3
"""Calls with the same shapes before they are recorded: as many as torch's own `make_graphed_callables` makes."""
MOST = 8
"""Recordings of one function: each keeps its arguments and results in memory."""


class Recorder(Protocol):
    """A device on which work can be recorded."""

    device: torch.device

    def run(self, function: Callable[..., Tree], arguments: Tree) -> Tree:
        """`function(*arguments)`, such that it can be recorded later."""
        ...

    def record(self, function: Callable[..., Tree], arguments: Tree) -> tuple[Callable[[], None], Tree]:
        """What `function(*arguments)` does, to be done by calling it, and where its results will be."""
        ...


class Captured:
    """A function, recorded."""

    def __init__(self, function: Callable[..., Tree], recorder: Recorder):
        self._function, self._recorder = function, recorder
        self._seen: Counter[Any] = Counter()
        self._recordings: dict[Any, tuple[list[Tensor], Callable[[], None], Tree]] = {}

    def __call__(self, *arguments: Tree) -> Tree:
        """The function's results, which the next call may overwrite: to be its arguments they need no copy.

        Args:
            arguments: on any device. The function sees them on the recorder's, and numbers as tensors (): int64, and
                float32, the type of a fused optimizer's rate. Tensors in pinned memory are copied asynchronously and
                must not be changed until the results are there.
        """
        key = _signature(arguments)
        if key not in self._recordings:
            self._seen[key] += 1
            placed = _map(self._place, arguments)
            if self._seen[key] <= WARM_UP or len(self._recordings) == MOST:
                return self._recorder.run(self._function, placed)
            self._recordings[key] = (_leaves(placed), *self._recorder.record(self._function, placed))
        buffers, replay, results = self._recordings[key]
        for buffer, leaf in zip(buffers, _leaves(arguments), strict=True):
            if isinstance(leaf, Tensor):
                buffer.copy_(leaf, non_blocking=True)
            else:
                buffer.fill_(leaf)
        replay()
        return results

    def _place(self, leaf: Tensor | float) -> Tensor:
        """A copy: were it the caller's own tensor, a replay would overwrite it."""
        if isinstance(leaf, Tensor):
            return torch.empty_like(leaf, device=self._recorder.device).copy_(leaf, non_blocking=True)
        dtype = torch.int64 if isinstance(leaf, int) else torch.float32
        return torch.full((), leaf, dtype=dtype, device=self._recorder.device)


class CudaGraphs:
    """Recording on a GPU. All recordings share one pool of memory, so none of them may run beside another."""

    def __init__(self, device: torch.device):
        self.device = device
        # One stream for the runs before a recording and for it: libraries keep what they prepare by stream.
        self._stream = torch.cuda.Stream(device)
        self._pool = torch.cuda.graph_pool_handle()

    def run(self, function: Callable[..., Tree], arguments: Tree) -> Tree:
        current = torch.cuda.current_stream(self.device)
        self._stream.wait_stream(current)
        with torch.cuda.stream(self._stream), without_looking(), warnings.catch_warnings():
            # An optimizer made for graphs warns where it runs outside of one, as it has to here.
            warnings.filterwarnings("ignore", "This instance was constructed with capturable=True")
            results = function(*arguments)
        current.wait_stream(self._stream)
        return results

    def record(self, function: Callable[..., Tree], arguments: Tree) -> tuple[Callable[[], None], Tree]:
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=self._pool, stream=self._stream), without_looking():
            results = function(*arguments)
        return graph.replay, results


def _map(function: Callable[[Any], Any], tree: Tree) -> Tree:
    """The same tree with `function` of each tensor and number."""
    if isinstance(tree, Tensor | int | float) and not isinstance(tree, bool):
        return function(tree)
    if isinstance(tree, tuple | list):
        return tuple(_map(function, part) for part in tree)
    if isinstance(tree, Mapping):
        return {name: _map(function, part) for name, part in tree.items()}
    if dataclasses.is_dataclass(tree) and not isinstance(tree, type):
        parts = {field.name: getattr(tree, field.name) for field in dataclasses.fields(tree)}
        return dataclasses.replace(tree, **_map(function, parts))
    return tree


def _leaves(tree: Tree) -> list[Any]:
    """Its tensors and numbers, in order."""
    leaves: list[Any] = []
    _map(leaves.append, tree)
    return leaves


def _signature(tree: Tree) -> Any:
    """Equal for trees whose tensors have the same shapes and types, and whose constants are the same."""
    if isinstance(tree, Tensor):
        return tree.shape, tree.dtype
    if isinstance(tree, int | float) and not isinstance(tree, bool):
        return type(tree)
    if isinstance(tree, tuple | list):
        return tuple(_signature(part) for part in tree)
    if isinstance(tree, Mapping):
        return tuple((name, _signature(part)) for name, part in tree.items())
    if dataclasses.is_dataclass(tree) and not isinstance(tree, type):
        return type(tree), tuple(_signature(getattr(tree, field.name)) for field in dataclasses.fields(tree))
    return tree
