"""The benchmarks' results (`make bench`) as tables: for the terminal, and for the README (`make readme`).

tests/benchmarks/results.json is a list of entries, one a case, sorted by name; what stands in it is all that is shown.
"""

import dataclasses
import itertools
import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pipelines import files
from pipelines.reports import marked
from rnn_core.config import from_mapping
from rnn_core.errors import DataError

FILE = Path("tests/benchmarks/results.json")
"""Below the root."""
MARKERS = ("<!-- performance:begin -->", "<!-- performance:end -->")
SIZES = ("T", "B", "H", "V", "directions", "P", "workers")
"""P: parameters; of several workers, B is of each."""
NO_FIGURES = "No figures yet."
GROUPS = {
    "layer": "One layer, forward and backward, dense inputs as wide as the layer; `lstm`: with sequences of a mean of "
    "16 steps beginning inside the window, which the alternative does not have",
    "limit": "The same layers beside their matrix products alone, by the fastest product of the machine, weights "
    "packed beforehand: the ratio is the share of a layer's time that these products take",
    "varlen": "One layer, sentences of the lengths of UD English EWT, words a second; 32 sentences a batch on the "
    "other side",
    "bf16": "Our layers in bfloat16 beside themselves in float32",
    "step": "A whole training step: input, forward, backward, clip, update",
    "input": "Making a window from memory-mapped Arrow: the ratio is the share of a training step that it takes",
    "memory": "Most memory that a training step takes, beside what was there before",
    "tracking": "A training of some seconds with tracking, beside itself without: what it takes more, and that as a "
    "share; `training`: of its own time, `whole`: with the end, when the driver waits for the last points to arrive",
    "cluster": "Two workers of one thread each. `ray`: beside the same training function started by torchrun; `weak`: "
    "a language model with as many lanes for each worker, beside two that train alone at the same time, and of an "
    "update the shares of communication, of the sums over the workers without waiting for each other (`sum`), and by "
    "how much a worker's own part of it varies (`jitter`); `checkpoint`: what a training state takes from the "
    "training, as a share of the default interval; `killed`: from the death of a worker to the next update, beside a "
    "start by hand",
    "scan": "Cells that are trained by parallel scan, beside their own loop over the steps",
    "scan-vs-gru": "The same cells beside our GRU of the same width",
    "predict": "Answers of the sample suite's tagger to raw sentences of the lengths of UD English EWT: one at a time, "
    "in the process and by HTTP (`mlflow models serve`), beside the slowest in a hundred; many, sentences a second",
}
"""What the cases show, by the first part of their names."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One case: ours beside an alternative, in turn in one run."""

    name: str
    ours: float
    """Median."""
    theirs: float
    unit: str
    ratio: float
    """Ours over theirs as speed, the median over pairs of runs: above 1 is faster. Of unit `share`: the share."""
    spread: tuple[float, ...]
    """Quartiles of the ratio over the pairs."""
    shape: dict[str, int]
    """Sizes by the names in SIZES; of ours, where the other side's differ."""
    dtype: str
    device: str
    processor: str
    threads: int
    path: str
    """Which kernel ran."""
    compiler: bool
    """Whether one was used on the user's machine."""
    alternative: str
    revision: str

    def __post_init__(self) -> None:
        if unknown := self.shape.keys() - set(SIZES):
            raise ValueError(f"shape has {', '.join(sorted(unknown))}, allowed are {', '.join(SIZES)}")
        if len(self.spread) != 2:
            raise ValueError(f"spread has {len(self.spread)} numbers, wanted are 2")


def read(text: str, where: str) -> list[Entry]:
    """The entries in the text of a results file.

    Raises:
        DataError: it is no JSON.
        ConfigError: a key is unknown, missing or of the wrong type.
    """
    try:
        return [from_mapping(Entry, entry, f"{where}[{i}]") for i, entry in enumerate(json.loads(text))]
    except json.JSONDecodeError as error:
        raise DataError(f"{where}:{error.lineno}", f"no JSON ({error.msg})", "run `make bench` again") from error


def read_file(file: Path) -> list[Entry]:
    """As `read`; a file that is not there has no entries."""
    return read(file.read_text(encoding="utf-8"), str(FILE)) if file.exists() else []


def write(file: Path, entry: Entry) -> None:
    """Puts an entry into a results file, in the place of an older one of its name."""
    entries = {old.name: old for old in read_file(file)} | {entry.name: entry}
    files.write_json(file, [dataclasses.asdict(entries[name]) for name in sorted(entries)])


def terminal_table(entries: Sequence[Entry]) -> str:
    """A line for each entry, aligned."""
    rows = [[e.name, _amount(e.ours), _amount(e.theirs), e.unit, ratio(e), e.path, e.alternative] for e in entries]
    head = ["case", "ours", "theirs", "unit", "ratio", "path", "alternative"]
    widths = [max(len(row[i]) for row in [head, *rows]) for i in range(len(head))]
    return "\n".join("  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in [head, *rows])


def readme_tables(entries: Sequence[Entry]) -> str:
    """The README's Markdown between its markers: a table for each processor and group of cases."""
    parts = []
    for machine, on_machine in itertools.groupby(sorted(entries, key=_place), _machine):
        parts.append(f"{machine}:")
        for group, cases in itertools.groupby(on_machine, _group):
            parts.append(f"{GROUPS[group]}:\n\n{_markdown(list(cases))}")
    return "\n\n".join(parts) or NO_FIGURES


def ratio(entry: Entry) -> str:
    """`2.04x (1.98 to 2.10)`; a share as `3.10 % (3.02 to 3.22)`."""
    low, high = entry.spread
    if entry.unit == "share":
        return f"{_amount(100 * entry.ratio)} % ({_amount(100 * low)} to {_amount(100 * high)})"
    return f"{entry.ratio:.2f}x ({low:.2f} to {high:.2f})"


def _place(entry: Entry) -> tuple[str, int, tuple[str, int, str]]:
    # Numbers in a name go by their value: 64 stands before 1024.
    natural = re.sub(r"\d+", lambda number: number[0].zfill(8), entry.name)
    return _machine(entry), list(GROUPS).index(_group(entry)), (natural, entry.threads, entry.device)


def _group(entry: Entry) -> str:
    return entry.name.partition("/")[0]


def _machine(entry: Entry) -> str:
    device = "" if entry.device == "cpu" else f", on {entry.device}"
    compiler = ", with a compiler" if entry.compiler else ""
    return f"{entry.processor}, {entry.threads} threads{device}{compiler}"


def _markdown(entries: Sequence[Entry]) -> str:
    head = ["case", "shape", "ours", "alternative", "ratio", "spread", "path"]
    rows = [head, ["---"] * 2 + ["---:", "---", "---:", "---:", "---"], *map(_cells, entries)]
    return marked.table(rows)


def _cells(entry: Entry) -> list[str]:
    unit = "ms" if entry.unit == "share" else entry.unit
    shape = ", ".join(f"{name} {entry.shape[name]:,}" for name in SIZES if name in entry.shape)
    theirs = f"{_amount(entry.theirs)} {unit}, {entry.alternative}"
    middle, _, spread = ratio(entry).partition(" (")
    return [f"`{entry.name}`", shape, f"{_amount(entry.ours)} {unit}", theirs, middle, spread[:-1], entry.path]


def _amount(value: float) -> str:
    """Three significant digits, and never fewer than there are before the point."""
    digits = max(0, 2 - math.floor(math.log10(abs(value)))) if value else 0
    return f"{value:,.{digits}f}"
