"""Translation: what is read and what is bad, subwords, scores that are sacreBLEU's own, answers in their order."""

import functools
import gzip
import json
import subprocess
import sys

import numpy as np
import pytest
import sacrebleu
import torch
from hypothesis import given
from hypothesis import strategies as st

from pipelines import networks, tasks
from pipelines.preprocess import preprocess
from pipelines.tasks import BadRecord, Picture, Where
from rnn_core import arrow
from rnn_core.config import from_mapping
from rnn_core.errors import ConfigError, DataError
from rnn_core.lanes import Windows
from rnn_core.models import transduction

TASK = tasks.load("translation")
DATA = TASK.Data(source="en", target="de", vocabulary=300, max_length=60)
WHOLE = Where("train.en", 1, True, True)
SENTENCES = [("A man sits.", "Ein Mann sitzt."), ("Two dogs run, fast.", "Zwei Hunde rennen, schnell.")]
MODEL = {
    "cell": "gru",
    "embedding_size": 8,
    "hidden_size": 12,
    "num_layers": 1,
    "input_dropout": 0.0,
    "dropout": 0.0,
    "encoder": {"hidden_size": 6, "num_layers": 1},
    "attention": {"score": "additive", "size": 5},
    "tie": "all",
    "word_dropout": 0.0,
    "label_smoothing": 0.0,
    "search": {"width": 2, "length_penalty": 1.0, "coverage_penalty": 0.1},
}


def lines(pairs):
    return tuple("".join(f"{pair[side]}\n" for pair in pairs).encode() for side in (0, 1))


def read(pairs, data=DATA, where=WHOLE):
    return list(TASK.read(lines(pairs), where, data))


@functools.lru_cache
def sidecar_of(pairs=tuple(SENTENCES)):
    return json.loads(json.dumps(TASK.sidecar(TASK.count(read(pairs)), DATA)))


@pytest.fixture(scope="module")
def sidecar():
    return sidecar_of()


@pytest.fixture(scope="module")
def network(sidecar):
    torch.manual_seed(3)
    made = networks.build(TASK, MODEL, sidecar)
    for parameter in made.parameters():
        torch.nn.init.normal_(parameter, std=0.6)
    return made.eval()


def columns_of(pairs, sidecar):
    encode = TASK.encoder(sidecar)
    return arrow.from_rows([encode(pair) for pair in read(pairs)], TASK.KIND)


def windows_of(columns, lanes=3, part=slice(0, 3)):
    filling = transduction.filling(columns, lanes=lanes, window=100, seed=None, carries=False)
    return Windows(filling=filling, assemble=transduction.assemble(columns), lanes=part)


def test_white_space_is_one_blank_and_characters_are_composed():
    (pair,) = read([(" A  man\tsits. \r", "Scho\u0308n.")])
    assert (pair.source, pair.target, pair.records) == ("A man sits.", "Sch\u00f6n.", 1)


@pytest.mark.parametrize(
    ("pair", "found", "allowed"),
    [
        (("", "leer"), "en: an empty sentence", "at least one word"),
        (("empty", " \t"), "de: an empty sentence", "at least one word"),
        (("x" * 61, "lang"), "en: a sentence of 61 bytes", "at most 60 (data.max_length)"),
        (("long", "ü" * 31), "de: a sentence of 62 bytes", "at most 60 (data.max_length)"),
    ],
)
def test_a_bad_pair_is_named_and_the_others_stay(pair, found, allowed):
    where = Where("train.en", 100, False, False)
    first, bad, last = read([SENTENCES[0], pair, SENTENCES[1]], where=where)
    assert (first.source, last.target) == (SENTENCES[0][0], SENTENCES[1][1])
    assert bad == BadRecord("train.en:101", found, allowed, "\t".join(pair))


def test_what_is_no_utf8_is_a_bad_record():
    (bad,) = TASK.read((b"caf\xe9\n", b"gut\n"), WHOLE, DATA)
    assert (bad.where, bad.found) == ("train.en:1", "en: byte 0xe9 at column 4 is no UTF-8")


@given(text=st.text(min_size=1, max_size=15).filter(lambda text: text.split()))
def test_any_text_survives_its_tokens(text):
    sidecar = sidecar_of()
    pair = TASK.raw_example(text, sidecar)
    row = TASK.encoder(sidecar)(pair)
    assert TASK.example_input(arrow.from_rows([row], TASK.KIND), sidecar, None) == pair.source
    assert len(row["source"]) <= len(pair.source.encode()) + 2
    assert row["source"][-1] == transduction.END
    assert (row["source"][:-1] > transduction.END).all()
    assert row["target"].tolist() == [transduction.END]


def test_names_of_special_tokens_are_letters(sidecar):
    row = TASK.encoder(sidecar)(TASK.raw_example("<end> <pad>", sidecar))
    assert (row["source"][:-1] > transduction.END).all()


def test_frequent_words_are_one_token_and_each_process_learns_the_same(sidecar):
    pairs = (("the cat", "die Katze"), ("the dog", "der Hund")) * 20
    learnt = sidecar_of(pairs)
    assert len(TASK.encoder(learnt)(TASK.raw_example("the cat", learnt))["source"]) == 3
    assert len(learnt["tokenizer"]["model"]["vocab"]) <= DATA.vocabulary
    assert {k: learnt[k] for k in ("source", "target", "max_length")} == {
        "source": "en",
        "target": "de",
        "max_length": 60,
    }
    code = f"""
import json
from tests.pipelines.test_translation import sidecar_of
print(json.dumps(sidecar_of({pairs!r}), sort_keys=True))
"""
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(told.stdout) == learnt


def test_scores_of_parts_add_up_to_sacrebleus_of_all(network, sidecar):
    pairs = [*SENTENCES, ("A dog.", "Ein Hund."), ("Two men sit.", "Zwei Männer sitzen."), ("Run!", "Rennt!")]
    columns = columns_of(pairs, sidecar)
    answered = [answer["translation"] for answer in TASK.answers(network, [pair[0] for pair in pairs], sidecar)]
    assert any(answered)
    parts = [TASK.measure(network, windows_of(columns, part=part), sidecar) for part in (slice(0, 2), slice(2, 3))]
    scores = TASK.metrics({name: parts[0][name] + parts[1][name] for name in parts[0]}, sidecar)
    right = [pair[1] for pair in pairs]
    assert scores["bleu"] == pytest.approx(sacrebleu.corpus_bleu(answered, [right], force=True).score)
    assert scores["chrf"] == pytest.approx(sacrebleu.corpus_chrf(answered, [right]).score)
    assert scores["loss"] == pytest.approx(
        TASK.metrics(TASK.measure(network, windows_of(columns), sidecar), sidecar)["loss"]
    )


def test_right_answers_score_a_hundred_and_the_signature_says_how(sidecar):
    sums = {"loss": torch.ones(2, dtype=torch.float64)}
    right = [pair[1] for pair in SENTENCES]
    sums |= {name: torch.tensor(TASK._counted(name, right, right), dtype=torch.float64) for name in TASK.METRICS}
    assert TASK.metrics(sums, sidecar) == pytest.approx({"loss": 1.0, "bleu": 100.0, "chrf": 100.0})
    tables = TASK.tables(sums, sidecar)
    assert [row["precision"] for row in tables["bleu_ngrams"]] == [100.0] * 4
    bleu, chrf = (row["signature"] for row in tables["signatures"])
    assert "case:mixed" in bleu
    assert "tok:13a" in bleu
    assert "nc:6|nw:0" in chrf


def test_answers_stand_in_the_order_of_the_questions(network, sidecar):
    texts = ["A man sits.", "Dogs!", "Two dogs run, fast and far.", "Dogs!"]
    together = TASK.answers(network, texts, sidecar)
    assert together == [TASK.answers(network, [text], sidecar)[0] for text in texts]
    assert TASK.answers(network, [], sidecar) == []
    with pytest.raises(DataError, match="input: en: an empty sentence; at least one word"):
        TASK.answers(network, ["A man.", " "], sidecar)


def test_analysis_shows_the_worst_and_the_attention(network, sidecar):
    columns = columns_of(SENTENCES, sidecar)
    found = TASK.analysis(network, windows_of(columns), columns, sidecar)
    assert [row["loss"] for row in found["worst"]] == sorted((row["loss"] for row in found["worst"]), reverse=True)
    assert {row["right"] for row in found["examples"]} == {pair[1] for pair in SENTENCES}
    picture = found["attention_0"]
    assert isinstance(picture, Picture)
    assert picture.rows[-1] == picture.columns[-1] == "<end>"
    assert picture.values_RC.shape == (len(picture.rows), len(picture.columns))
    torch.testing.assert_close(picture.values_RC.sum(1), torch.ones(len(picture.rows)))


def test_word_by_word_translates_each_word_in_its_place(sidecar):
    rng = np.random.default_rng(0)
    words = {"one": "eins", "two": "zwei", "three": "drei", "four": "vier", "five": "fünf"}
    texts = [" ".join(rng.choice(list(words), rng.integers(1, 5))) for _ in range(80)]
    pairs = [(text, " ".join(words[word] for word in text.split())) for text in texts]
    splits = dict.fromkeys(arrow.SPLITS, columns_of(pairs, sidecar))
    found = TASK.simple(splits, sidecar)
    assert list(found) == list(TASK.SIMPLE)
    assert found["word_by_word"].scores["chrf"] == pytest.approx(100)
    assert "IBM model 1" in found["word_by_word"].chosen


OWN = {"source": "en", "target": "de", "vocabulary": 300, "max_length": 60, "max_bad_share": 0.3}


def write(folder, stem, pairs, lengths=(None, None)):
    for side, language, length in zip((0, 1), ("en", "de"), lengths, strict=True):
        text = "".join(pair[side] + "\n" for pair in pairs[:length]).encode()
        (folder / f"{stem}.{language}").write_bytes(text)


def test_a_users_files_become_shards(tmp_path):
    raw, data = tmp_path / "raw", OWN | {"files": {"train": "a", "validation": "b", "test": "c"}}
    raw.mkdir()
    for stem, pairs in (("a", [*SENTENCES, ("", "leer"), *SENTENCES]), ("b", SENTENCES), ("c", SENTENCES[:1])):
        write(raw, stem, pairs)
    packed = gzip.compress((raw / "c.de").read_bytes())
    (raw / "c.de").unlink()
    (raw / "c.de.gz").write_bytes(packed)
    summary = preprocess(raw, tmp_path / "arrow", "translation", data, suite="s", dataset="mine", processes=1)
    assert [summary["splits"][s]["rows"] for s in arrow.SPLITS] == [4, 2, 1]
    assert summary["splits"]["train"]["bad_records"] == 1
    sidecar = json.loads((tmp_path / "arrow/sidecar.json").read_text())
    columns = arrow.read_split(tmp_path / "arrow", "test", TASK.KIND)
    assert TASK.example_input(columns, sidecar, raw) == SENTENCES[0][0]


def test_two_files_alone_are_split_by_their_pairs(tmp_path):
    (tmp_path / "raw").mkdir()
    write(tmp_path / "raw", "all", [(f"number {n}", f"Zahl {n}") for n in range(300)])
    summary = preprocess(
        tmp_path / "raw", tmp_path / "arrow", "translation", OWN, suite="s", dataset="mine", processes=1
    )
    rows = [summary["splits"][split]["rows"] for split in arrow.SPLITS]
    assert sum(rows) == 300
    assert rows[0] > 200


def test_files_of_unequal_lengths_are_refused(tmp_path):
    write(tmp_path, "all", SENTENCES, lengths=(2, 1))
    with pytest.raises(
        DataError, match="all.de: it ends after line 1, and all.en goes on; files of equally many lines"
    ):
        preprocess(tmp_path, tmp_path / "arrow", "translation", OWN, suite="s", dataset="mine", processes=1)
    assert not (tmp_path / "arrow").exists()


@pytest.mark.parametrize(("key", "value"), [("target", "en"), ("vocabulary", 258), ("max_length", 0), ("tokens", 1)])
def test_data_keys(key, value):
    given_ = {"source": "en", "target": "de", "vocabulary": 300, "max_length": 60, key: value}
    with pytest.raises(ConfigError, match=key):
        from_mapping(TASK.Data, given_, "data")
