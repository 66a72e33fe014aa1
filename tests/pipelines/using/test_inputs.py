"""What a command names as single inputs: of each sort of file, and what cannot be read in its place."""

import io
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet

from pipelines.using import inputs
from rnn_core.errors import DataError, UserError


def read(path: Path, takes: str = "text", column: str | None = None) -> list[Any]:
    """Inputs as they are, errors as their text."""
    found = inputs.read(path, takes, column)
    return [str(given) if isinstance(given, UserError) else given for _, given in found]


def test_a_sentence_or_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("in/b.txt", "in/a/c.txt", "in/.hidden", "one.txt"):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_text("x")
    assert inputs.places(["the", "cat", "."], "text") == ["the cat ."]
    assert inputs.places(["the cat. it"], "text") == ["the cat. it"]
    assert inputs.places(["x" * 5000], "text") == ["x" * 5000]
    assert inputs.places(["in", "one.txt"], "text") == [Path("in/a/c.txt"), Path("in/b.txt"), Path("one.txt")]
    assert inputs.places(["one.txt", "and", "more"], "text") == ["one.txt and more"]
    assert inputs.places([""], "text") == [""]
    for takes, typed in (("text", "two.txt"), ("file", "the cat"), ("table", "sales"), ("file", "")):
        with pytest.raises(DataError, match=rf"{typed or 'INPUT'}: no such file; the path of a {takes}"):
            inputs.places([typed], takes)


@pytest.mark.parametrize("kind", [".parquet", ".arrow", ".jsonl", ".csv", ".tsv"])
def test_tables_of_texts_with_a_bad_row(tmp_path: Path, kind: str) -> None:
    path, texts = tmp_path / f"table{kind}", ["one, two", None, "drei"]
    table = pa.table({"id": [1, 2, 3], "text": texts})
    if kind == ".parquet":
        parquet.write_table(table, path, row_group_size=2)
    elif kind == ".arrow":
        with pa.ipc.new_file(path, table.schema) as writer:
            writer.write_table(table, 2)
    elif kind == ".jsonl":
        path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    else:
        mark = "," if kind == ".csv" else "\t"
        path.write_text(f'id{mark}text\n1{mark}"one, two"\n2\n3{mark}drei\n')
    assert read(path) == ["one, two", f"{path}:2: text: None; a text", "drei"]
    (missing, *_) = read(path, column="words")
    assert "`words`" in missing
    if kind != ".jsonl":
        assert missing == f"{path}: no column `words`; there are: id, text; `--column` names another one"


@pytest.mark.parametrize("kind", [".parquet", ".arrow", ".jsonl", ".csv", ".txt"])
def test_files_that_are_not_what_their_names_say(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"broken{kind}"
    path.write_bytes(b"\x00\xff\n")
    (error,) = read(path)
    assert error.startswith(str(path))
    path.unlink()
    (error,) = read(path)
    assert "No such file" in error


def test_lines_with_bad_ones_among_them(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(b"\xef\xbb\xbfone\r\n\nb\xe4d\n" + b"x" * 600_000 + b"\nlast")
    first, second, third, fourth, last = read(path)
    assert (first, second, last) == ("one", "", "last")
    assert third == f"{path}:3: byte 0xe4 at 2 is no UTF-8; UTF-8 text"
    assert fourth == f"{path}:4: a line of more than 524,288 bytes; an input a line"


def test_files_and_tables_of_files(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(b"\x00a")
    (tmp_path / "list.csv").write_text("file,label\na.wav,1\nb.wav,2\n")
    (tmp_path / "paths.csv").write_text("0,0.1,0.2\n")
    parquet.write_table(pa.table({"file": [b"\x00c", b"\x00d"]}), tmp_path / "many.parquet")
    assert read(tmp_path / "a.wav", "file") == [b"\x00a"]
    assert read(tmp_path / "many.parquet", "file") == [b"\x00c", b"\x00d"]
    one, missing = read(tmp_path / "list.csv", "file")
    assert one == b"\x00a"
    assert missing == f"{tmp_path}/b.wav: cannot be read: No such file or directory; the path of a file"
    assert read(tmp_path / "paths.csv", "file") == [b"0,0.1,0.2\n"]
    assert read(tmp_path / "paths.csv", "table") == ["0,0.1,0.2\n"]
    assert read(tmp_path / "many.parquet", "table", "file")[0].endswith(": file: b'\\x00c'; a text")


def test_stdin_is_lines_of_texts_or_of_paths(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(b"\x00a")
    assert list(inputs.lines(io.BytesIO(b"one\ntwo"), "text")) == [("stdin:1", "one"), ("stdin:2", "two")]
    given = f"{tmp_path}/a.wav\n{tmp_path}\n".encode()
    (first, content), (_, error) = inputs.lines(io.BytesIO(given), "file")
    assert (first, content) == (f"{tmp_path}/a.wav", b"\x00a")
    assert "Is a directory" in str(error)


def test_what_is_too_large_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(inputs.LARGEST, "file", 10)
    (tmp_path / "a.wav").write_bytes(b"x" * 11)
    assert read(tmp_path / "a.wav", "file") == [f"{tmp_path}/a.wav: more than 10 bytes; a smaller file"]
