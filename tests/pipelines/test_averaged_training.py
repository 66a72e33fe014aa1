"""A training that averages its weights and varies its windows: broken off, it goes on as if nothing had been."""

import itertools

import pytest
import torch
from safetensors.torch import load_file

from pipelines import training, worker
from pipelines.points import read
from tests.pipelines import small_training as small

TRAIN = {"k2": 5, "window_spread": 1.5, "averaging": {"after": 1, "decay": 0.98, "every": 2}}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return small.write_data(tmp_path_factory.mktemp("data") / "arrow")


@pytest.fixture(scope="module")
def whole(data, tmp_path_factory):
    return run(tmp_path_factory.mktemp("whole"), data)


def run(path, data, monkeypatch=None, **train):
    """A training's folder; with a monkeypatch it is broken off at update 137 and begun again."""
    job = small.job_of(small.write_job(path / "job", data, **TRAIN | train))
    if monkeypatch is not None:
        point = training.Training._point

        def broken_off(self, step):
            if step.update == 137:
                raise KeyboardInterrupt
            point(self, step)

        with monkeypatch.context() as patched:
            patched.setattr(training.Training, "_point", broken_off)
            with pytest.raises(KeyboardInterrupt):
                worker.train(job, "cpu")
    worker.train(job, "cpu")
    return job.folder


def test_broken_off_it_goes_on_bit_for_bit(whole, data, tmp_path, monkeypatch):
    again = run(tmp_path, data, monkeypatch)
    assert small.numbers(read(again)) == small.numbers(read(whole))
    small.check_each_step_once(read(again))
    ours, theirs = (load_file(newest(folder)) for folder in (again, whole))
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def newest(folder):
    return max((folder / "state").glob("step-*")) / "state.safetensors"


def test_the_mean_is_what_is_validated_and_kept(whole):
    kept, state = load_file(whole / "best/model.safetensors"), load_file(newest(whole))
    assert all(torch.equal(kept[name], state[f"average.{name}"]) for name in kept)
    assert not all(torch.equal(kept[name], state[f"network.{name}"]) for name in kept)


def test_the_rate_goes_with_the_length_of_the_window(whole, data, tmp_path):
    plain = run(tmp_path, data, window_spread=0.0, epochs=1, schedule={"name": "constant"})
    assert {point["values"]["train/rate"] for point in read(plain) if "train/rate" in point["values"]} == {0.01}
    rates = [point["values"]["train/rate"] for point in read(whole) if "train/rate" in point["values"]]
    assert max(b / a for a, b in itertools.pairwise(rates)) > 1.15
