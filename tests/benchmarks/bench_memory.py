"""memory/: most memory of a training step beside the plain loop's, and (`/stream`) on data ten times as long."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.benchmarks import corpora, memory, paired
from tests.benchmarks.bench_step import SIZES, TAGGER_SIZES

ROUNDS = 3
LONGER = 10
MARGIN = 4.0
"""MiB by which the peaks of two processes that do the same may differ."""
LINUX = pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="no /proc of Linux here")
CASES = [
    pytest.param(task, longer, id=f"memory/{task}{'/stream' if longer else ''}", marks=LINUX)
    for task in memory.TASKS
    for longer in (False, True)
]


@pytest.mark.parametrize(("task", "longer"), CASES)
def test_memory(record: Any, task: str, longer: bool) -> None:
    ours, theirs = [], []
    for _ in range(ROUNDS):
        theirs.append(mebibytes(task, "ours" if longer else "theirs", 1))
        ours.append(mebibytes(task, "ours", LONGER if longer else 1))
    figures = paired.figures(ours, theirs, "MiB", [b / a for a, b in zip(ours, theirs, strict=True)])
    if longer:
        assert figures.ours <= 1.02 * figures.theirs + MARGIN, figures
    record(
        figures,
        shape=SIZES if task == "language_model" else TAGGER_SIZES,
        path="the whole step",
        alternative=f"ours, data of 1/{LONGER} the length" if longer else "the plain loop of step/",
    )


def mebibytes(task: str, side: str, length: int) -> float:
    command = [sys.executable, "-m", "tests.benchmarks.memory", task, side, str(length), str(torch.get_num_threads())]
    environment = {**os.environ, **memory.ALLOCATOR, "RNN_DATA_MIRROR": corpora.MIRROR}
    root = Path(__file__).resolve().parent.parent.parent
    done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=True)
    return float(done.stdout)
