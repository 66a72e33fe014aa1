"""The task video_action: raw files of each format to rows, bad ones put aside; scores, tables and answers."""

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from pipelines import files, networks, tasks
from pipelines.evaluate import test_windows as windows_of
from pipelines.parsers import msr_action3d, paths
from pipelines.preprocess import preprocess
from pipelines.tasks import BadRecord, Item, Where
from rnn_core import arrow
from rnn_core.config import from_mapping
from rnn_core.errors import ConfigError, DataError

VIDEO = tasks.load("video_action")
SHEETS = {"format": "sheets", "frame_size": 4, "max_frames": 9, "too_long": "thin", "validation": "apart"}
SKELETONS = {"format": "skeletons", "frame_size": None, "max_frames": 9, "too_long": "refuse", "validation": "apart"}
PATHS = {"format": "paths", "frame_size": None, "max_frames": 16, "too_long": "refuse", "validation": "apart"}
MODEL = {
    **{"cell": "gru", "hidden_size": 6, "num_layers": 1, "input_dropout": 0.0, "dropout": 0.0},
    **{"embedding_size": 5, "bidirectional": True, "read_out": "max", "step_dropout": 0.0, "images": {"channels": 4}},
}
COUNTS = {"train": 12, "validation": 4, "test": 7}


def sheet(pixels: np.ndarray) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels.reshape(-1, pixels.shape[-1]).astype(np.uint8)).save(out, "PNG")
    return out.getvalue()


def body(frames: int, seed: int = 1) -> np.ndarray:
    """points_TKC of a body that stands apart from the sensor and moves."""
    random = np.random.default_rng(seed)
    return np.array([0.2, 0.1, 2.0]) + random.normal(size=(frames, msr_action3d.POINTS, 3)).cumsum(axis=0) * 0.1


def skeleton(points: np.ndarray) -> bytes:
    return "".join(f"{x:f} {y:f} {z:f} 1.0\n" for x, y, z in points.reshape(-1, 3)).encode()


def write(path: Path, content: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    """Sheets of two classes: one is brighter, so that the order is not needed."""
    random = np.random.default_rng(1)
    for split, count in COUNTS.items():
        for number in range(count):
            label = ("dark", "light")[number % 2]
            pixels = random.integers(0, 100, (2 + number % 5, 4, 4)) + (150 if label == "light" else 0)
            write(tmp_path / "raw" / split / label / f"{number:02d}.png", sheet(pixels))
    return tmp_path / "raw"


def read(path: Path, data: dict, about: dict | None = None, split: str | None = "train") -> list:
    item = Item(path.name, (path,), split, about or {"label": "x"})
    return list(VIDEO.read(item, Where(path.name, 1, True, True), from_mapping(VIDEO.Data, data, "data")))


def test_own_sheets_become_rows(raw: Path, tmp_path: Path) -> None:
    preprocess(raw, tmp_path / "arrow", "video_action", {**SHEETS, "max_bad_share": 0.0}, suite="s", dataset="d")
    columns = arrow.read_split(tmp_path / "arrow", "test", VIDEO.KIND)
    assert files.read_json(tmp_path / "arrow/sidecar.json")["classes"] == ["dark", "light"]
    assert [bytes(name).decode() for name in columns["name"]][:2] == ["test/dark/00.png", "test/dark/02.png"]
    assert columns["label"].tolist() == [0] * 4 + [1] * 3
    assert columns.steps().tolist() == [2, 4, 6, 3, 3, 5, 2]
    pixels = np.asarray(Image.open(raw / "test/dark/02.png"))
    np.testing.assert_array_equal(columns["pixels"][1], pixels.ravel())


def test_a_skeleton_becomes_normalised_points_and_gaps_are_filled(tmp_path: Path) -> None:
    points = body(5)
    (whole,) = read(write(tmp_path / "a.txt", skeleton(points)), SKELETONS)
    assert (whole.frames_TD.shape, whole.label, whole.name) == ((5, 60), "x", "a.txt")
    points[2] = 0
    (filled,) = read(write(tmp_path / "b.txt", skeleton(points)), SKELETONS)
    assert np.isfinite(filled.frames_TD).all()
    missing = body(5)
    missing[:, 3] = 0
    (bad,) = read(write(tmp_path / "c.txt", skeleton(missing)), SKELETONS)
    assert (bad.where, bad.found) == ("c.txt", "point 4 is missing in all frames")


def test_long_sequences_are_thinned_or_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "a.png", sheet(np.arange(12).repeat(16).reshape(12, 4, 4)))
    (thinned,) = read(path, {**SHEETS, "max_frames": 4})
    assert thinned.frames_TD[:, 0].tolist() == [0, 4, 7, 11]
    (bad,) = read(path, {**SHEETS, "too_long": "refuse"})
    assert (bad.found, bad.allowed) == ("a sequence of 12 frames", "at most 9 (data.max_frames)")


@pytest.mark.parametrize("content", [b"no image", sheet(np.zeros((3, 4, 4)))[:-30], sheet(np.zeros((1, 9, 4)))])
def test_bad_sheets_are_put_aside(content: bytes, tmp_path: Path) -> None:
    (bad,) = read(write(tmp_path / "a.png", content), SHEETS)
    assert isinstance(bad, BadRecord)


def test_msr_action3d_by_subject(tmp_path: Path) -> None:
    for name in ("a01_s01_e01", "a01_s02_e01", "a20_s09_e03"):
        write(tmp_path / f"{name}_skeleton3D.txt", b"x")
    data = from_mapping(VIDEO.Data, SKELETONS, "data")
    found = [(i.split, i.about["label"]) for i in VIDEO.items(tmp_path, "msr_action3d", None, data)]
    assert found == [("train", "high arm wave"), ("test", "high arm wave"), ("validation", "pick up and throw")]
    seen = from_mapping(VIDEO.Data, {**SKELETONS, "validation": "seen"}, "data")
    splits = [item.split for item in VIDEO.items(tmp_path, "msr_action3d", None, seen)]
    assert splits == ["train", "test", "train", "validation"]
    write(tmp_path / "a21_s01_e01_skeleton3D.txt", b"x")
    with pytest.raises(DataError, match="a21_s01_e01_skeleton3D.txt: not a name of this data set"):
        list(VIDEO.items(tmp_path, "msr_action3d", None, data))


def test_hand_gestures_in_blocks_of_each_class(tmp_path: Path) -> None:
    """Each line is its number's window of frames, moved on by one from the line before: no split shares a frame."""
    lines = [f"{label}," + ",".join(f"{n + i},{label}" for i in range(16)) for label in (0, 1) for n in range(400)]
    write(tmp_path / "point_history.csv", "\n".join(lines).encode())
    write(tmp_path / "point_history_classifier_label.csv", "\ufeffStop\r\nMove\r\n".encode())
    data = from_mapping(VIDEO.Data, PATHS, "data")
    (item,) = VIDEO.items(tmp_path, "hand_gesture_point_history", None, data)
    found = list(VIDEO.read(item, Where(item.name, 1, True, True), data))
    for label in ("Stop", "Move"):
        seen = {s: {x for f in found if (f.split, f.label) == (s, label) for x in f.frames_TD[:, 0]} for s in COUNTS}
        assert not seen["train"] & seen["validation"]
        assert not seen["validation"] & seen["test"]
        assert [sum((f.split, f.label) == (s, label) for f in found) for s in COUNTS] == [305, 25, 40]
    assert paths.OVERLAP == 15
    sidecar = VIDEO.sidecar(VIDEO.count(f for f in found if f.split == "train"), data)
    encode = VIDEO.encoder(sidecar)
    columns = arrow.from_rows([encode(f) for f in found if f.split == "train"], VIDEO.KIND)
    given = VIDEO.example_input(columns, sidecar, tmp_path)  # not the list of classes, which is smaller
    assert given == lines[0].encode()
    assert VIDEO.raw_example(given, sidecar).frames_TD[:, 0].tolist() == list(range(16))


def test_bad_lines_of_paths_are_put_aside(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", b"0,1,2\n\n5,1,2\n1,1,x\n1,3,4,5,6\n")
    found = read(path, PATHS, {"names": ["Stop", "Move"]})
    assert [type(f).__name__ for f in found] == ["Sequence", "BadRecord", "BadRecord", "Sequence"]
    assert (found[1].where, found[1].found) == ("a.csv:3", "the class 5")
    assert found[3].frames_TD.tolist() == [[3, 4], [5, 6]]


def test_a_class_that_training_lacks(raw: Path, tmp_path: Path) -> None:
    write(raw / "test/grey/00.png", sheet(np.zeros((2, 4, 4))))
    with pytest.raises(DataError, match="test/grey/00.png: the class grey; one of the training split's: dark, light"):
        preprocess(raw, tmp_path / "arrow", "video_action", {**SHEETS, "max_bad_share": 0.0}, suite="s", dataset="d")


@pytest.mark.parametrize(("key", "value"), [("frame_size", None), ("max_frames", 0), ("too_long", "split")])
def test_data_keys(key: str, value: object) -> None:
    with pytest.raises(ConfigError, match=key):
        from_mapping(VIDEO.Data, {**SHEETS, key: value}, "data")


def test_scores_tables_and_answers_agree(raw: Path, tmp_path: Path) -> None:
    preprocess(raw, tmp_path / "arrow", "video_action", {**SHEETS, "max_bad_share": 0.0}, suite="s", dataset="d")
    sidecar = files.read_json(tmp_path / "arrow/sidecar.json")
    torch.manual_seed(1)
    network = networks.build(VIDEO, MODEL, sidecar).eval()
    columns = arrow.read_split(tmp_path / "arrow", "test", VIDEO.KIND)
    model, settings = _Model(network, sidecar), _Train()
    windows = windows_of(model, tmp_path / "arrow", settings)
    sums = VIDEO.measure(network, windows, sidecar)
    scores = VIDEO.metrics(sums, sidecar)
    worst = VIDEO.analysis(network, windows, columns, sidecar)["largest_loss"]
    assert sums["confusion"].sum(1).tolist() == [4, 3]
    assert [row["loss"] for row in worst] == sorted((row["loss"] for row in worst), reverse=True)
    assert np.mean([row["loss"] for row in worst]) == pytest.approx(scores["loss"], abs=1e-4)
    assert 100 * np.mean([row["right"] == row["answered"] for row in worst]) == pytest.approx(scores["accuracy"])
    found = VIDEO.answers(network, [(raw / row["video"]).read_bytes() for row in worst], sidecar)
    for answer, row in zip(found, worst, strict=True):
        assert answer["class"] == row["answered"]
        assert -np.log(answer["probabilities"][row["right"]]) == pytest.approx(row["loss"], abs=1e-3)
    assert VIDEO.answers(network, [VIDEO.example_input(columns, sidecar, raw)], sidecar)[0]["class"] in (
        "dark",
        "light",
    )
    assert [row["videos"] for row in VIDEO.tables(sums, sidecar)["found_by_class"]] == [4, 3]


class _Model:
    task = VIDEO

    def __init__(self, network, sidecar):
        self.network, self.sidecar = network, sidecar


class _Train:
    lanes, window, carry = 2, 9, False


def test_the_simple_baseline_finds_what_needs_no_order(raw: Path, tmp_path: Path) -> None:
    preprocess(raw, tmp_path / "arrow", "video_action", {**SHEETS, "max_bad_share": 0.0}, suite="s", dataset="d")
    splits = {split: arrow.read_split(tmp_path / "arrow", split, VIDEO.KIND) for split in arrow.SPLITS}
    found = VIDEO.simple(splits, files.read_json(tmp_path / "arrow/sidecar.json"))
    scores = found["time_average"].scores
    assert (scores["accuracy"], scores["f1"]) == (100.0, 100.0)
