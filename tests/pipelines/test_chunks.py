"""Chunks of raw text: the same records whatever the size of a chunk; which part of which file is which split."""

import io
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines import chunks, tasks
from pipelines.chunks import Source
from pipelines.tasks import BadRecord
from rnn_core.errors import ConfigError, DataError

LM, POS = tasks.load("language_model"), tasks.load("pos_tagging")


def source(path, content, split="train"):
    path.write_bytes(content)
    return Source(path, path.name, split, 0, len(content))


def cut(path, content, task, **sizes):
    return list(chunks.chunks(source(path, content), task, **sizes))


LINES = st.lists(
    st.sampled_from([b"", b"# c", b"1\ta\t_\tX" + b"\t_" * 6, b"2\t\xc3\xa4\t_\tX" + b"\t_" * 6, b"bad", b"\xff"]),
    max_size=12,
)


@given(LINES, st.sampled_from([b"\n", b"\r\n"]), st.booleans(), st.integers(1, 60))
def test_any_chunk_size_gives_the_same_sentences(tmp_path_factory, lines, end, ended, size):
    path = tmp_path_factory.mktemp("raw") / "a.conllu"
    content = end.join(lines) + (end if ended else b"")
    data = POS.Data(max_length=3, too_long="split")
    whole, small = (
        [e for c in cut(path, content, POS, chunk_bytes=n) for e in POS.read(*c, data)] for n in (9999, size)
    )
    assert small == whole
    for bad in whole:
        if isinstance(bad, BadRecord):  # the place is right: that line of the file is what was found
            line = content.split(b"\n")[int(bad.where.partition(":")[2]) - 1].rstrip(b"\r")
            assert line in (b"bad", b"\xff", b"2\t\xc3\xa4\t_\tX" + b"\t_" * 6, b"1\ta\t_\tX" + b"\t_" * 6)


@given(
    st.lists(st.sampled_from(["a", "ä", " ", "\n", "\r\n", "\r", "€", "bc"]), max_size=30),
    st.sampled_from(["word", "character"]),
    st.integers(1, 20),
)
def test_any_chunk_size_gives_the_same_stream(tmp_path_factory, text, level, size):
    path = tmp_path_factory.mktemp("raw") / "a.txt"
    content = "".join(text).encode()
    data = LM.Data(level=level, min_count=1)
    found = cut(path, content, LM, chunk_bytes=size)
    pieces = [piece for chunk in found for piece in LM.read(*chunk, data)]
    (whole,) = [p for c in cut(path, content, LM, chunk_bytes=9999) for p in LM.read(*c, data)] or [None]
    assert [t for p in pieces for t in p.tokens] == list(whole.tokens if whole else [])
    assert [p.first for p in pieces[:1]] == [True] * bool(pieces)
    assert not any(p.first for p in pieces[1:])
    assert sum(p.records for p in pieces) == (whole.records if whole else 0)


@given(st.text("aä€ \r\n", max_size=40), st.integers(1, 7), st.integers(1, 9))
def test_a_stream_s_long_record_is_cut_between_characters(tmp_path_factory, text, size, longest):
    path = tmp_path_factory.mktemp("raw") / "a.txt"
    found = cut(path, text.encode(), LM, chunk_bytes=size, longest=longest)
    joined = "".join(chunk.decode() for chunk, _ in found)  # each chunk is UTF-8
    assert joined == text.replace("\r\n", "\n")
    assert all(len(chunk) <= longest + size + 4 for chunk, _ in found)
    before = 1
    for chunk, where in found:
        assert where.line == before
        before += chunk.count(b"\n")
    assert [where.first for _, where in found] == [i == 0 for i in range(len(found))]
    assert [where.last for _, where in found] == [i == len(found) - 1 for i in range(len(found))]


def test_a_sentence_without_end_is_named(tmp_path):
    content = b"1\ta\n\n" + b"2\tb\n" * 1000
    with pytest.raises(
        DataError, match=r"a\.conllu:3: no end of the record within 100 bytes; an empty line after each"
    ):
        cut(tmp_path / "a.conllu", content, POS, chunk_bytes=10, longest=100)


def test_a_byte_order_mark_is_dropped(tmp_path):
    for size in (1, 2, 100):
        found = cut(tmp_path / "a.txt", b"\xef\xbb\xbfa\nb", LM, chunk_bytes=size)
        assert b"".join(chunk for chunk, _ in found) == b"a\nb"


def test_a_file_cut_while_it_is_read(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"a\n")
    with pytest.raises(DataError, match="became shorter"):
        list(chunks.chunks(Source(tmp_path / "a.txt", "a.txt", "train", 0, 10), LM))


def raw_folder(folder, **contents):
    for name, content in contents.items():
        (folder / f"{name}.txt").write_text(content)
    (folder / "source.json").write_text("{}")
    (folder / "limits.json").write_text("{}")
    return folder


def parts(raw, task, files=None, dataset="own"):
    return chunks.sources(raw, task, dataset, files, "blocks.b.data")


def test_files_named_in_the_block(tmp_path):
    raw = raw_folder(tmp_path, a="1\n", b="2\n", c="3\n")
    found = parts(raw, LM, {"test": "c.txt", "validation": "b.txt", "train": "a.txt"})
    assert [(p.split, p.name) for p in found] == [("train", "a.txt"), ("validation", "b.txt"), ("test", "c.txt")]


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"train": "a.txt"}, r"blocks\.b\.data\.files: the splits train; all of train, validation, test"),
        ({"train": "a.txt", "validation": "../b.txt", "test": "a.txt"}, r"data\.files\.validation: found \.\./b\.txt"),
    ],
)
def test_files_that_are_no_three_splits(tmp_path, files, message):
    with pytest.raises(ConfigError, match=message):
        parts(raw_folder(tmp_path, a="1\n"), LM, files)


def test_files_missing_or_empty(tmp_path):
    raw = raw_folder(tmp_path, a="1\n", b="2\n", c="")
    with pytest.raises(DataError, match=r"d\.txt: missing; there is a\.txt, b\.txt, c\.txt; the test file"):
        parts(raw, LM, {"train": "a.txt", "validation": "b.txt", "test": "d.txt"})
    with pytest.raises(DataError, match=r"c\.txt: an empty file; at least one record"):
        parts(raw, LM, {"train": "a.txt", "validation": "b.txt", "test": "c.txt"})
    with pytest.raises(DataError, match=r"train\.txt: missing"):
        parts(raw, LM)


def test_one_file_of_a_stream_is_split_by_position_at_line_ends(tmp_path):
    raw = raw_folder(tmp_path, text="".join(f"line {i}\n" for i in range(1000)))
    content = (raw / "text.txt").read_bytes()
    found = parts(raw, LM)
    assert [p.split for p in found] == ["train", "validation", "test"]
    assert (found[0].begin, found[-1].end) == (0, len(content))
    for before, after in itertools.pairwise(found):
        assert before.end == after.begin
        assert content[after.begin - 1 : after.begin] == b"\n"
        assert after.line == content[: after.begin].count(b"\n") + 1
    assert abs(found[0].end / len(content) - 0.90) < 0.002
    assert abs(found[1].end / len(content) - 0.95) < 0.002


def test_one_line_alone_is_split_between_characters(tmp_path):
    raw = raw_folder(tmp_path, text="€" * 1000)
    texts = [b"".join(c for c, _ in chunks.chunks(part, LM)).decode() for part in parts(raw, LM)]
    assert [len(text) for text in texts] == [900, 50, 50]


def test_one_file_of_records_is_split_by_their_hash(tmp_path):
    (one,) = parts(raw_folder(tmp_path, text="x"), POS)
    assert one.split is None
    sentence = POS.Sentence(("a",), ("X",), 1)
    assert chunks.split_of(sentence) == chunks.split_of(POS.Sentence(("a",), ("X",), 1))
    splits = [chunks.split_of(POS.Sentence((str(i),), ("X",), 1)) for i in range(4000)]
    for split, share in chunks.SHARES.items():
        assert abs(splits.count(split) / 4000 - share) < 0.02
    assert chunks.split_of(BadRecord("a:1", "x", "y", "text")) == chunks.split_of(BadRecord("b:9", "u", "v", "text"))


def test_reading_holds_about_a_chunk(tmp_path, monkeypatch):
    """No read of more than a chunk, and what is held between two chunks is below a chunk and a record."""
    part = source(tmp_path / "a.txt", b"0123456789\n" * 10_000)
    sizes = []

    class Watched(io.FileIO):
        def read(self, size=-1):
            sizes.append(size)
            return super().read(size)

    monkeypatch.setattr(type(part.path), "open", lambda self, mode: Watched(self, "r"))
    found = [len(chunk) for chunk, _ in chunks.chunks(part, LM, chunk_bytes=1000)]
    assert max(found) <= 1011
    assert 0 < max(sizes) <= 1000
    assert min(sizes) > 0
