"""Answers as files: what was given comes back, and nothing half-written bears the file's name."""

import csv
import json
from pathlib import Path

import pytest
from pyarrow import parquet

from pipelines.using import answer_files
from rnn_core.errors import ConfigError

ROWS = [
    {"input": "a.txt:1", "label": "gut, ü", "probability": 1, "all": {"x": 0.5}},
    {"input": "a.txt:2", "label": 'b"', "probability": 0.25, "all": {}},
] * 1500
FLAT = [{**row, "all": json.dumps(row["all"])} for row in ROWS]


@pytest.mark.parametrize("kind", [".jsonl", ".csv", ".parquet"])
def test_rows_come_back(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "new" / f"out{kind}"
    with answer_files.writer(path) as write:
        for row in ROWS:
            write(row)
        assert not path.exists()
    if kind == ".jsonl":
        assert [json.loads(line) for line in path.read_text().splitlines()] == ROWS
    elif kind == ".csv":
        with path.open(newline="") as file:
            read = [{**row, "probability": float(row["probability"])} for row in csv.DictReader(file)]
        assert read == FLAT
    else:
        assert parquet.read_table(path).to_pylist() == FLAT
    assert [file.name for file in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize("kind", [".jsonl", ".csv", ".parquet"])
def test_what_breaks_off_leaves_what_was_there(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"out{kind}"
    path.write_text("before")

    def break_off() -> None:
        with answer_files.writer(path) as write:
            write(ROWS[0])
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        break_off()
    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]


def test_other_endings_name_the_choices() -> None:
    with pytest.raises(ConfigError, match=r"--output: found a\.xls; a file that ends in \.jsonl, \.csv, \.parquet"):
        answer_files.check(Path("a.xls"))
