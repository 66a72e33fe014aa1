"""Raw inputs of every sort: typed at the terminal, and as a served model's column has them."""

from types import SimpleNamespace

import pytest
import torch

from pipelines import evaluate, networks, tasks
from pipelines.tasks import Picture, Simple
from pipelines.using.predictor import AT_ONCE, BATCH, Predictor, letters_of
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
    made = networks.Model(stand_in(sort), torch.nn.Identity(), {"words": ["words"]}, {})
    monkeypatch.setattr(networks, "load", lambda folder: made)
    return Predictor("anywhere")


@pytest.mark.parametrize(("sort", "given"), [("text", "some words"), ("file", b"\x00\xff"), ("table", "a,b\n")])
def test_an_input_is_the_same_raw_and_as_a_served_column(monkeypatch, sort, given):
    one = predictor(monkeypatch, sort)
    assert one.column == sort
    assert one.answers([given]) == [{"type": type(given).__name__, "length": len(given)}]
    assert one.answers_to_texts([networks.to_text(given)]) == one.answers([given])


@pytest.mark.parametrize(
    ("sort", "texts", "says"),
    [
        ("file", ["%%%"], "input: no base64"),
        ("file", [""], "input: nothing; a file with contents"),
        ("text", [], "inputs: there are none; at least one text"),
        ("text", ["a", 3], "input: 3; the text as a string"),
        ("text", [None], "input: None; the text as a string"),
        ("table", ["a", "b \ud800"], r"input 2: '\\ud800' at character 3; text that can be written in UTF-8"),
        ("text", ["Кошка 1"], "input: text in a script of which the training data have no letter"),
    ],
)
def test_what_no_task_answers(monkeypatch, sort, texts, says):
    with pytest.raises(DataError, match=says):
        predictor(monkeypatch, sort).answers_to_texts(texts)


def test_letters_are_those_of_the_vocabulary_whatever_their_case(monkeypatch):
    assert letters_of({"words": ["<unk>", "Кот", "1"], "word_counts": [0, 2], "level": "word"}) == {*"unkкот"}
    assert predictor(monkeypatch, "text").answers(["W", "3 !", ""]) == [
        {"type": "str", "length": length} for length in (1, 3, 0)
    ]


def test_a_bad_input_leaves_the_others_and_memory_is_bounded(monkeypatch):
    """Inputs are answered together as far as their number times the longest allows; none is read far ahead."""
    seen, asked = [], []

    def answers(network, inputs, sidecar):
        asked.append(len(inputs))
        assert len(inputs) * max(map(len, inputs), default=0) <= AT_ONCE["text"]
        if "bad" in inputs:
            raise DataError("input", "a bad one", "a good one")
        return [{"length": len(one)} for one in inputs]

    def given():
        for number in range(300):
            seen.append(number)
            yield f"n{number}", "bad" if number == 5 else "w" * 60_000 if number == 200 else "w"
        yield "gone", DataError("gone", "no file", "a file")

    one = predictor(monkeypatch, "text")
    one._model.task.answers = answers
    outcomes = one.outcomes(given())
    assert next(outcomes).row() == {"input": "n0", "text": "w", "length": 1}
    assert len(seen) <= BATCH + 1
    rest = list(outcomes)
    assert [str(o.error) for o in rest if o.error] == ["n5: a bad one; a good one", "gone: no file; a file"]
    assert [o.where for o in rest] == [*(f"n{i}" for i in range(1, 300)), "gone"]
    assert asked.count(1) == BATCH
    assert max(asked) == BATCH


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
