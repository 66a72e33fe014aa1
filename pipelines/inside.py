"""What a trained network does inside, as pictures and a table of examples: a part of its evaluation, of some seconds.

Of the first steps of the test data only, as many as STEPS says, so that the time does not grow with them; on a stream
in several lanes, which begin at as many places of it.
"""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from pipelines import networks, params, pictures
from pipelines.tasks import Sidecar, Table
from rnn_core import inspect
from rnn_core.arrow import Columns, read_split
from rnn_core.heads.adaptive import AdaptiveHead
from rnn_core.heads.softmax import SoftmaxHead
from rnn_core.inspect import Example
from rnn_core.lanes import Windows
from rnn_core.models import KINDS

LANES, FEW_LANES = 16, 4
"""Of a stream: few where each is to be long."""
STEPS = 4096
"""Steps, of all lanes together, whose loss is looked at."""
FLOW_STEPS = 128
"""Steps of a stream's lane that gradients are followed through."""
FLOW_LOSSES = 8
"""Steps at most whose losses are followed back."""
FULL_STEPS = 256
"""Steps of a stream's lane whose gradient counts as the full one."""
UPDATES = 2
"""Over which, in all lanes, the error of a truncated gradient is the mean."""
BOUND = 10.0
"""Degrees that a truncated gradient may be off."""
UNTRAINED = ("elman", "gru", "lstm")
"""Cells whose flow stands beside that of the trained one."""
SHOWN_STEPS = 30
"""Of an example, in a picture."""
RANKS = 10
"""Examples at each end of the table."""


class Words(NamedTuple):
    """Where the words of a kind's steps are found."""

    field: str
    """Of a window: the inputs' ids."""
    inputs: str
    classes: str
    """Lists of the sidecar, by id."""


KINDS_WORDS = {
    "language_model": Words("tokens_TB", "words", "words"),
    "tagging": Words("words_TB", "words", "tags"),
}
"""The kinds that are looked into."""
STEP_HEADS = (SoftmaxHead, AdaptiveHead)
"""One class of several at each step by itself."""


def look(model: networks.Model, arrow: Path, train: params.Train, folder: Path, title: str) -> dict[str, Table]:
    """The pictures into `folder`; the numbers in them, and the examples of smallest and largest loss, as tables.

    A kind that has no words for its steps has none, nor a head whose loss is not a sum over steps.
    """
    if model.task.KIND not in KINDS_WORDS or not isinstance(model.network.head, STEP_HEADS):
        return {}
    columns = read_split(arrow, "test", model.task.KIND)
    short = _windows(model, columns, train.carry, train.window, LANES)
    wide = _windows(model, columns, train.carry, FLOW_STEPS, LANES) if train.carry else short
    long = _windows(model, columns, train.carry, FLOW_STEPS, FEW_LANES) if train.carry else short
    tables = {
        "gradient_flow": _flow(model, wide, train.carry, folder / "gradient_flow.png", title),
        "memory_reach": _reach(model, long, folder / "memory_reach.png", title),
        "truncation": _truncation(model, short, train, folder / "truncation.png", title),
    }
    examples = inspect.examples(model.network, short, _count(short))
    _steps(model, short, examples, folder, title)
    return {name: table for name, table in tables.items() if table} | {
        "examples_by_loss": _table(model, short, examples)
    }


def _windows(model: networks.Model, columns: Columns, carry: bool, window: int, most: int) -> Windows:
    """In so many lanes at most, fewer where a lane of a stream would not fill four windows."""
    kind = KINDS[model.task.KIND]

    def filling(lanes: int) -> Any:
        return kind.filling(columns, lanes=lanes, window=window, seed=None, carries=carry)

    lanes = min(most, max(1, filling(1).windows_per_epoch // (4 if carry else 1)))
    return Windows(filling=filling(lanes), assemble=kind.assemble(columns), lanes=slice(0, lanes))


def _count(windows: Windows) -> int:
    """How many of them are looked at."""
    return min(windows.per_epoch, max(2, STEPS // (windows.width * windows.filling.window)))


@torch.no_grad()
def _carry(network: Any, windows: Windows, number: int) -> Any:
    """The carry before a window."""
    carry = network.initial_carry(windows.width)
    for earlier in range(number):
        _, carry = network(windows(earlier), carry)
    return carry


def _flow(model: networks.Model, windows: Windows, carry: bool, path: Path, title: str) -> Table:
    number = min(1, windows.per_epoch - 1) if carry else 0
    window = windows(number)
    length = len(window.starts_TB)
    # A stream has its past in the window: the losses are those of its last quarter.
    begin = 3 * length // 4 if carry else 0
    steps = range(length - 1, begin - 1, -max(1, (length - begin) // FLOW_LOSSES))
    cell = model.about["model"]["cell"]
    compared = [(cell, True, model.network), *((name, False, _untrained(model, name)) for name in UNTRAINED)]
    lines = [
        pictures.FlowLine(
            name, trained, inspect.gradient_flow(network, window, _carry(network, windows, number), steps)
        )
        for name, trained, network in compared
    ]
    pictures.gradient_flow(lines, path, title)
    return [
        {"cell": line.cell, "trained": line.trained, "reverse": flow.reverse, "k": k}
        | {"norm_by_state": float(by_state), "norm_by_h": float(by_h), "pairs": int(pairs)}
        for line in lines
        for flow in line.flows
        for k, (by_state, by_h, pairs) in enumerate(zip(flow.state_K, flow.h_K, flow.pairs_K, strict=True), 1)
    ]


def _untrained(model: networks.Model, cell: str) -> Any:
    """A network like the trained one with another cell and fresh weights, the same each time."""
    settings = model.about["model"] | {"cell": cell, "memory_length": None, "initialisation": "default"}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return networks.build(model.task, settings, model.sidecar).eval().requires_grad_(False)


def _reach(model: networks.Model, windows: Windows, path: Path, title: str) -> Table:
    count = _count(windows)
    # Where a stream is cut less often than this, its uncut beginning tells.
    longest = windows.filling.window * count // 4 if windows.filling.carries else windows.filling.window
    powers = [2**i for i in range(FULL_STEPS.bit_length()) if 2**i <= max(1, longest)]
    losses = {n: inspect.loss_when_cut(model.network, windows, count, n) for n in powers}
    uncut = inspect.loss_when_cut(model.network, windows, count, None)
    pictures.reach(losses, uncut, model.about["model"]["cell"], path, title)
    return [{"cut_every": n, "loss_nats_per_step": loss} for n, loss in [*losses.items(), ("never", uncut)]]


def _truncation(model: networks.Model, windows: Windows, train: params.Train, path: Path, title: str) -> Table:
    """Nothing where no state is carried, or the stream is too short to compare."""
    k1 = windows.filling.window
    last = min(windows.per_epoch - 1, max(4, FULL_STEPS // k1))
    newest = range(last, max(last - UPDATES, last // 2), -1)
    if not (train.carry and newest):
        return []
    k2s = {k1 * factor for factor in (1, 2, 3, 4, 6, 8, 12, 16) if factor <= max(1, 3 * last // 4)}
    costs = inspect.truncation(model.network, windows, newest, k2s)
    pictures.truncation(costs, BOUND, train.k2, model.about["model"]["cell"], path, title)
    suggested = inspect.enough(costs, BOUND)
    return [
        {"k2": cost.k2, "angle_degrees": cost.angle, "length_error": cost.length, "suggested": cost.k2 == suggested}
        for cost in costs
    ]


def _steps(model: networks.Model, windows: Windows, examples: list[Example], folder: Path, title: str) -> None:
    """Of examples that are not short: the one of middling loss unrolled, and its surprise beside that of the worst."""
    enough = np.median([len(example.losses_T) for example in examples])
    long = [_head(example) for example in examples if len(example.losses_T) >= enough]
    middle, worst = long[len(long) // 2], long[-1]
    window = windows(middle.window)
    carry = _carry(model.network, windows, middle.window)
    shown = inspect.unroll(model.network, window, carry, middle.lane, middle.steps)
    right_T = window.fields["targets_TB"][middle.steps, middle.lane].numpy()
    told = {name: (_told(model, windows, e), e.losses_T) for name, e in (("middling", middle), ("worst", worst))}
    pictures.unrolled(told["middling"][0], shown, right_T, folder / "unrolled.png", title)
    pictures.surprise(told, folder / "surprise.png", title)


def _head(example: Example) -> Example:
    """The first steps of an example."""
    begin, few = example.steps.start, slice(SHOWN_STEPS)
    steps = slice(begin, min(example.steps.stop, begin + SHOWN_STEPS))
    return Example(example.window, example.lane, steps, example.losses_T[few], example.answered_T[few])


def _told(model: networks.Model, windows: Windows, example: Example) -> pictures.Steps:
    """An example in words."""
    where, sidecar, fields = KINDS_WORDS[model.task.KIND], model.sidecar, windows(example.window).fields
    inputs_T, right_T = (fields[name][example.steps, example.lane].tolist() for name in (where.field, "targets_TB"))
    return pictures.Steps(
        _named(sidecar, where.inputs, inputs_T),
        _named(sidecar, where.classes, right_T),
        _named(sidecar, where.classes, example.answered_T.tolist()),
    )


def _named(sidecar: Sidecar, names: str, ids: list[int]) -> list[str]:
    return [sidecar[names][index] for index in ids]


def _table(model: networks.Model, windows: Windows, examples: list[Example]) -> Table:
    """The best, then the worst of those that are left; of the steps looked at."""
    ends = [*enumerate(examples[:RANKS], 1), *list(enumerate(examples, 1))[RANKS:][-RANKS:]]
    rows = []
    for rank, example in ends:
        told = _told(model, windows, example)
        texts = {"inputs": told.inputs, "right": told.right, "answered": told.answered}
        row = {"rank": rank, "of": len(examples), "loss_nats_per_step": example.loss, "steps": len(example.losses_T)}
        rows.append(row | {name: " ".join(words) for name, words in texts.items()})
    return rows
