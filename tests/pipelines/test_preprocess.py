"""The preprocess stage: the same bytes however many processes, bounded pieces, and every bad input named."""

import json
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest

from pipelines import chunks, parallel
from pipelines.preprocess import Sizes, preprocess
from rnn_core import arrow
from rnn_core.errors import ConfigError, DataError

DATASETS = Path(__file__).resolve().parents[2].parent / "shared/datasets"
SMALL = Sizes(chunk_bytes=200, longest_record=2000, batch_bytes=800, shard_bytes=3000)
LM = {"from": "x", "max_bad_share": 0.001, "level": "word", "min_count": 1}
POS = {"from": "x", "max_bad_share": 0.001, "max_length": 6, "too_long": "split"}


def conllu(count, seed):
    random = np.random.default_rng(seed)
    sentences = []
    for _ in range(count):
        words = random.integers(0, 30, size=random.integers(1, 9))
        lines = [f"{i}\tw{w}\t_\t{('NOUN', 'VERB', 'X')[w % 3]}" + "\t_" * 6 for i, w in enumerate(words, 1)]
        sentences.append("\n".join(lines) + "\n\n")
    return "".join(sentences)


def lines(count, seed):
    random = np.random.default_rng(seed)
    return "".join(" ".join(f"w{w}" for w in random.integers(0, 30, 6)) + "\n" for _ in range(count))


def raw_folder(tmp_path, make=lines, ending="txt", counts=(60, 9, 9)):
    raw = tmp_path / "raw"
    raw.mkdir()
    for seed, (split, count) in enumerate(zip(arrow.SPLITS, counts, strict=True)):
        (raw / f"{split}.{ending}").write_text(make(count, seed))
    return raw


def run(raw, out, task, data, sizes=SMALL, dataset="sample", processes=1):
    return preprocess(raw, out, task, data, suite="sample", dataset=dataset, sizes=sizes, processes=processes)


def contents(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


@pytest.mark.parametrize(
    ("task", "data", "make", "ending"),
    [("language_model", LM, lines, "txt"), ("pos_tagging", POS, conllu, "conllu")],
)
def test_the_bytes_do_not_depend_on_the_number_of_processes(tmp_path, capsys, task, data, make, ending):
    raw = raw_folder(tmp_path, make, ending, counts=(400, 30, 30))
    bad = b"\xff\xff\n\n"
    (raw / f"train.{ending}").write_bytes((raw / f"train.{ending}").read_bytes() + bad)
    data = {**data, "max_bad_share": 0.1}
    found = []
    for processes in (1, 2, 3):
        run(raw, tmp_path / f"arrow{processes}", task, data, processes=processes)
        found.append(contents(tmp_path / f"arrow{processes}"))
        assert f"processes: {processes}" in capsys.readouterr().out
    assert found[0] == found[1] == found[2]
    shards = [name for name in found[0] if name.startswith("train-")]
    assert len(shards) > 1
    assert {"sidecar.json", "summary.json", "quarantine.jsonl"} < set(found[0])


def test_sentences_come_back_whole_and_in_order(tmp_path):
    raw = raw_folder(tmp_path, conllu, "conllu")
    summary = run(raw, tmp_path / "arrow", "pos_tagging", POS)
    sidecar = json.loads((tmp_path / "arrow/sidecar.json").read_text())
    columns = arrow.read_split(tmp_path / "arrow", "train", "tagging")
    found = [sidecar["words"][i] for i in columns["words"].values]
    tags = [sidecar["tags"][i] for i in columns["tags"].values]
    rows = [line.split("\t") for line in (raw / "train.conllu").read_text().splitlines() if line]
    assert (found, tags) == ([row[1] for row in rows], [row[3] for row in rows])
    assert max(np.diff(columns["words"].offsets)) <= 6
    splits = summary["splits"]["train"]
    assert splits["records"] == 60
    assert splits["rows"] == splits["sequences"] == columns.num_rows > 60
    assert splits["steps"] == len(rows)
    characters = [sidecar["characters"][i] for i in columns["characters"][0]]
    words = [sidecar["words"][i] for i in columns["words"][0]]
    assert "".join(characters) == "".join(words)
    assert columns["ends"][0].tolist() == np.cumsum([len(word) for word in words]).tolist()


def test_the_stream_comes_back_whole(tmp_path):
    raw = raw_folder(tmp_path)
    summary = run(raw, tmp_path / "arrow", "language_model", LM)
    sidecar = json.loads((tmp_path / "arrow/sidecar.json").read_text())
    for split, count in zip(arrow.SPLITS, (60, 9, 9), strict=True):
        columns = arrow.read_split(tmp_path / "arrow", split, "language_model")
        words = [sidecar["words"][i] for i in columns["tokens"].values]
        assert words == (raw / f"{split}.txt").read_text().replace("\n", " <eos> ").split()
        assert columns["first"].tolist() == [True] + [False] * (columns.num_rows - 1)
        numbers = summary["splits"][split]
        assert (numbers["records"], numbers["sequences"], numbers["steps"]) == (count, 1, count * 7)
        assert numbers["bytes"] == sum(p.stat().st_size for p in (tmp_path / "arrow").glob(f"{split}-*"))


def test_metadata_summary_and_digest(tmp_path, capsys):
    raw = raw_folder(tmp_path)
    summary = run(raw, tmp_path / "arrow", "language_model", LM)
    assert summary == json.loads((tmp_path / "arrow/summary.json").read_text())
    assert (summary["task"], summary["suite"], summary["dataset"]) == ("language_model", "sample", "sample")
    metadata = arrow.read_split(tmp_path / "arrow", "test", "language_model").metadata
    assert set(metadata["sources"]) == {"train.txt", "validation.txt", "test.txt"}
    assert not (tmp_path / "arrow/quarantine.jsonl").exists()
    shown = capsys.readouterr().out
    assert "60 records" in shown
    assert "MB/s" in shown
    assert str(tmp_path / "arrow") in shown
    (raw / "test.txt").write_text("w1 w2\n")
    assert run(raw, tmp_path / "arrow", "language_model", LM)["digest"] != summary["digest"]


def test_rare_words_and_words_of_other_splits_are_unknown(tmp_path):
    raw = raw_folder(tmp_path)
    (raw / "train.txt").write_text("a a b\n")
    (raw / "test.txt").write_text("a b c\n")
    run(raw, tmp_path / "arrow", "language_model", {**LM, "min_count": 2})
    sidecar = json.loads((tmp_path / "arrow/sidecar.json").read_text())
    tokens = arrow.read_split(tmp_path / "arrow", "test", "language_model")["tokens"].values
    assert [sidecar["words"][i] for i in tokens] == ["a", "<unk>", "<unk>", "<eos>"]


def test_one_file_is_split_by_the_hash_of_the_sentence(tmp_path):
    raw = tmp_path / "raw"
    raw.mkdir()
    text = conllu(400, 0)
    (raw / "mine.conllu").write_text(text)
    summary = run(raw, tmp_path / "arrow", "pos_tagging", POS, dataset="mine", processes=2)
    assert sum(n["records"] for n in summary["splits"].values()) == 400
    assert sum(n["steps"] for n in summary["splits"].values()) == sum(1 for line in text.splitlines() if line)
    sentences = text.split("\n\n")[:-1]
    (raw / "mine.conllu").write_text("\n\n".join(reversed(sentences)) + "\n\n")
    again = run(raw, tmp_path / "again", "pos_tagging", POS, dataset="mine", sizes=Sizes())
    numbers = [{s: (n["records"], n["steps"]) for s, n in x["splits"].items()} for x in (summary, again)]
    assert numbers[0] == numbers[1]


def test_own_files_with_windows_line_ends(tmp_path):
    raw = raw_folder(tmp_path, conllu, "conllu")
    plain = run(raw, tmp_path / "plain", "pos_tagging", POS)
    for split, name in (("train", "a"), ("validation", "b"), ("test", "c")):
        content = (raw / f"{split}.conllu").read_bytes().replace(b"\n", b"\r\n")
        (raw / f"{split}.conllu").unlink()
        (raw / name).write_bytes(content.removesuffix(b"\r\n\r\n"))  # and no empty line at the end
    files = {"train": "a", "validation": "b", "test": "c"}
    windows = run(raw, tmp_path / "windows", "pos_tagging", {**POS, "files": files}, dataset="own")
    assert {s: n["steps"] for s, n in windows["splits"].items()} == {s: n["steps"] for s, n in plain["splits"].items()}
    assert contents(tmp_path / "windows")["sidecar.json"] == contents(tmp_path / "plain")["sidecar.json"]


def test_a_line_without_end(tmp_path):
    raw = raw_folder(tmp_path)
    (raw / "train.txt").write_text("xy" * 20_000)
    data = {**LM, "level": "character"}
    run(raw, tmp_path / "arrow", "language_model", data)
    columns = arrow.read_split(tmp_path / "arrow", "train", "language_model")
    assert len(columns["tokens"].values) == 40_000
    assert np.diff(columns["tokens"].offsets).max() <= SMALL.longest_record + SMALL.chunk_bytes
    assert columns["first"].sum() == 1


MALFORMED = [
    (b"1\tcat\tNOUN\n", "3 columns .*; 10, apart by tabs"),
    (b"1\tcat\t_\tNN" + b"\t_" * 6 + b"\n", "UPOS 'NN' .*; one of ADJ, ADP"),
    (b"1\tc\xe4t\t_\tNOUN" + b"\t_" * 6 + b"\n", "byte 0xe4 at column 4 is no UTF-8 .*; UTF-8 text"),
]


@pytest.mark.parametrize(("record", "message"), MALFORMED)
@pytest.mark.parametrize("split", ["train", "test"])
def test_too_many_bad_records(tmp_path, record, message, split):
    raw = raw_folder(tmp_path, conllu, "conllu")
    path = raw / f"{split}.conllu"
    good = path.read_bytes()
    path.write_bytes(good + record + b"\n")
    line = good.count(b"\n") + 1
    with pytest.raises(DataError, match=rf"^{split}\.conllu:{line}: {message}.*at most 0\.1 % may be bad") as error:
        run(raw, tmp_path / "arrow", "pos_tagging", POS)
    assert "first of 1 bad of " in str(error.value)
    assert [path.name for path in tmp_path.iterdir()] == ["raw"]


def test_few_bad_records_are_quarantined(tmp_path):
    raw = raw_folder(tmp_path, conllu, "conllu", counts=(99, 9, 9))
    good = run(raw, tmp_path / "good", "pos_tagging", POS)
    record = MALFORMED[0][0].replace(b"cat", b"cat" * 200)
    (raw / "train.conllu").write_bytes(record + b"\n" + (raw / "train.conllu").read_bytes())
    with pytest.raises(DataError, match=r"first of 1 bad of 100 records: 1 %"):
        run(raw, tmp_path / "arrow", "pos_tagging", {**POS, "max_bad_share": 0.0099})
    summary = run(raw, tmp_path / "arrow", "pos_tagging", {**POS, "max_bad_share": 0.01})
    assert (summary["splits"]["train"]["bad_records"], summary["splits"]["train"]["records"]) == (1, 100)
    assert summary["splits"]["train"]["steps"] == good["splits"]["train"]["steps"]
    (bad,) = map(json.loads, (tmp_path / "arrow/quarantine.jsonl").read_text().splitlines())
    assert (bad["split"], bad["where"], bad["found"]) == ("train", "train.conllu:1", "3 columns")
    assert len(bad["text"]) < 250
    assert bad["text"].startswith("1\tcatcat")


def test_a_refused_sentence_is_a_bad_record(tmp_path):
    raw = raw_folder(tmp_path, conllu, "conllu")
    data = {**POS, "too_long": "refuse", "max_bad_share": 1.0}
    summary = run(raw, tmp_path / "arrow", "pos_tagging", data)
    numbers = summary["splits"]["train"]
    assert numbers["records"] == numbers["rows"] + numbers["bad_records"] == 60
    assert numbers["bad_records"] > 0


@pytest.mark.parametrize(
    ("task", "data", "content", "message"),
    [
        ("language_model", LM, b"", r"train\.txt: an empty file"),
        ("language_model", LM, b"\xef\xbb\xbf", "split `train`: no examples"),
        ("pos_tagging", POS, b"", r"train\.conllu: an empty file"),
        ("pos_tagging", POS, b"# nothing\n\n", "split `train`: no examples"),
    ],
)
def test_nothing_to_learn_from(tmp_path, task, data, content, message):
    ending = "txt" if task == "language_model" else "conllu"
    raw = raw_folder(tmp_path, lines if ending == "txt" else conllu, ending)
    (raw / f"train.{ending}").write_bytes(content)
    with pytest.raises(DataError, match=message):
        run(raw, tmp_path / "arrow", task, data)
    assert not (tmp_path / "arrow").exists()


def test_one_file_too_small_to_split(tmp_path):
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw/a.txt").write_text("one line\n")
    with pytest.raises(DataError, match=r"no examples; at least one \(is the raw file large enough"):
        run(tmp_path / "raw", tmp_path / "arrow", "language_model", LM)


def test_a_failure_leaves_the_former_output(tmp_path):
    raw = raw_folder(tmp_path)
    run(raw, tmp_path / "arrow", "language_model", LM)
    before = contents(tmp_path / "arrow")
    (raw / "test.txt").write_bytes(b"\xff\n" * 50)
    with pytest.raises(DataError):
        run(raw, tmp_path / "arrow", "language_model", LM, processes=2)
    assert contents(tmp_path / "arrow") == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["arrow", "raw"]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({**LM, "levle": "word"}, r"data\.levle: unknown key \(did you mean `level`\?\)"),
        ({**LM, "min_count": "2"}, r"data\.min_count: found '2' \(text\)"),
        ({**LM, "max_bad_share": "1e-3"}, r"data\.max_bad_share: found '1e-3' \(text\)"),
        ({**LM, "max_bad_share": 2}, "max_bad_share is 2"),
        ({**LM, "files": ["a", "b"]}, r"data\.files"),
        ({k: v for k, v in LM.items() if k != "level"}, r"data\.level: missing"),
    ],
)
def test_keys_of_the_block(tmp_path, data, message):
    with pytest.raises(ConfigError, match=message):
        run(raw_folder(tmp_path), tmp_path / "arrow", "language_model", data)


def test_calls_are_not_taken_far_ahead():
    """Memory stays bounded: at most `ahead` chunks wait, however slow the one at the front is."""
    taken = []

    def calls():
        for number in range(50):
            taken.append(number)
            yield (number,)

    with parallel.pool(2, []) as pool:
        for done, result in enumerate(parallel.in_order(abs, calls(), pool, 4)):
            assert result == done
            assert len(taken) <= done + 4
    assert len(taken) == 50


PUBLIC = [
    ("ptb", "language_model", {"level": "word", "min_count": 1}, (929_589, 73_760, 82_430), (42_068, 3_370, 3_761)),
    ("tinyshakespeare", "language_model", {"level": "character", "min_count": 1}, 1_115_394, 40_000),
    (
        "ud_english_ewt",
        "pos_tagging",
        {"max_length": 200, "too_long": "split"},
        (204_577, 25_147, 25_094),
        (12_544, 2_001, 2_077),
    ),
    (
        "sst2",
        "sentiment",
        {"labels": {"0": "negative", "1": "positive"}, "lowercase": True, "max_length": 64, "too_long": "refuse"},
        (128_096, 16_331, 33_653),
        (6_920, 872, 1_821),
    ),
]


@pytest.mark.skipif(not DATASETS.is_dir(), reason="no ../shared/datasets")
@pytest.mark.parametrize(("dataset", "task", "data", "steps", "records"), PUBLIC)
def test_counts_of_the_public_data(tmp_path, dataset, task, data, steps, records):
    raw = tmp_path / "raw"
    shutil.copytree(DATASETS / dataset, raw, ignore=shutil.ignore_patterns("*.md", "*.xml"))
    for archive in raw.glob("*.zip"):
        zipfile.ZipFile(archive).extractall(raw)
        archive.unlink()
    summary = run(raw, tmp_path / "arrow", task, {"max_bad_share": 0.0, **data}, Sizes(), dataset)
    sidecar = json.loads((tmp_path / "arrow/sidecar.json").read_text())
    for name, wanted in (("steps", steps), ("records", records)):
        found = tuple(numbers[name] for numbers in summary["splits"].values())
        assert (found if isinstance(wanted, tuple) else sum(found)) == wanted
    if task == "language_model":
        assert len(sidecar["words"]) == {"ptb": 10_000, "tinyshakespeare": 65 + 1}[dataset]
        assert sidecar["words"].count("<unk>") == 1
        share = summary["splits"]["train"]["steps"] / sum(n["steps"] for n in summary["splits"].values())
        assert dataset == "ptb" or abs(share - chunks.SHARES["train"]) < 0.001
    columns = arrow.read_split(tmp_path / "arrow", "train", summary["kind"])
    assert len(columns.batches) == 1
