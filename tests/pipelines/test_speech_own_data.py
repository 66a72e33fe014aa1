"""A user's recordings through the stage `preprocess`: what becomes rows, and what is put aside."""

import io
import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from pipelines import files, preprocess
from pipelines.preprocess import Sizes
from rnn_core import arrow
from rnn_core.errors import DataError

DATA = {
    "max_bad_share": 0.5,
    "front_end": {"rate": 8000, "window_ms": 25, "hop_ms": 10, "bands": 6, "low_hz": 50, "high_hz": 4000},
    "stack": 1,
    "skip": 1,
    "normalise": "global",
    "alphabet": "ab ",
    "max_seconds": 1.0,
    "beam": None,
    "language_model": None,
}


def record(path: Path, seed: int, rate: int = 8000, seconds: float = 0.2) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    content = io.BytesIO()
    samples = np.random.default_rng(seed).uniform(-0.5, 0.5, round(rate * seconds))
    soundfile.write(content, samples, rate, format="WAV", subtype="PCM_16")
    path.write_bytes(content.getvalue())


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    folder = tmp_path / "mine"
    for split, count in (("train", 6), ("validation", 2), ("test", 2)):
        for number in range(count):
            record(folder / f"wav/{split}{number}.wav", number, rate=(8000, 16000)[number % 2])
        lines = [f"wav/{split}{number}.wav\t{'ab a'[number % 3 :]}\n" for number in range(count)]
        (folder / f"{split}.tsv").write_text("".join(lines), encoding="utf-8")
    return folder


def run(folder: Path, out: Path, sizes: Sizes | None = None, **changes) -> dict:
    options = {"suite": "sample", "dataset": "mine", "processes": 1, "sizes": sizes or Sizes()}
    return preprocess.preprocess(folder, out, "speech_recognition", {**DATA, **changes}, **options)


def test_rows_of_own_recordings(mine: Path, tmp_path: Path) -> None:
    summary = run(mine, tmp_path / "arrow")
    assert {split: about["rows"] for split, about in summary["splits"].items()} == {
        "train": 6,
        "validation": 2,
        "test": 2,
    }
    columns = arrow.read_split(tmp_path / "arrow", "train", "recognition")
    assert columns.steps().tolist() == [18] * 6
    assert [columns["labels"][row].tolist() for row in range(3)] == [[1, 2, 3, 1], [2, 3, 1], [1]]
    sidecar = files.read_json(tmp_path / "arrow/sidecar.json")
    assert sidecar["changes"] == {"resampled from 16000 Hz": 3}
    again = run(mine, tmp_path / "again", files={s: f"{s}.tsv" for s in arrow.SPLITS})
    assert again["digest"] == summary["digest"]
    pieces = run(mine, tmp_path / "pieces", sizes=Sizes(chunk_bytes=1))
    assert files.read_json(tmp_path / "pieces/sidecar.json") == sidecar
    assert pieces["splits"]["train"]["steps"] == summary["splits"]["train"]["steps"]


def test_bad_recordings_are_put_aside(mine: Path, tmp_path: Path) -> None:
    (mine / "wav/train0.wav").unlink()
    (mine / "wav/train1.wav").write_bytes(b"")
    record(mine / "wav/stray.wav", 9)
    summary = run(mine, tmp_path / "arrow")
    assert summary["splits"]["train"]["bad_records"] == 3
    lines = (tmp_path / "arrow/quarantine.jsonl").read_text(encoding="utf-8").splitlines()
    told = [(line["where"], line["found"]) for line in map(json.loads, lines)]
    assert told == [
        ("wav/train0.wav", "no file train0.wav"),
        ("wav/train1.wav", "an empty file"),
        ("wav/stray.wav", "a recording without transcript"),
    ]
    with pytest.raises(DataError, match="first of 3 bad of 7 records"):
        run(mine, tmp_path / "strict", max_bad_share=0.001)
    assert not (tmp_path / "strict").exists()


def test_a_split_that_is_missing_is_named(mine: Path, tmp_path: Path) -> None:
    (mine / "test.tsv").unlink()
    with pytest.raises(DataError, match="test"):
        run(mine, tmp_path / "arrow")
