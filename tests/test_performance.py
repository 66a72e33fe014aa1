"""The benchmarks' results: strictly read, written whole, and shown in the README as committed."""

import dataclasses
import json
import subprocess
from pathlib import Path

import pytest

from pipelines import paths, performance
from pipelines.performance import Entry
from pipelines.reports import marked
from rnn_core.errors import ConfigError, DataError

EXAMPLE = Entry(
    name="layer/gru/35x20x650",
    ours=50.123,
    theirs=104.2,
    unit="ms",
    ratio=2.08,
    spread=(2.01, 2.154),
    shape={"B": 20, "H": 650, "T": 35},
    dtype="float32",
    device="cpu",
    processor="Some processor",
    threads=2,
    path="packed",
    compiler=False,
    alternative="nn.GRU",
    revision="abc",
)


def named(name: str, **values: object) -> Entry:
    return dataclasses.replace(EXAMPLE, name=name, **values)  # type: ignore[arg-type]


def test_entries_take_the_place_of_those_of_their_name(tmp_path: Path) -> None:
    file = tmp_path / "results.json"
    assert performance.read_file(file) == []
    for entry in (named("b", ratio=1.0), named("a"), named("b", ratio=3.0)):
        performance.write(file, entry)
    assert performance.read_file(file) == [named("a"), named("b", ratio=3.0)]
    assert [path.name for path in tmp_path.iterdir()] == ["results.json"]
    keys = "name ours theirs unit ratio spread shape dtype device processor threads path compiler alternative revision"
    assert set(json.loads(file.read_text())[0]) == set(keys.split())


def test_readme_has_a_row_a_case_by_group_and_machine() -> None:
    share = {"unit": "share", "ratio": 0.6543, "spread": (0.64, 0.66)}
    entries = [
        named("limit/gru/35x20x650", **share),
        named("layer/gru/35x20x1024"),
        named("layer/gru/35x20x650/cuda", device="cuda (some GPU)"),
        EXAMPLE,
    ]
    text = performance.readme_tables(entries)
    rows = [line for line in text.splitlines() if line.startswith("| `")]
    row = "| `layer/gru/35x20x650` | T 35, B 20, H 650 | 50.1 ms | 104 ms, nn.GRU | 2.08x | 2.01 to 2.15 | packed |"
    limit = "| `limit/gru/35x20x650` | T 35, B 20, H 650 | 50.1 ms | 104 ms, nn.GRU | 65.4 % | 64.0 to 66.0 | packed |"
    assert [r.split("`")[1] for r in rows] == [
        "layer/gru/35x20x650",
        "layer/gru/35x20x1024",
        "limit/gru/35x20x650",
        "layer/gru/35x20x650/cuda",
    ]
    assert {row, limit} <= set(rows)
    headings = ["Some processor, 2 threads:", "Some processor, 2 threads, on cuda (some GPU):"]
    assert [line for line in text.splitlines() if line.startswith("Some")] == headings
    assert performance.readme_tables([]) == performance.NO_FIGURES


def test_terminal_table_is_aligned() -> None:
    head, row = performance.terminal_table([EXAMPLE]).splitlines()
    assert head.index("alternative") == row.index("nn.GRU")
    assert "2.08x (2.01 to 2.15)" in row


def test_bad_results() -> None:
    entry = dataclasses.asdict(EXAMPLE)
    with pytest.raises(ConfigError, match=r"a\.json\[0\]\.speed: unknown key"):
        performance.read(json.dumps([{**entry, "speed": 1}]), "a.json")
    with pytest.raises(ConfigError, match="spread has 1 numbers"):
        performance.read(json.dumps([{**entry, "spread": [1.0]}]), "a.json")
    with pytest.raises(ConfigError, match="shape has lanes, allowed are T, B, H, V, directions"):
        performance.read(json.dumps([{**entry, "shape": {"lanes": 3}}]), "a.json")
    with pytest.raises(DataError, match=r"a\.json:1: no JSON"):
        performance.read("[", "a.json")


def committed(path: str) -> str | None:
    """A file's text in HEAD, or None: what is not committed yet does not count."""
    command = ["git", "show", f"HEAD:{path}"]
    shown = subprocess.run(command, cwd=paths.REPOSITORY, capture_output=True, text=True, check=False)
    return None if shown.returncode else shown.stdout


def test_readme_agrees_with_the_results_as_committed() -> None:
    entries = performance.read(committed(str(performance.FILE)) or "[]", str(performance.FILE))
    part = marked.part(committed("README.md") or "", performance.MARKERS)
    assert part.group(1) == performance.readme_tables(entries)
