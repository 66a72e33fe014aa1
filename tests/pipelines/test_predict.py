"""Raw inputs of every sort: typed at the terminal, and as a served model's column has them."""

from types import SimpleNamespace

import pytest
import torch

from pipelines import evaluate, networks, tasks
from pipelines.predict import Predictor
from pipelines.tasks import Picture, Simple
from rnn_core.errors import DataError


def stand_in(sort):
    """A task that answers with the length of what it is given."""
    return SimpleNamespace(
        INPUT=sort,
        REQUIREMENTS=("numpy",),
        KIND="tagging",
        answers=lambda network, inputs, sidecar: [{"type": type(one).__name__, "length": len(one)} for one in inputs],
        example_input=lambda columns, sidecar, raw: (raw / "a").read_bytes(),
    )


def predictor(monkeypatch, sort):
    made = networks.Model(stand_in(sort), torch.nn.Identity(), {}, {})
    monkeypatch.setattr(networks, "load", lambda folder: made)
    return Predictor("anywhere")


@pytest.mark.parametrize(("sort", "type_name"), [("text", "str"), ("file", "bytes"), ("table", "str")])
def test_an_input_is_typed_or_read_from_its_file(tmp_path, monkeypatch, sort, type_name):
    one = predictor(monkeypatch, sort)
    (tmp_path / "a").write_bytes(b"1,2,3\n")
    typed = "some words" if sort == "text" else str(tmp_path / "a")
    given = one.read(typed)
    assert one.answers([given]) == [{"type": type_name, "length": 10 if sort == "text" else 6}]
    assert one.answers_to_texts([networks.to_text(given)]) == one.answers([given])
    assert one.column == sort


def test_files_that_cannot_be_read(tmp_path, monkeypatch):
    with pytest.raises(DataError, match=r"none: cannot be read: No such file .*; the path of a file"):
        predictor(monkeypatch, "file").read(str(tmp_path / "none"))
    with pytest.raises(DataError, match="input: no base64"):
        predictor(monkeypatch, "file").answers_to_texts(["%%%"])
    (tmp_path / "table.csv").write_bytes(b"a,\xff\n")
    with pytest.raises(DataError, match=r"table\.csv: byte 2 is no UTF-8"):
        predictor(monkeypatch, "table").read(str(tmp_path / "table.csv"))


def test_the_example_of_a_registered_model_is_text_whatever_the_task_takes(tmp_path, monkeypatch):
    predictor(monkeypatch, "file")
    monkeypatch.setattr(evaluate, "read_split", lambda *_: None)
    (tmp_path / "a").write_bytes(b"\x00\xff\x10")
    example = evaluate.example(tmp_path, tmp_path, tmp_path)
    assert example["answer"] == {"type": "bytes", "length": 3}
    assert (example["column"], example["input"], example["requirements"]) == ("file", "AP8Q", ["numpy"])


def test_simple_baselines_are_those_that_the_task_names(tmp_path, monkeypatch, capsys):
    found = {"a": Simple({"accuracy": 70.5}, "the most frequent"), "b": Simple({"accuracy": 60.0}, "always x")}
    task = SimpleNamespace(SIMPLE=("a", "b"), KIND="tagging", simple=lambda splits, sidecar: found)
    monkeypatch.setattr(tasks, "load", lambda name: task)
    monkeypatch.setattr(evaluate, "read_split", lambda folder, split, kind: split)
    (tmp_path / "sidecar.json").write_text("{}")
    block = SimpleNamespace(task="t", name="block")
    assert evaluate.simple_baselines(block, tmp_path) == found
    assert "block/a: test accuracy 70.5 (the most frequent)" in capsys.readouterr().out
    task.SIMPLE = ()
    assert evaluate.simple_baselines(block, tmp_path) == {}


def test_pictures_and_tables_without_rows_are_laid_out(tmp_path):
    picture = Picture(["x", "y"], ["a", "b", "c"], torch.rand(2, 3))
    evaluate.lay_out({"attention": picture, "nothing": [], "table": [{"k": 1}]}, tmp_path, "title")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["attention.png", "table.csv"]
