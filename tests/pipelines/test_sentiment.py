"""The sentiment task: raw format, bad lines, rows, answers, what it measures and shows, the bag of words."""

import hashlib
import json

import numpy as np
import pytest
import torch
from sklearn.metrics import confusion_matrix, f1_score

from pipelines import networks, preprocess, tasks
from pipelines.tasks import BadRecord, Matrix, Where
from rnn_core import arrow
from rnn_core.config import from_mapping
from rnn_core.errors import ConfigError, DataError
from rnn_core.lanes import Windows
from rnn_core.models import classification

TASK = tasks.load("sentiment")
WHOLE = Where("file.tsv", 1, True, True)
DATA = TASK.Data(labels={"0": "negative", "1": "positive"}, lowercase=True, max_length=6, too_long="cut")
TEXTS = ["good film", "bad film", "not bad", "a good good film", "bad", "not a good film"]
LABELS = [1, 0, 1, 1, 0, 0]
SETTINGS = {"cell": "gru", "hidden_size": 5, "num_layers": 1, "input_dropout": 0.1, "dropout": 0.1}
SETTINGS |= {"embedding_size": 6, "bidirectional": True, "read_out": "last", "step_dropout": 0.2}


def read(text, data=DATA, where=WHOLE):
    return list(TASK.read(text if isinstance(text, bytes) else text.encode(), where, data))


def sidecar_of(lines):
    return json.loads(json.dumps(TASK.sidecar(TASK.count(read(lines)), DATA)))


LINES = "".join(f"{text}\t{label}\n" for text, label in zip(TEXTS, LABELS, strict=True))
SIDECAR = sidecar_of(LINES)


def columns_of(lines=LINES):
    encode = TASK.encoder(SIDECAR)
    return arrow.from_rows([encode(sentence) for sentence in read(lines)], TASK.KIND)


def windows_of(columns, lanes=2, window=6):
    filling = classification.filling(columns, lanes=lanes, window=window, seed=None, carries=False)
    return Windows(filling=filling, assemble=classification.assemble(columns), lanes=slice(0, lanes))


def model(**changes):
    torch.manual_seed(0)
    return networks.build(TASK, SETTINGS | changes, SIDECAR).double().eval()


def test_a_line_is_words_and_a_label():
    first, second = read("A  good Film .\t1\r\n\n<unk> \xfc\t0")
    assert (first.words, first.label, first.records) == (("a", "good", "film", "."), "1", 1)
    assert second.words == ("<unk>", "\xfc")
    cased = TASK.Data(labels={"no": "n", "yes": "y"}, lowercase=False, max_length=6, too_long="cut")
    assert read("A Film\tyes\n", cased)[0].words == ("A", "Film")


@pytest.mark.parametrize(
    ("line", "found", "allowed"),
    [
        (b"good film", "1 columns", "2, apart by a tab"),
        (b"good\tfilm\t1", "3 columns", "2, apart by a tab"),
        (b"good film\t2", "label '2'", "one of 0, 1"),
        (b"good film\t", "label ''", "one of 0, 1"),
        (b" \t1", "an empty sentence", "at least one word"),
        (b"g\xe4\t1", "byte 0xe4 at column 2 is no UTF-8", "UTF-8 text"),
    ],
)
def test_a_malformed_line_is_named_and_the_others_stay(line, found, allowed):
    first, bad, last = read(b"a\t1\n\n" + line + b"\nb\t0\n", where=Where("x.tsv", 10, False, False))
    assert (first.words, last.words) == (("a",), ("b",))
    assert isinstance(bad, BadRecord)
    assert (bad.where, bad.found) == ("x.tsv:12", found)
    assert bad.allowed.startswith(allowed)


def test_sentences_of_any_length_are_cut_or_refused():
    line = " ".join("abcdefghij") + "\t1\n"
    assert read(line)[0].words == tuple("abcdef")
    refusing = TASK.Data(labels=DATA.labels, lowercase=True, max_length=9, too_long="refuse")
    assert (read(line, refusing)[0].found, len(read("a b\t0", refusing))) == ("a sentence of 10 words", 1)


def test_rows_and_unknown_words():
    assert SIDECAR["words"][:4] == ["<pad>", "<unk>", "film", "good"]
    assert SIDECAR["label_names"] == ["negative", "positive"]
    row = TASK.encoder(SIDECAR)(read("good stuff\t1")[0])
    assert (row["tokens"].tolist(), row["steps"], row["label"]) == ([3, 1], 2, 1)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("It isn't bad!", "it is n't bad !"),
        ("We'll see... the U.S. film's end", "we 'll see ... the u.s . film 's end"),
        ("(so-so, 3.5 stars)", "( so-so , 3.5 stars )"),
    ],
)
def test_a_typed_sentence(text, words):
    assert TASK.raw_example(text, SIDECAR).words == tuple(words.split())


def test_nothing_typed():
    with pytest.raises(DataError, match="input: a text without words"):
        TASK.raw_example(" ", SIDECAR)


@pytest.mark.parametrize("read_out", ["last", "mean", "max"])
def test_a_sentence_is_answered_the_same_alone_and_among_others(read_out):
    made = model(read_out=read_out)
    together = TASK.answers(made, TEXTS, SIDECAR)
    for text, answer in zip(TEXTS, together, strict=True):
        (alone,) = TASK.answers(made, [text], SIDECAR)
        assert alone["probability"] == pytest.approx(answer["probability"])
        assert alone["label"] == answer["label"]
        assert sum(answer["probabilities"].values()) == pytest.approx(1)
    assert TASK.answers(made, [], SIDECAR) == []


def test_what_is_measured_equals_what_is_answered():
    made, columns = model(), columns_of()
    answered = [SIDECAR["label_names"].index(answer["label"]) for answer in TASK.answers(made, TEXTS, SIDECAR)]
    sums = TASK.measure(made, windows_of(columns), SIDECAR)
    metrics = TASK.metrics(sums, SIDECAR)
    assert metrics["accuracy"] == pytest.approx(100 * np.mean(np.array(answered) == LABELS))
    assert metrics["f1"] == pytest.approx(100 * f1_score(LABELS, answered, average="macro"))
    tables = TASK.tables(sums, SIDECAR)
    assert isinstance(tables["confusion"], Matrix)
    assert tables["confusion"].counts_VV.tolist() == confusion_matrix(LABELS, answered).tolist()
    assert sum(row["examples"] for row in tables["reliability"]) == len(TEXTS)
    lines = LINES.splitlines(keepends=True)
    halves = [TASK.measure(made, windows_of(columns_of("".join(part))), SIDECAR) for part in (lines[:2], lines[2:])]
    for name, whole in sums.items():
        torch.testing.assert_close(halves[0][name] + halves[1][name], whole)


def test_the_largest_losses_are_shown_with_their_text():
    made = model()
    tables = TASK.analysis(made, windows_of(columns_of()), columns_of(), SIDECAR)
    answers = TASK.answers(made, TEXTS, SIDECAR)
    losses = {
        text: -np.log(answer["probabilities"][SIDECAR["label_names"][label]])
        for text, answer, label in zip(TEXTS, answers, LABELS, strict=True)
    }
    shown = [(row["text"], row["loss"]) for row in tables["largest_loss"]]
    assert shown == [(t, pytest.approx(losses[t], abs=1e-3)) for t in sorted(losses, key=lambda t: -losses[t])]
    assert [row["sentences"] for row in tables["accuracy_by_length"]] == [1, 3, 2]


def test_the_bag_of_words_is_chosen_on_validation_data_and_knows_no_order():
    train = "".join(
        f"{a} {b} x{i % 3}\t{int(a == 'good')}\n" for i in range(30) for a in ("good", "bad") for b in ("film", "plot")
    )
    splits = {split: columns_of(train if split == "train" else LINES) for split in arrow.SPLITS}
    found = TASK.simple(splits, SIDECAR)
    assert tuple(found) == TASK.SIMPLE
    assert found["bag_of_words"].scores["accuracy"] == pytest.approx(100 * 4 / 6), "all but those with `not`"
    assert "validation" in found["bag_of_words"].chosen


def test_a_training_may_begin_with_word_vectors(tmp_path, capsys):
    content = b"film 1 2 3 4 5 6\n"
    (tmp_path / "v.txt").write_bytes(content)
    vectors = {"path": "v.txt", "sha256": hashlib.sha256(content).hexdigest()}
    made, before = model(vectors=vectors), model().state_dict()
    TASK.begin(made, SETTINGS | {"vectors": vectors}, SIDECAR, tmp_path)
    weight = made.model.encoder.embedding.weight
    changed = (weight != before["model.encoder.embedding.weight"]).any(1)
    assert changed.tolist() == [word == "film" for word in SIDECAR["words"]]
    assert torch.equal(weight[2].argsort(), torch.arange(6))
    assert "1 of 7 words begin with vectors" in capsys.readouterr().out
    TASK.begin(made, SETTINGS, SIDECAR, tmp_path)


def test_a_user_s_file_is_split_and_its_bad_lines_are_put_aside(tmp_path):
    (tmp_path / "raw").mkdir()
    lines = [f"review {i} of this film\t{'up' if i % 2 else 'down'}\n" for i in range(300)]
    (tmp_path / "raw/mine.tsv").write_text("".join(lines) + "no label\n", newline="\r\n")
    data = {"from": "mine.tsv", "max_bad_share": 1.0, "labels": {"down": "bad", "up": "good"}, "lowercase": False}
    data |= {"max_length": 9, "too_long": "refuse"}
    summary = preprocess.preprocess(
        tmp_path / "raw", tmp_path / "arrow", "sentiment", data, suite="sample", dataset="mine", processes=1
    )
    assert sum(numbers["rows"] for numbers in summary["splits"].values()) == 300
    assert sum(numbers["bad_records"] for numbers in summary["splits"].values()) == 1
    train = arrow.read_split(tmp_path / "arrow", "train", TASK.KIND)
    assert set(train["label"].tolist()) == {0, 1}
    assert set(train.steps().tolist()) == {5}


@pytest.mark.parametrize(("key", "value"), [("labels", {"0": "x"}), ("max_length", 0), ("too_long", "split")])
def test_data_keys(key, value):
    good = {"labels": DATA.labels, "lowercase": True, "max_length": 6, "too_long": "cut"}
    with pytest.raises(ConfigError, match=key):
        from_mapping(TASK.Data, good | {key: value}, "data")
