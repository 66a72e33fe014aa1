"""The benchmarks' side of pytest: which cases run, their `compare` and `record`, and the table at the end."""

import fnmatch
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch

from pipelines import performance
from pipelines.machine import processor
from pipelines.performance import Entry
from rnn_core import memory
from tests.benchmarks import paired
from tests.benchmarks.paired import Figures, Pairs, Work

FOLDER = Path(__file__).resolve().parent
RESULTS = FOLDER / performance.FILE.name
Record = Callable[..., None]


@dataclass(eq=False)
class Harness:
    """A plugin of pytest."""

    cases: str
    """Pattern of the names of the cases to run."""
    seconds: float
    threads: int
    measured: list[Entry] = field(default_factory=list)

    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[Any]) -> None:
        chosen = [item for item in items if fnmatch.fnmatchcase(item.callspec.id, self.cases)]
        config.hook.pytest_deselected(items=[item for item in items if item not in chosen])
        items[:] = chosen

    @pytest.fixture(autouse=True)
    def _alike(self) -> None:
        """All cases begin with the same random numbers; both sides have all threads, and memory that stays theirs."""
        memory.keep()
        torch.set_num_threads(self.threads)
        torch.manual_seed(0)
        # On a GPU cuDNN's layers alone would round their factors to 10 bits.
        torch.backends.cudnn.allow_tf32 = False

    @pytest.fixture(name="threads")
    def _threads(self) -> int:
        return self.threads

    @pytest.fixture
    def compare(self, request: pytest.FixtureRequest) -> Callable[[Work, Work], Pairs]:
        # Asked for when it is used: pytest-benchmark complains of a test that failed before.
        return lambda ours, theirs: paired.compare(request.getfixturevalue("benchmark"), ours, theirs, self.seconds)

    @pytest.fixture
    def record(self, request: pytest.FixtureRequest) -> Record:
        """Called by each case with its figures; its name is the id of its parameters, and `part` what it shows of
        several things."""

        def write(
            figures: Figures, *, shape: dict[str, int], path: str, alternative: str, part: str = "", **about: Any
        ) -> None:
            entry = Entry(
                name=request.node.callspec.id + part,
                ours=_rounded(figures.ours),
                theirs=_rounded(figures.theirs),
                unit=figures.unit,
                ratio=_rounded(figures.ratio),
                spread=(_rounded(figures.spread[0]), _rounded(figures.spread[1])),
                shape=shape,
                path=path,
                alternative=alternative,
                processor=processor(),
                revision=_revision(),
                **({"dtype": "float32", "device": "cpu", "compiler": False, "threads": self.threads} | about),
            )
            performance.write(RESULTS, entry)
            self.measured.append(entry)
            request.node.user_properties.append(("ratio", performance.ratio(entry)))

        return write

    def pytest_report_teststatus(self, report: pytest.TestReport) -> tuple[str, str, str] | None:
        """The ratio in the place of PASSED."""
        shown = dict(report.user_properties).get("ratio")
        return ("passed", ".", str(shown)) if report.when == "call" and report.passed and shown else None

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        terminalreporter.write_sep("=", f"{processor()}, {self.threads} threads")
        terminalreporter.write_line(performance.terminal_table(self.measured))


def _rounded(value: float) -> float:
    """Five significant digits: more than any of it is worth."""
    return float(f"{value:.5g}")


def _revision() -> str:
    """The commit, with `+changes` where files differ from it; the results do, as soon as there is a new one."""
    head = _git("rev-parse", "HEAD").strip()
    return head + ("+changes" if _git("status", "--porcelain", "--", ".", f":!{performance.FILE}") else "")


def _git(*words: str) -> str:
    command = ["git", *words]
    return subprocess.run(command, cwd=FOLDER.parent.parent, capture_output=True, text=True, check=True).stdout
