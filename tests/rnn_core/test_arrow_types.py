"""Columns of every type come back as they were, and a row's steps are counted as the kind says."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rnn_core import arrow

KIND, WIDTH = "of_all_types", 3
SCHEMA = arrow._schema(
    frames=arrow._FEATURES,
    steps=pa.int32(),
    ids=arrow._IDS,
    image=arrow._BYTES,
    label=pa.int32(),
    scale=pa.float32(),
    known=pa.bool_(),
)


@pytest.fixture(autouse=True, scope="module")
def kind():
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(arrow.SCHEMAS, KIND, SCHEMA)
        yield


def row(steps, seed=0):
    random = np.random.default_rng([steps, seed])
    return {
        "frames": random.standard_normal((steps, WIDTH), np.float32),
        "steps": steps,
        "ids": random.integers(0, 9, steps % 3),
        "image": random.bytes(5 + steps),
        "label": int(random.integers(9)),
        "scale": np.float32(random.random()),
        "known": bool(steps % 2),
    }


def read(folder, rows, **sizes):
    with arrow.Writer(folder, "train", KIND, {}, **sizes) as writer:
        for one in rows:
            writer.write(arrow.to_batch([one], KIND))
    return arrow.read_split(folder, "train", KIND)


@given(st.lists(st.integers(0, 4), min_size=1, max_size=8))
def test_every_type_comes_back(tmp_path_factory, steps):
    rows = [row(count, seed) for seed, count in enumerate(steps)]
    columns = read(tmp_path_factory.mktemp("arrow"), rows, batch_bytes=200, shard_bytes=500)
    for number, one in enumerate(rows):
        assert np.array_equal(columns["frames"][number].reshape(-1, WIDTH), one["frames"])
        assert columns["ids"][number].tolist() == one["ids"].tolist()
        assert columns["image"][number].tobytes() == one["image"]
        assert [columns[name][number] for name in ("label", "scale", "known")] == [
            one[name] for name in ("label", "scale", "known")
        ]
    types = {name: getattr(columns[name], "values", columns[name]).dtype for name in columns}
    wanted = ["float32", "int32", "int32", "uint8", "int32", "float32", "bool"]
    assert types == dict(zip(SCHEMA.names, map(np.dtype, wanted), strict=True))


@given(st.lists(st.integers(0, 4), min_size=1, max_size=8), st.data())
def test_steps_of_features_are_taken_from_where_they_lie(steps, data):
    rows = [row(count, seed) for seed, count in enumerate(steps)]
    columns = arrow.Columns([arrow.to_batch([one], KIND) for one in rows], SCHEMA, {})
    frames = np.concatenate([one["frames"] for one in rows])
    values = columns.values_of("frames", WIDTH)
    assert len(values) == len(frames)
    places = st.lists(st.integers(0, max(0, len(frames) - 1)), max_size=9 if len(frames) else 0)
    positions = np.array(data.draw(places), np.int64)
    assert np.array_equal(values[positions], frames[positions])
    assert values[positions[None]].shape == (1, len(positions), WIDTH)
    assert columns.steps().tolist() == steps


def test_steps_are_counted_by_their_column_or_by_the_first_one():
    batch = arrow.to_batch([row(2), row(4)], KIND)
    assert arrow.num_steps(batch) == 6
    tokens = [{"tokens": [1, 2, 3], "first": True}, {"tokens": [4], "first": False}]
    assert arrow.num_steps(arrow.to_batch(tokens, "language_model")) == 4
    assert arrow.from_rows(tokens, "language_model").steps().tolist() == [3, 1]


def test_features_and_bytes_are_read_without_a_copy(tmp_path):
    columns = read(tmp_path, [row(200_000)])
    for name in ("frames", "image"):
        assert not columns[name].values.flags.owndata
        assert not columns[name].values.flags.writeable
        assert np.shares_memory(columns[name].values, columns.batches[0][name].values)
