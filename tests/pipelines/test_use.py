"""A registered model in use: by `predict`, by `predict --output` and by `mlflow models serve`, the same answers as the
evaluation counted; and what each says to bad input."""

import csv
import io
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from pyarrow import parquet

from pipelines import files, paths, predict
from pipelines.using.predictor import Predictor
from rnn_core.errors import ConfigError, DataError
from tests.pipelines import small_models, spooled
from tests.pipelines.serving import ask, serving

pytestmark = pytest.mark.filterwarnings(spooled.NOLOAD)

NAMES = ("pos_tagging", "sentiment")
TEXTS = [" ".join(sentence) for sentence in small_models.sentences(120, 1)]
"""The test data, raw."""


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, tuple[Path, Path]]]:
    """By block: the folders of its model and of its data."""
    root = tmp_path_factory.mktemp("machine")
    with pytest.MonkeyPatch.context() as patch:
        spooled.machine(tmp_path_factory, root, patch, own_code=True)
        yield {name: small_models.register(name, root) for name in NAMES}


@pytest.fixture
def machine(models: dict[str, tuple[Path, Path]], monkeypatch: pytest.MonkeyPatch) -> Path:
    root = models["sentiment"][0].parents[2]
    monkeypatch.setenv("DVC_ROOT", str(root))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{root}/mlflow.db")
    return root


def printed(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def told(name: str, answers: list[dict[str, Any]], data: Path) -> torch.Tensor:
    """How often what was right was answered as what, from answers to the raw test data."""
    sidecar = files.read_json(data / "sidecar.json")
    names = sidecar["tags"] if name == "pos_tagging" else sidecar["label_names"]
    counts = torch.zeros(len(names), len(names), dtype=torch.float64)
    lines = small_models.raw(name, small_models.sentences(120, 1)).decode().splitlines()
    if name == "pos_tagging":
        right = [line.split("\t")[3] for line in lines if line]
        answered = [tag for answer in answers for tag in answer["tags"]]
    else:
        right = [sidecar["label_names"][int(line[-1])] for line in lines]
        answered = [answer["label"] for answer in answers]
    for one, other in zip(right, answered, strict=True):
        counts[names.index(one), names.index(other)] += 1
    return counts


def test_predict_serve_and_evaluation_say_the_same(
    models: dict[str, tuple[Path, Path]], machine: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "texts.txt").write_text("\n".join(TEXTS) + "\n")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    versions = {name: f"models:/rnn-{name}@champion" for name in NAMES}
    with serving(versions, elsewhere, MLFLOW_TRACKING_URI=f"sqlite:///{machine}/mlflow.db") as addresses:
        for name in NAMES:
            assert predict.predict("sample", name, [str(tmp_path / "texts.txt")]) == 0
            by_predict = [
                {key: value for key, value in row.items() if key not in ("input", "text")} for row in printed(capsys)
            ]
            # In one request, they are answered together as in a file: the same numbers to the last bit.
            status, said = ask(addresses[name], {"dataframe_records": [{"text": text} for text in TEXTS]})
            assert status == 200, said
            assert json.loads(said)["predictions"] == by_predict
            sums, scores = small_models.measure(*models[name])
            counts = told(name, by_predict, models[name][1])
            assert torch.equal(counts, sums["all" if name == "pos_tagging" else "confusion"])
            assert 100 * float(counts.trace() / counts.sum()) == scores["accuracy"]
            assert 50 < scores["accuracy"] < 100, "what is right and wrong must both occur"
            # A single one, as people ask: the same label, and probabilities but for rounding.
            assert predict.predict("sample", name, TEXTS[0].split()) == 0
            (alone,) = printed(capsys)
            status, said = ask(addresses[name], {"dataframe_split": {"columns": ["text"], "data": [[TEXTS[0]]]}})
            assert json.loads(said)["predictions"] == [
                {key: value for key, value in alone.items() if key not in ("input", "text")}
            ]
        (shown,) = re.findall(r"-d '(.*)'", (paths.REPOSITORY / "README.md").read_text())
        assert ask(addresses["pos_tagging"], shown.encode())[0] == 200, "the README's own request"
        check_bad_requests(addresses["sentiment"])


def check_bad_requests(address: str) -> None:
    """Each is status 400 with a message that says what is wrong, and the server goes on."""
    records = lambda *rows: {"dataframe_records": list(rows)}  # noqa: E731
    for body, says in (
        (b"{half", "JSON"),
        (b"\xff", "JSON"),
        (b"[]", "list"),
        (b"{}", "dataframe"),
        ({"dataframe_records": 3}, "dataframe_records|DataFrame|list"),
        (records({"sentence": "the cat"}), "text"),
        (records({"text": 3}), "string"),
        (records({"text": None}), "None|missing|null"),
        (records({"text": ""}), "a text without words"),
        (records({"text": "the cat"}, {"text": " "}), "input 2: a text without words"),
        (records({"text": "Кошка спит"}), "script of which the training data have no letter"),
        (records({"text": "the \ud800 cat"}), "UTF-8|surrogates"),
        (records({"text": "the cat " * 20_000}), "at most 131,072"),
        (records(), "there are none|text"),
        ({"dataframe_split": {"columns": ["text"], "data": []}}, "there are none"),
    ):
        status, said = ask(address, body)
        assert status == 400, (body if len(str(body)) < 200 else says, status, said)
        assert any(word in said for word in says.split("|")), (says, said)
    assert ask(address, b"the cat", "text/plain")[0] == 415
    assert ask(address, records({"text": "the cat sleeps"}))[0] == 200


def test_a_batch_on_ray_is_whole_ordered_and_names_its_failures(
    models: dict[str, tuple[Path, Path]],
    machine: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "a.txt").write_text("\n".join(TEXTS[:50]) + "\n\n")
    parquet.write_table(
        pa.table({"id": range(40), "text": [*TEXTS[50:89], None]}), folder / "b.parquet", row_group_size=9
    )
    (folder / "c.wav").write_bytes(b"RIFF\x00\x00\x00\x00WAVE")
    with (folder / "d.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["text", "x"], *([text, "1"] for text in TEXTS[89:])])
    output = tmp_path / "out/answers.parquet"
    monkeypatch.setenv("RNN_THREADS", "1")
    assert predict.predict("sample", "sentiment", [str(folder)], output=output) == 3
    out, err = capsys.readouterr()
    assert out == ""
    for line in ("a.txt:51: a text without words", "b.parquet:40: text: None; a text", "c.wav: bytes that are no text"):
        assert f"error: {folder}/{line}" in err, err
    assert "120 answered, 3 failed" in err
    table = parquet.read_table(output).to_pydict()
    assert table["text"] == TEXTS
    wanted = Predictor(models["sentiment"][0]).answers(TEXTS)
    assert table["label"] == [answer["label"] for answer in wanted]
    np.testing.assert_allclose(table["probability"], [answer["probability"] for answer in wanted], rtol=1e-5)
    assert json.loads(table["probabilities"][0]).keys() == {"bad", "good"}
    assert [path.name for path in output.parent.iterdir()] == ["answers.parquet"]


def test_outputs_that_cannot_be(machine: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"--output: found out\.xlsx; a file that ends in \.jsonl, \.csv, \.parquet"):
        predict.predict("sample", "sentiment", ["the cat"], output=Path("out.xlsx"))
    with pytest.raises(DataError, match="stdin: it cannot be divided among workers"):
        predict.predict("sample", "sentiment", ["-"], output=tmp_path / "a.jsonl")
    assert list(tmp_path.iterdir()) == []


def test_what_is_asked_for_and_not_there(machine: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no alias or version `9`; aliases: challenger .*; versions: 1"):
        predict.predict("sample", "sentiment", ["the cat"], model="9")
    with pytest.raises(
        DataError, match="rnn-moods: no registered model; registered are: rnn-pos_tagging, rnn-sentiment"
    ):
        predict.predict("sample", "moods", ["the cat"])
    with pytest.raises(DataError, match=r"nowhere\.txt: no such file"):
        predict.predict("sample", "sentiment", ["nowhere.txt"])
    (tmp_path / "folder").mkdir()
    with pytest.raises(DataError, match="folder: an empty folder"):
        predict.predict("sample", "sentiment", [str(tmp_path / "folder")])
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("given", ["", "  ", "Кошка спит.", "猫が眠る", "the \udcff cat"])
def test_texts_without_an_answer(given: str, machine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(DataError, match="INPUT: none of 1 inputs has an answer"):
        predict.predict("sample", "sentiment", [given])
    assert "error: argument: " in capsys.readouterr().err


def test_stdin_is_answered_line_by_line_in_bounded_memory(
    machine: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Endless input: the first answers are there before the last line is read, and no line is held whole."""
    fed = 0

    class Endless(io.RawIOBase):
        def readable(self) -> bool:
            return True

        def readinto(self, buffer: Any) -> int:
            nonlocal fed
            part = b"the cat sleeps .\n" * 100 if fed < 3_000_000 else b"x" * 10_000 if fed < 13_000_000 else b""
            part = part[: len(buffer)]
            buffer[: len(part)] = part
            fed += len(part)
            return len(part)

    class Enough(Exception):
        pass

    rows = []

    def write(row: dict[str, Any]) -> None:
        rows.append(fed)
        if len(rows) == 200:
            raise Enough

    monkeypatch.setattr(predict, "_print", write)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BufferedReader(Endless())))
    with pytest.raises(Enough):
        predict.predict("sample", "sentiment", ["-"])
    assert rows[-1] < 100_000, "it read far ahead of what it answered"


def test_the_command(machine: Path, tmp_path: Path) -> None:
    """Its streams and its exit status, in a process of its own."""
    env = os.environ | {"OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "pipelines.predict", "pos_tagging", "-"]
    done = subprocess.run(
        command, cwd=paths.REPOSITORY, env=env, input="the cat sleeps.\n\n", capture_output=True, text=True
    )
    assert done.returncode == 1
    (answer,) = [json.loads(line) for line in done.stdout.splitlines()]
    assert (answer["input"], answer["text"], answer["words"]) == (
        "stdin:1",
        "the cat sleeps.",
        [*["the", "cat", "sleeps", "."]],
    )
    assert "rnn-pos_tagging version 1, challenger, champion" in done.stderr
    assert "error: stdin:2: a text without words" in done.stderr
    assert "1 answered, 1 failed" in done.stderr
