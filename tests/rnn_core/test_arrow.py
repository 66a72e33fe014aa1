"""Arrow shards: what is written is read, without a copy, and what is damaged or foreign is refused."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rnn_core import arrow
from rnn_core.errors import DataError

METADATA = {"task": "t", "suite": "sample", "sources": '{"a.txt": "00"}'}


def stream(*pieces):
    return [{"tokens": piece, "first": number == 0} for number, piece in enumerate(pieces)]


def write(folder, rows, *, split="train", kind="language_model", metadata=METADATA, a_batch=1, **sizes):
    with arrow.Writer(folder, split, kind, metadata, **sizes) as writer:
        for begin in range(0, len(rows), a_batch):
            writer.write(arrow.to_batch(rows[begin : begin + a_batch], kind))
    return writer.shards


@given(st.lists(st.lists(st.integers(0, 2**31 - 1), max_size=5), min_size=1, max_size=12), st.integers(1, 3))
def test_what_is_written_is_read_however_it_is_cut(tmp_path_factory, pieces, a_batch):
    folder = tmp_path_factory.mktemp("arrow")
    write(folder, stream(*pieces), a_batch=a_batch, batch_bytes=30, shard_bytes=60)
    columns = arrow.read_split(folder, "train", "language_model")
    tokens = columns["tokens"]
    assert [tokens[i].tolist() for i in range(len(tokens))] == pieces
    assert columns["first"].tolist() == [True] + [False] * (len(pieces) - 1)
    assert (tokens.values.dtype, tokens.offsets.dtype, columns["first"].dtype) == (np.int32, np.int64, np.bool_)
    assert columns.num_rows == len(pieces) == len(tokens)
    assert tokens.offsets[0] == 0
    assert tokens.offsets[-1] == len(tokens.values)


def test_tagging_round_trip(tmp_path):
    rows = [
        {"words": [2, 1], "tags": [0, 3], "characters": [2, 3, 1], "ends": [2, 3]},
        {"words": [5], "tags": [1], "characters": [4], "ends": [1]},
    ]
    write(tmp_path, rows, kind="tagging")
    columns = arrow.read_split(tmp_path, "train", "tagging")
    assert set(columns) == {"words", "tags", "characters", "ends"}
    assert [{name: columns[name][i].tolist() for name in columns} for i in range(2)] == rows
    memory = arrow.from_rows(rows, "tagging")
    assert all(np.array_equal(memory[name].values, columns[name].values) for name in columns)


def test_metadata_and_shard_names(tmp_path):
    shards = write(tmp_path, stream([1] * 20, [2] * 20, [3] * 20), batch_bytes=1, shard_bytes=1)
    assert [shard.name for shard in shards] == [f"train-0000{i}-of-00003.arrow" for i in range(3)]
    assert sorted(path.name for path in tmp_path.iterdir()) == [shard.name for shard in shards]
    metadata = arrow.read_split(tmp_path, "train", "language_model").metadata
    assert metadata["sources"] == {"a.txt": "00"}
    assert (metadata["task"], metadata["suite"], metadata["kind"]) == ("t", "sample", "language_model")
    assert metadata["format_version"] == arrow.FORMAT_VERSION


def test_batches_are_joined_up_to_their_size_and_shards_stay_below_theirs(tmp_path):
    rows = stream(*([7] * 100 for _ in range(50)))
    shards = write(tmp_path, rows, batch_bytes=2000, shard_bytes=8000)
    assert len(shards) > 1
    for shard in shards:
        assert shard.stat().st_size < 10000  # 8000 and the footer
        batches = [pa.ipc.open_file(shard).get_batch(i) for i in range(pa.ipc.open_file(shard).num_record_batches)]
        assert all(batch.nbytes <= 2000 for batch in batches)
        assert len(batches) > 1
        assert batches[0].num_rows > 1


def test_the_same_rows_give_the_same_bytes(tmp_path):
    folders = [tmp_path / "a", tmp_path / "b"]
    contents = []
    for folder in folders:
        folder.mkdir()
        contents.append([p.read_bytes() for p in write(folder, stream(*([i] * 9 for i in range(30))), batch_bytes=300)])
    assert contents[0] == contents[1]


def test_one_batch_is_read_from_the_map_without_a_copy(tmp_path):
    write(tmp_path, stream(np.arange(1_000_000)))
    before = pa.total_allocated_bytes()
    columns = arrow.read_split(tmp_path, "train", "language_model")
    values = columns["tokens"].values
    assert pa.total_allocated_bytes() - before < 10_000  # of 4 MB
    assert not values.flags.owndata
    assert not values.flags.writeable
    assert np.shares_memory(values, columns.batches[0]["tokens"].values)
    assert np.array_equal(values, np.arange(1_000_000))


def test_several_batches_stay_uncopied_batch_by_batch(tmp_path):
    write(tmp_path, stream([1, 2], [3], [4, 5, 6]), batch_bytes=1)
    columns = arrow.read_split(tmp_path, "train", "language_model")
    assert [batch["tokens"].values.tolist() for batch in columns.batches] == [[1, 2], [3], [4, 5, 6]]
    assert not any(batch["tokens"].values.flags.owndata for batch in columns.batches)
    assert columns["tokens"] is columns["tokens"]
    assert columns["tokens"].offsets.tolist() == [0, 2, 3, 6]
    assert not columns["tokens"].values.flags.writeable


@given(st.lists(st.lists(st.integers(0, 9), max_size=4), min_size=1, max_size=8), st.data())
def test_values_are_taken_from_where_they_lie(rows, data):
    batches = [arrow.to_batch([{"tokens": row, "first": True}], "language_model") for row in rows]
    columns = arrow.Columns(batches, arrow.SCHEMAS["language_model"], {})
    joined, values = columns["tokens"], columns.values_of("tokens")
    assert len(values) == len(joined.values)
    assert columns.offsets_of("tokens").tolist() == joined.offsets.tolist()
    places = st.lists(st.integers(0, max(0, len(values) - 1)), max_size=12 if len(values) else 0)
    positions = np.array(data.draw(places), np.int64)
    assert values[positions].tolist() == joined.values[positions].tolist()
    assert values[positions[None]].shape == (1, len(positions))


def test_a_split_without_rows(tmp_path):
    shards = write(tmp_path, [])
    assert [shard.name for shard in shards] == ["train-00000-of-00001.arrow"]
    columns = arrow.read_split(tmp_path, "train", "language_model")
    assert columns.num_rows == 0
    with pytest.raises(DataError, match="no rows"):
        columns["tokens"]


def test_an_error_leaves_no_shard(tmp_path):
    rows = [*stream([1], [2]), {"tokens": None, "first": False}]
    with pytest.raises(TypeError):
        write(tmp_path, rows, batch_bytes=1)
    assert not list(tmp_path.glob("train-*"))


@pytest.mark.parametrize("keep", [0, 1, 7, 8, 20, -300, -100, -12, -10, -6, -2, -1])
def test_a_file_cut_short(tmp_path, keep):
    (shard,) = write(tmp_path, stream([1, 2, 3] * 100))
    whole = shard.read_bytes()
    shard.write_bytes(whole[:keep])
    with pytest.raises(DataError, match=r"train-00000-of-00001\.arrow: no whole Arrow file .*; run preprocess again"):
        arrow.read_split(tmp_path, "train", "language_model")


@given(st.data())
def test_a_damaged_file_is_refused_or_safe_to_read(tmp_path_factory, data):
    """Any byte changed: a DataError, or columns whose offsets lie within their values."""
    folder = tmp_path_factory.mktemp("arrow")
    (shard,) = write(folder, stream([1, 2, 3], [4], [5, 6]), metadata={})
    content = bytearray(shard.read_bytes())
    content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    shard.write_bytes(content)
    try:
        columns = arrow.read_split(folder, "train", "language_model")
    except DataError as error:
        assert "train-00000-of-00001.arrow" in error.where  # noqa: PT017 - either outcome is right
    else:
        tokens = columns["tokens"]
        assert tokens.offsets[-1] == len(tokens.values) == sum(len(tokens[i]) for i in range(len(tokens)))


def foreign(path, schema, rows=()):
    with pa.ipc.new_file(str(path), schema) as file:
        file.write_batch(pa.RecordBatch.from_pylist(list(rows), schema=schema))


SCHEMA = arrow.SCHEMAS["language_model"]
NULLABLE = pa.schema([("tokens", pa.list_(pa.int32())), ("first", pa.bool_())])
WIDE = pa.schema([pa.field("tokens", pa.list_(pa.int64()), nullable=False), SCHEMA.field("first")])


@pytest.mark.parametrize(
    ("schema", "metadata", "message"),
    [
        (SCHEMA, {"format_version": "0", "kind": "language_model"}, "format_version is '0'; '1' is wanted"),
        (SCHEMA, {"kind": "language_model"}, "format_version is None"),
        (SCHEMA, {"format_version": "1", "kind": "tagging"}, "kind is 'tagging'; 'language_model' is wanted"),
        (NULLABLE, {"format_version": "1", "kind": "language_model"}, "of its types and without nulls"),
        (WIDE, {"format_version": "1", "kind": "language_model"}, "tokens: list<item: int64>"),
    ],
)
def test_a_foreign_file(tmp_path, schema, metadata, message):
    rows = [{"tokens": [1], "first": True}]
    foreign(tmp_path / "train-00000-of-00001.arrow", schema.with_metadata(metadata), rows)
    with pytest.raises(DataError, match=message):
        arrow.read_split(tmp_path, "train", "language_model")


def test_nulls_under_a_schema_that_forbids_them(tmp_path):
    schema = SCHEMA.with_metadata({"format_version": "1", "kind": "language_model"})
    with pa.ipc.new_file(str(tmp_path / "train-00000-of-00001.arrow"), schema) as file:
        item = pa.array([1, None], pa.int32())
        tokens = pa.ListArray.from_arrays(pa.array([0, 2], pa.int32()), item, type=SCHEMA.field("tokens").type)
        file.write_batch(pa.RecordBatch.from_arrays([tokens, pa.array([True])], schema=schema))
    with pytest.raises(DataError, match="nulls in `tokens`; no nulls"):
        arrow.read_split(tmp_path, "train", "language_model")


def test_shards_missing_or_of_several_runs(tmp_path):
    with pytest.raises(DataError, match="no shard of `train`"):
        arrow.read_split(tmp_path, "train", "language_model")
    shards = write(tmp_path, stream([1], [2], [3]), batch_bytes=1, shard_bytes=1)
    content = shards[1].read_bytes()
    shards[1].unlink()
    with pytest.raises(DataError, match=r"train-00001-of-00003\.arrow: missing"):
        arrow.read_split(tmp_path, "train", "language_model")
    shards[1].write_bytes(content)
    (tmp_path / "train-00003-of-00003.arrow").write_bytes(content)
    with pytest.raises(DataError, match=r"train-00003-of-00003\.arrow: one too many"):
        arrow.read_split(tmp_path, "train", "language_model")
    (tmp_path / "train-00003-of-00003.arrow").rename(tmp_path / "train-00000-of-00001.arrow")
    with pytest.raises(DataError, match="several runs"):
        arrow.read_split(tmp_path, "train", "language_model")


def test_shards_of_two_runs_with_equal_names(tmp_path):
    shards = write(tmp_path, stream([1], [2]), batch_bytes=1, shard_bytes=1)
    (tmp_path / "other").mkdir()
    others = write(tmp_path / "other", stream([1], [2]), batch_bytes=1, shard_bytes=1, metadata={"task": "u"})
    others[1].replace(shards[1])
    with pytest.raises(DataError, match="other metadata"):
        arrow.read_split(tmp_path, "train", "language_model")
