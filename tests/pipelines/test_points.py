"""Points on disk: each step once, whatever was killed in between."""

import pytest

from pipelines.points import Recorder, Tail, read


def add(folder, *steps, kind="train"):
    recorder = Recorder(folder)
    for step in steps:
        recorder.add(step, float(step), {f"{kind}/loss": step / 10})
    recorder.close()


def test_a_step_is_recorded_once_whatever_is_computed_again(tmp_path):
    add(tmp_path, 1, 2, 3)
    add(tmp_path, 3, kind="validation")
    add(tmp_path, 2, 3, 4)
    add(tmp_path, 3, 6, kind="validation")
    assert [(p["step"], *p["values"]) for p in read(tmp_path)] == [
        (1, "train/loss"),
        (2, "train/loss"),
        (3, "train/loss"),
        (3, "validation/loss"),
        (4, "train/loss"),
        (6, "validation/loss"),
    ]


def test_a_half_written_line_is_written_anew(tmp_path):
    add(tmp_path, 1, 2)
    file = tmp_path / "points.jsonl"
    file.write_bytes(file.read_bytes()[:-9])
    assert [p["step"] for p in read(tmp_path)] == [1]
    add(tmp_path, 2, 3)
    assert [p["step"] for p in read(tmp_path)] == [1, 2, 3]


def test_a_tail_gives_what_is_new(tmp_path):
    tail = Tail(tmp_path)
    assert list(tail.new()) == []
    add(tmp_path, 1)
    assert [p["step"] for p in tail.new()] == [1]
    add(tmp_path, 2, 3)
    assert [p["step"] for p in tail.new()] == [2, 3]
    assert list(tail.new()) == []


def test_numbers_come_back_as_they_were(tmp_path):
    recorder = Recorder(tmp_path)
    recorder.add(1, 0.5, {"train/loss": 0.1 + 0.2})
    recorder.close()
    (point,) = read(tmp_path)
    assert point["values"]["train/loss"] == 0.1 + 0.2
    assert point["seconds"] == 0.5
    assert abs(point["time"] - 1.7e12) < 1e12


def test_values_of_two_kinds_are_no_point(tmp_path):
    recorder = Recorder(tmp_path)
    with pytest.raises(AssertionError, match="one kind of values"):
        recorder.add(1, 0.5, {"train/loss": 1.0, "validation/loss": 1.0})
    recorder.close()
