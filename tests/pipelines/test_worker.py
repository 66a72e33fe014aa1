"""A training killed anywhere goes on as if nothing had been: bit for bit, or to rounding with other workers."""

import os
import signal

import numpy as np
import pytest
import torch

from pipelines import files, training, worker
from rnn_core.errors import DataError
from tests.pipelines import small_training as small

LONG = pytest.mark.long
ONE_QUICK = pytest.mark.parametrize("workers", [pytest.param(1, marks=LONG), 2, pytest.param(3, marks=LONG)])


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return small.write_data(tmp_path_factory.mktemp("data") / "arrow")


@pytest.fixture(scope="module")
def undisturbed(data, tmp_path_factory):
    """Points of whole trainings by number of workers; each is run when it is first asked for."""
    kept = {}

    def points(workers, **train):
        key = (workers, *sorted(train.items()))
        if key not in kept:
            path = small.write_job(tmp_path_factory.mktemp("whole") / "job", data, **train)
            kept[key] = small.train(path, workers)
        return kept[key]

    return points


@ONE_QUICK
def test_killed_as_a_whole_it_goes_on_bit_for_bit(data, undisturbed, tmp_path, workers):
    path = small.write_job(tmp_path / "job", data)
    small.train_until(path, workers, small.random_step(250))
    points = small.train(path, workers)
    assert small.numbers(points) == small.numbers(undisturbed(workers))
    small.check_each_step_once(points)
    finished = files.read_json(path / "training/finished.json")
    assert (finished["steps"], finished["workers"]) == (300, workers)


@pytest.mark.parametrize(("changes", "epochs"), [((20, 50), 1), pytest.param((80, 170), 3, marks=LONG)])
def test_other_numbers_of_workers_change_rounding_only_in_float64(data, undisturbed, tmp_path, changes, epochs):
    """100 or 300 updates, the workers changed twice: within 1e-9 of one worker alone."""
    path = small.write_job(tmp_path / "job", data, dtype="float64", epochs=epochs)
    small.train_until(path, 1, changes[0])
    small.train_until(path, 3, changes[1])
    points = small.train(path, 2)
    small.check_each_step_once(points)
    whole = undisturbed(1, dtype="float64", epochs=epochs)
    np.testing.assert_allclose(small.losses(points), small.losses(whole), rtol=1e-9)
    assert len(small.losses(points)) == 100 * epochs


@pytest.mark.parametrize(("before", "after"), [pytest.param(1, 2, marks=LONG), (2, 3), pytest.param(3, 1, marks=LONG)])
def test_other_numbers_of_workers_stay_close_in_float32(data, undisturbed, tmp_path, before, after):
    path = small.write_job(tmp_path / "job", data)
    small.train_until(path, before, 101)
    state = max((path / "training/state").glob("step-*")).name
    change = int(state.removeprefix("step-"))
    points = small.train(path, after)
    ours, whole = small.losses(points), small.losses(undisturbed(before))
    np.testing.assert_allclose(ours[change : change + 50], whole[change : change + 50], rtol=1e-4)


def test_gradients_that_travel_as_bfloat16_train_nearly_the_same(data, undisturbed, tmp_path, monkeypatch):
    whole = small.losses(undisturbed(2, epochs=1))
    monkeypatch.setenv("RNN_COMPRESS", "1")
    path = small.write_job(tmp_path / "job", data, epochs=1)
    ours = small.losses(small.train(path, 2))
    assert files.read_json(path / "training/finished.json")["compressed"] is True
    assert ours[0] == whole[0], "losses are summed as they are"
    assert not np.array_equal(ours, whole)
    np.testing.assert_allclose(ours[:20], whole[:20], rtol=1e-3)


@ONE_QUICK
def test_ray_replaces_a_killed_worker_and_the_losses_are_the_same(data, undisturbed, tmp_path, workers):
    path = small.write_job(tmp_path / "job", data, epochs=8)
    with small.Running(path, workers, ray=True) as running:
        running.wait_for(small.random_step(300))
        pids = small.workers_of(running.processes[0].pid)
        assert len(pids) == workers
        # The one socket beyond loopback is the store through which torch's workers meet: it knows no other way.
        beyond = small.listening_beyond_loopback(running.processes[0].pid)
        assert len(beyond) <= 1, beyond
        assert all("RayTrainWorker" in socket for socket in beyond), beyond
        os.kill(pids[-1], signal.SIGKILL)
        running.finish()
    points = small.read(path / "training")
    assert small.numbers(points) == small.numbers(undisturbed(workers, epochs=8))
    small.check_each_step_once(points)


@ONE_QUICK
def test_the_whole_process_killed_and_started_again_the_losses_are_the_same(data, undisturbed, tmp_path, workers):
    path = small.write_job(tmp_path / "job", data, epochs=8)
    with small.Running(path, workers, ray=True) as running:
        running.wait_for(small.random_step(300))
        running.kill()
    with small.Running(path, workers, ray=True) as running:
        running.finish()
    points = small.read(path / "training")
    assert small.numbers(points) == small.numbers(undisturbed(workers, epochs=8))
    small.check_each_step_once(points)


@pytest.mark.parametrize("behind", [1, None])
def test_workers_that_find_different_states_take_one_that_all_have(data, undisturbed, tmp_path, monkeypatch, behind):
    """As on machines of which one has a newer state; on the other there may be none."""
    path, whole = small.write_job(tmp_path / "job", data), small.numbers(undisturbed(1))
    small.train_until(path, 1, 150)
    updates = sorted(int(state.name.removeprefix("step-")) for state in (path / "training/state").glob("step-*"))
    other = torch.tensor([0 if behind is None else updates[-1 - behind]])
    monkeypatch.setattr(training.group, "gathered", lambda mine: torch.stack((mine, other)))
    monkeypatch.setattr(worker.clocks, "check", lambda: None)  # the other has none
    if behind is None:
        with pytest.raises(DataError, match=rf"workers find states of updates 0, {updates[-1]}; a folder that all"):
            small.train(path, 1)
    else:
        assert small.numbers(small.train(path, 1)) == whole


def test_updates_of_several_windows_go_on_after_a_kill_bit_for_bit(data, undisturbed, tmp_path):
    """100 windows an epoch, 7 an update: the first epoch ends inside the 15th, the training with the 29th."""
    path = small.write_job(tmp_path / "job", data, accumulate=7, epochs=2)
    small.train_until(path, 1, small.random_step(25))
    points = small.train(path, 1)
    assert small.numbers(points) == small.numbers(undisturbed(1, accumulate=7, epochs=2))
    finished = files.read_json(path / "training/finished.json")
    assert (finished["steps"], finished["epochs"]) == (29, 29 * 7 / 100)
    validations = [p["step"] for p in points if "validation/loss" in p["values"]]
    assert validations == [7, 14, 21, 28, 29]


def test_a_finished_training_is_not_trained_again(data, undisturbed, tmp_path):
    path = small.write_job(tmp_path / "job", data, epochs=1)
    small.train(path, 1)
    before = (path / "training/points.jsonl").stat().st_mtime_ns
    small.train(path, 1)
    assert (path / "training/points.jsonl").stat().st_mtime_ns == before


def test_padding_and_waiting_for_input_are_told(data, tmp_path):
    path = small.write_job(tmp_path / "job", data, epochs=1, lanes=9)
    points = small.train(path, 1)
    steps = small.UPDATES_PER_EPOCH * small.TRAIN["window"] * small.TRAIN["lanes"]
    windows = -(-steps // (9 * small.TRAIN["window"]))
    finished = files.read_json(path / "training/finished.json")
    assert finished["pad_share"] == pytest.approx(1 - steps / (windows * 9 * small.TRAIN["window"]))
    assert all(0 < p["values"]["train/input_share"] < 1 for p in points if "train/loss" in p["values"])


def test_early_stopping_keeps_the_best_weights(data, tmp_path):
    path = small.write_job(tmp_path / "job", data, epochs=30, patience=1, optimizer={"name": "adamw", "rate": 0.3})
    points = small.train(path, 1)
    finished = files.read_json(path / "training/finished.json")
    validations = {p["step"]: p["values"]["validation/perplexity"] for p in points if "validation/loss" in p["values"]}
    assert finished["stopped_early"]
    assert validations[finished["best_update"]] == min(validations.values()) == finished["best"]["perplexity"]
    later = [step for step in validations if step > finished["best_update"]]
    assert len(later) == 2


def test_bfloat16_is_float32_and_told_where_the_processor_has_none(data, undisturbed, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(training.products, "bfloat16_pays", lambda device: False)
    path, threads = small.write_job(tmp_path / "job", data, epochs=1, dtype="bfloat16"), torch.get_num_threads()
    worker.train_all([small.job_of(path)], "cpu")
    torch.set_num_threads(threads)
    assert "recurrent: this cpu has no bfloat16 of its own, float32 is used" in capsys.readouterr().out
    assert files.read_json(path / "training/finished.json")["products"] == "float32"
    np.testing.assert_array_equal(small.losses(small.read(path / "training")), small.losses(undisturbed(1, epochs=1)))


def test_a_training_in_bfloat16_ends_near_the_one_in_float32(data, undisturbed, tmp_path):
    path = small.write_job(tmp_path / "job", data, epochs=1, dtype="bfloat16")
    points = small.train(path, 1)
    assert files.read_json(path / "training/finished.json")["products"] in ("bfloat16", "float32")
    np.testing.assert_allclose(small.losses(points), small.losses(undisturbed(1, epochs=1)), rtol=0.02)
