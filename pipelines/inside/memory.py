"""How a network remembers: the gradient's way back, what the past is worth, what truncation costs."""

from typing import Any

import numpy as np
import torch

from pipelines import networks, pictures
from pipelines.inside.subject import FEW_LANES, MANY_LANES, Looked, Subject, carry
from pipelines.tasks import Table
from rnn_core import bptt, inspect
from rnn_core.inspect import Part, parts
from rnn_core.lanes import Window

FLOW_STEPS = 128
"""Steps of a stream's lane that gradients are followed through."""
FLOW_LOSSES = 8
"""Steps at most whose losses are followed back."""
FLOW_WORK = 2e9
"""Products, of one lane, above which no other cells are followed, and two losses only: some seconds each."""
FULL_STEPS = 256
"""Steps of a stream's lane whose gradient counts as the full one."""
UPDATES = 2
"""Over which, in all lanes, the error of a truncated gradient is the mean."""
BOUND = 10.0
"""Degrees that a truncated gradient may be off."""
UNTRAINED = ("elman", "gru", "lstm")
"""Cells whose flow stands beside that of the trained one."""


def tables(subject: Subject) -> dict[str, Table]:
    """The pictures of memory, and the numbers in them."""
    found = {"gradient_flow": flow(subject), "memory_reach": reach(subject), "truncation": truncation(subject)}
    return {name: table for name, table in found.items() if table}


def flow(subject: Subject) -> Table:
    stream = subject.train.carry
    windows = subject.windows(FLOW_STEPS)
    number = min(1, windows.every.per_epoch - 1) if stream else windows.count // 2
    window = windows(number)
    before = carry(subject.network, windows, number)
    work = len(window.starts_TB) * bptt.parameter_count(subject.network.model)
    compared = [(subject.cell, True, subject.network)]
    if work <= FLOW_WORK:
        compared += [(name, False, _untrained(subject, name)) for name in UNTRAINED]
    most, of_parts = FLOW_LOSSES if work <= FLOW_WORK else 2, parts(subject.network)
    # The steps are those at which the trained network is read: the same for all cells.
    steps = [_steps(subject.network, window, before, part, most, stream) for part in of_parts]
    lines = []
    for name, trained, network in compared:
        state = before if trained else carry(network, windows, number)
        flows = [
            one
            for part, at in zip(parts(network), steps, strict=True)
            for one in inspect.gradient_flow(network, window, state, at, part)
        ]
        lines.append(pictures.FlowLine(name, trained, flows))
    pictures.gradient_flow(lines, subject.folder / "gradient_flow.png", subject.title)
    return [
        {"cell": line.cell, "trained": line.trained, "part": one.part, "reverse": one.reverse, "k": k}
        | {"norm_by_state": float(by_state), "norm_by_h": float(by_h), "pairs": int(pairs)}
        for line in lines
        for one in line.flows
        for k, (by_state, by_h, pairs) in enumerate(zip(one.state_K, one.h_K, one.pairs_K, strict=True), 1)
    ]


def _steps(network: Any, window: Window, before: Any, part: Part, most: int, stream: bool) -> list[int]:
    """Whose losses are followed: evenly apart among those that the loss reads; of a stream in the last quarter, which
    has its past in the window."""
    read = inspect.steps_read(network, window, before, part)
    if stream:
        read = [t for t in read if t >= 3 * len(window.starts_TB) // 4]
    places = np.unique(np.linspace(0, len(read) - 1, min(most, len(read))).round().astype(int))
    return [read[place] for place in places]


def _untrained(subject: Subject, cell: str) -> Any:
    """A network like the trained one with another cell and fresh weights, the same each time.

    A head that begins with zeros, through which nothing flows, is the trained one.
    """
    settings = subject.model.about["model"] | {"cell": cell, "memory_length": None, "initialisation": "default"}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        made = networks.build(subject.model.task, settings, subject.model.sidecar)
    if not any(bool(p.any()) for p in made.head.parameters()):
        made.head.load_state_dict(subject.network.head.state_dict())
    like = next(subject.network.parameters())
    return made.to(like.dtype).eval().requires_grad_(False)


def reach(subject: Subject) -> Table:
    windows = subject.windows(FLOW_STEPS, FEW_LANES if subject.train.carry else MANY_LANES)
    seen = windows.count
    uncut = inspect.loss_when_cut(subject.network, windows, seen, None)
    losses = {
        part.name: {
            n: inspect.loss_when_cut(subject.network, windows, seen, n, part)
            for n in _powers(_longest(windows, seen, part))
        }
        for part in parts(subject.network)
    }
    path = subject.folder / "memory_reach.png"
    pictures.reach(losses, uncut, subject.cell, subject.unit, path, subject.title)
    rows = [(part, n, loss) for part, by_n in losses.items() for n, loss in by_n.items()]
    return [
        {"part": part, "cut_every": n, "loss": loss, "unit": subject.unit}
        for part, n, loss in [*rows, ("", "never", uncut)]
    ]


def _longest(windows: Looked, seen: int, part: Part) -> int:
    """The longest n that a cut is tried with: that of the longest sequence; of a stream, where the beginning of a
    lane, which is never cut, does not tell."""
    if windows.carries:
        return min(FULL_STEPS, windows.steps * seen // 4)
    longest = 1
    for number in range(seen):
        starts_TB = part.marks(windows(number))[0]
        borders = torch.cat((starts_TB, torch.ones_like(starts_TB[:1]))).t().flatten().nonzero().flatten()
        longest = max(longest, int(borders.diff(prepend=borders.new_zeros(1)).max()))
    return longest


def _powers(longest: int) -> list[int]:
    """1, 2, 4 and so on, up to the first that is no shorter."""
    return [2**i for i in range(max(0, (longest - 1).bit_length()) + 1) if 2**i <= FULL_STEPS]


def truncation(subject: Subject) -> Table:
    """Nothing where no state is carried, or the stream is too short to compare."""
    windows, train = subject.windows(), subject.train
    k1 = windows.steps
    last = min(windows.every.per_epoch - 1, max(4, FULL_STEPS // k1))
    newest = range(last, max(last - UPDATES, last // 2), -1)
    if not (train.carry and newest):
        return []
    k2s = {k1 * factor for factor in (1, 2, 3, 4, 6, 8, 12, 16) if factor <= max(1, 3 * last // 4)}
    costs = inspect.truncation(subject.network, windows, newest, k2s)
    pictures.truncation(costs, BOUND, train.k2, subject.cell, subject.folder / "truncation.png", subject.title)
    suggested = inspect.enough(costs, BOUND)
    return [
        {"k2": cost.k2, "angle_degrees": cost.angle, "length_error": cost.length, "suggested": cost.k2 == suggested}
        for cost in costs
    ]
