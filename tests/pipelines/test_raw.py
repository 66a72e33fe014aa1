"""Raw data that are no single text: aligned files, files that are records, tables with all splits in one."""

import gzip
import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines import aligned, chunks, items, preprocess, raw, tasks
from pipelines.aligned import Aligned
from pipelines.preprocess import Sizes, Work
from pipelines.tasks import BadRecord, Item
from rnn_core import arrow
from rnn_core.errors import ConfigError, DataError

SMALL = Sizes(chunk_bytes=60, longest_record=2000, batch_bytes=300, shard_bytes=900)


@dataclass(frozen=True, kw_only=True)
class Data:
    pass


@dataclass(frozen=True)
class Example:
    content: bytes
    records: int = 1
    split: str | None = None


def stand_in(sort, read, **more):
    """A task whose rows are the bytes of its records."""
    return SimpleNamespace(
        __name__="tests.pipelines.test_raw",
        RAW=sort,
        KIND="language_model",
        Data=Data,
        read=read,
        count=lambda examples: {"bytes": Counter(str(b) for e in examples for b in e.content)},
        sidecar=lambda counts, data: {"bytes": sorted(counts["bytes"])},
        encoder=lambda sidecar: lambda e: {"tokens": np.frombuffer(e.content, np.uint8), "first": True},
        **more,
    )


def read_pairs(chunk, where, data):
    for number, (left, right) in enumerate(zip(*(side.split(b"\n")[:-1] for side in chunk), strict=True)):
        if not left:
            yield BadRecord(where.at(number), "an empty sentence", "words", right.decode())
        else:
            yield Example(left + b"|" + right)


def read_file(item, where, data):
    yield Example(item.paths[0].read_bytes() + json.dumps(item.about).encode())


def read_table(item, where, data):
    """A row a line: its series, then the values in order of time; the last two are validation and test."""
    for number, line in enumerate(item.paths[0].read_bytes().splitlines()):
        series, *values = line.split(b",")
        if b"" in values:
            yield BadRecord(where.at(number), "a missing value", "numbers", line.decode(), "test")
            continue
        for split, part in (("train", values[:-2]), ("validation", values[-2:-1]), ("test", values[-1:])):
            yield Example(series + b" ".join(part), int(split == "train"), split)


PAIRS = stand_in("aligned", read_pairs, sides=lambda data: ("en", "de"))
TABLE = stand_in("items", read_table, items=lambda raw, d, f, data: [Item("t.csv", (raw / "t.csv",), None)])


def listed(folder: Path, dataset, files, data):
    """Files of a folder, with an index that says the split and a caption: name, split, caption."""
    for number, line in enumerate((folder / "index.tsv").read_text().splitlines(), 1):
        if line.count("\t") != 2:
            yield BadRecord(f"index.tsv:{number}", "no three columns", "name, split, caption", line, "train")
            continue
        name, split, caption = line.split("\t")
        yield Item(name, (folder / name,), split, caption)


FILES = stand_in("items", read_file, items=listed)


def run(monkeypatch, task, folder, out, *, files=None, max_bad_share=0.0, dataset="known"):
    """The stage in this process; what each split holds, and its summary."""
    monkeypatch.setattr(tasks, "load", lambda name: task)
    preprocess._encoder.cache_clear()
    data = {"from": "x", "max_bad_share": max_bad_share} | ({} if files is None else {"files": files})
    summary = preprocess.preprocess(
        folder, out, "stand_in", data, suite="sample", dataset=dataset, sizes=SMALL, processes=1
    )
    found = {}
    for split in arrow.SPLITS:
        rows = arrow.read_split(out, split, task.KIND)["tokens"]
        found[split] = [bytes(rows[i].astype(np.uint8)) for i in range(len(rows))]
    return found, summary["splits"]


def write_pairs(folder, **stems):
    folder.mkdir(exist_ok=True)
    for stem, pairs in stems.items():
        for side, lines in zip(("en", "de"), zip(*pairs, strict=True), strict=True):
            (folder / f"{stem}.{side}").write_bytes("".join(f"{line}\n" for line in lines).encode())
    return folder


def three(count=9):
    return {split: [(f"{split} {i}", f"{i} {split}") for i in range(count)] for split in arrow.SPLITS}


def test_aligned_files_are_read_line_by_line(tmp_path, monkeypatch):
    folder = write_pairs(tmp_path / "raw", **three())
    content = (folder / "train.de").read_bytes().replace(b"\n", b"\r\n").removesuffix(b"\r\n")
    (folder / "train.de").unlink()
    (folder / "train.de.gz").write_bytes(gzip.compress(b"\xef\xbb\xbf" + content))
    files = {split: split for split in arrow.SPLITS}
    found, summary = run(monkeypatch, PAIRS, folder, tmp_path / "arrow", files=files)
    assert found == {split: [f"{a}|{b}".encode() for a, b in pairs] for split, pairs in three().items()}
    assert summary["train"]["records"] == 9
    with pytest.raises(ConfigError, match="all of train, validation, test"):
        run(monkeypatch, PAIRS, folder, tmp_path / "again", files={"train": "train"})


def test_one_pair_of_files_is_split_by_its_examples(tmp_path, monkeypatch):
    pairs = [(f"sentence {i}", f"satz {i}") for i in range(400)]
    found, summary = run(monkeypatch, PAIRS, write_pairs(tmp_path / "raw", mine=pairs), tmp_path / "arrow")
    assert sorted(row for rows in found.values() for row in rows) == sorted(f"{a}|{b}".encode() for a, b in pairs)
    assert min(numbers["records"] for numbers in summary.values()) > 5
    reversed_pairs = write_pairs(tmp_path / "reversed", mine=pairs[::-1])
    again, _ = run(monkeypatch, PAIRS, reversed_pairs, tmp_path / "again")
    assert {split: sorted(rows) for split, rows in again.items()} == {s: sorted(rows) for s, rows in found.items()}


def test_aligned_files_of_different_lengths(tmp_path, monkeypatch):
    folder = write_pairs(tmp_path / "raw", **three())
    files = {split: split for split in arrow.SPLITS}
    with (folder / "train.en").open("a") as file:
        file.write("one more\n")
    with pytest.raises(
        DataError, match=r"train\.de: it ends after line 9, and train\.en goes on; files of equally many"
    ):
        run(monkeypatch, PAIRS, folder, tmp_path / "arrow", files=files)
    (folder / "train.en").write_bytes(b"")
    with pytest.raises(DataError, match=r"train\.en: an empty file"):
        run(monkeypatch, PAIRS, folder, tmp_path / "arrow", files=files)
    (folder / "train.en").unlink()
    with pytest.raises(DataError, match=r"train\.en: missing; there is test\.de"):
        run(monkeypatch, PAIRS, folder, tmp_path / "arrow", files=files)
    assert not (tmp_path / "arrow").exists()


def test_a_damaged_gzip_file_is_named(tmp_path, monkeypatch):
    folder = write_pairs(tmp_path / "raw", **three(200))
    packed = gzip.compress((folder / "train.en").read_bytes())
    (folder / "train.en").unlink()
    (folder / "train.en.gz").write_bytes(packed[:-20])
    with pytest.raises(DataError, match=r"train\.en\.gz:\d+: no whole gzip file"):
        run(monkeypatch, PAIRS, folder, tmp_path / "arrow", files={split: split for split in arrow.SPLITS})


LINES = st.lists(st.tuples(*[st.sampled_from(["", "a", "ä b", "long words here"])] * 2), min_size=1, max_size=12)


@given(LINES, st.integers(1, 60))
def test_any_chunk_size_gives_the_same_pairs(tmp_path_factory, pairs, size):
    folder = write_pairs(tmp_path_factory.mktemp("raw"), a=pairs)
    part = Aligned((folder / "a.en", folder / "a.de"), ("a.en", "a.de"), "train")
    found = list(aligned.chunks(part, chunk_bytes=size, longest=100))
    sides = [b"".join(side).decode().split("\n")[:-1] for side in zip(*(chunk for chunk, _ in found), strict=True)]
    assert list(zip(*sides, strict=True)) == pairs
    lines = [chunk[0].count(b"\n") for chunk, _ in found]
    assert [where.line for _, where in found] == [1 + sum(lines[:i]) for i in range(len(lines))]
    assert [(where.first, where.last) for _, where in found] == [
        (i == 0, i == len(found) - 1) for i in range(len(found))
    ]


def test_a_line_without_end_is_named(tmp_path):
    folder = write_pairs(tmp_path / "raw", a=[("x", "y"), ("z" * 200, "y")])
    part = Aligned((folder / "a.en", folder / "a.de"), ("a.en", "a.de"), "train")
    with pytest.raises(DataError, match=r"a\.en:2: no end of the record within 100 bytes"):
        list(aligned.chunks(part, chunk_bytes=10, longest=100))


def write_files(folder, count=30):
    folder.mkdir()
    index = []
    for i in range(count):
        (folder / f"{i}.bin").write_bytes(bytes([i]) * (i % 7 + 1))
        index.append(f"{i}.bin\t{('train', 'train', 'validation', 'test')[i % 4]}\tcaption {i}\n")
    (folder / "index.tsv").write_text("".join(index))
    return folder


def test_files_of_a_folder_are_records(tmp_path, monkeypatch):
    folder = write_files(tmp_path / "raw")
    found, summary = run(monkeypatch, FILES, folder, tmp_path / "arrow")
    wanted = {split: [] for split in arrow.SPLITS}
    for i in range(30):
        wanted[("train", "train", "validation", "test")[i % 4]].append(bytes([i]) * (i % 7 + 1) + b'"caption %d"' % i)
    assert found == wanted
    assert {split: numbers["records"] for split, numbers in summary.items()} == {
        split: len(rows) for split, rows in wanted.items()
    }


def test_files_missing_or_empty_and_lines_of_the_index_are_quarantined(tmp_path, monkeypatch):
    folder = write_files(tmp_path / "raw")
    (folder / "4.bin").unlink()
    (folder / "8.bin").write_bytes(b"")
    (folder / "index.tsv").write_text((folder / "index.tsv").read_text() + "stray\n")
    with pytest.raises(DataError, match=r"4\.bin: no file 4\.bin \(first of 3 bad of 17 records"):
        run(monkeypatch, FILES, folder, tmp_path / "arrow")
    _, summary = run(monkeypatch, FILES, folder, tmp_path / "arrow", max_bad_share=0.2)
    assert (summary["train"]["bad_records"], summary["train"]["rows"]) == (3, 14)
    bad = [json.loads(line) for line in (tmp_path / "arrow/quarantine.jsonl").read_text().splitlines()]
    assert [(one["where"], one["found"], one["split"]) for one in bad] == [
        ("4.bin", "no file 4.bin", "train"),
        ("8.bin", "an empty file", "train"),
        ("index.tsv:31", "no three columns", "train"),
    ]


def test_a_chunk_takes_its_files_along_to_a_machine_that_has_none(tmp_path):
    folder = write_files(tmp_path / "raw")
    (folder / "4.bin").unlink()
    (folder / "8.bin").write_bytes(b"")
    (part, *_) = raw.parts(folder, FILES, "known", None, FILES.Data(), "data")
    ((chunk, where, _),) = raw.pieces(part, FILES, chunk_bytes=10**6, longest=1)
    here = list(raw.examples(FILES, chunk, where, FILES.Data()))
    sent = raw.packed(chunk)
    for path in folder.glob("*.bin"):
        path.unlink()
    assert list(raw.examples(FILES, sent, where, FILES.Data())) == here
    assert len(here) == 16


def test_a_table_whose_task_decides_the_splits(tmp_path, monkeypatch):
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw/t.csv").write_text("a,1,2,3,4\nb,5,6,7\nc,1,,2\n")
    found, summary = run(monkeypatch, TABLE, tmp_path / "raw", tmp_path / "arrow", max_bad_share=1.0)
    assert found == {"train": [b"a1 2", b"b5"], "validation": [b"a3", b"b6"], "test": [b"a4", b"b7"]}
    assert {split: (n["records"], n["bad_records"]) for split, n in summary.items()} == {
        "train": (2, 0),
        "validation": (0, 0),
        "test": (1, 1),
    }


@given(st.lists(st.integers(0, 30), min_size=1, max_size=20), st.integers(1, 50))
def test_items_are_cut_by_their_bytes(tmp_path_factory, sizes, chunk_bytes):
    folder = tmp_path_factory.mktemp("raw")
    for number, size in enumerate(sizes):
        (folder / str(number)).write_bytes(b"x" * size)
    entries = [Item(str(i), (folder / str(i),), "train") for i in range(len(sizes))]
    (part,) = items.parts(entries)
    found = list(raw.pieces(part, FILES, chunk_bytes=chunk_bytes, longest=9))
    assert [item for chunk, _, _ in found for item in chunk] == entries
    assert sum(size for _, _, size in found) == part.size == sum(sizes)
    assert all(size < chunk_bytes + 30 for _, _, size in found)
    assert [where.last for _, where, _ in found] == [i == len(found) - 1 for i in range(len(found))]


def test_the_work_of_a_chunk_is_a_pure_function(tmp_path, monkeypatch):
    monkeypatch.setattr(tasks, "load", lambda name: FILES)
    (part, *_) = items.parts(listed(write_files(tmp_path / "raw"), "", None, None))
    work = Work("stand_in", Data(), part.split)
    for chunk, where, size in raw.pieces(part, FILES, chunk_bytes=20, longest=9):
        assert preprocess.count_chunk(work, chunk, where, size) == preprocess.count_chunk(work, chunk, where, size)


def test_no_items(tmp_path):
    with pytest.raises(DataError, match="no raw data that the task knows"):
        items.parts([])


def test_examples_of_bytes_and_arrays_are_split_by_their_contents():
    @dataclass(frozen=True)
    class Image:
        pixels: np.ndarray
        content: bytes
        records: int = 1

    def split(seed, order="C"):
        pixels = np.asarray(np.random.default_rng(seed).integers(0, 9, (3, 4)), order=order)
        return chunks.split_of(Image(pixels, bytes([seed % 256])))

    assert [split(i) for i in range(50)] == [split(i, "F") for i in range(50)]
    assert {split(i) for i in range(200)} == set(arrow.SPLITS)
