"""What `train` decides before and after the workers: keys, what is trained anew, whose mistake is told."""

import copy
import socket

import pytest
import torch
import yaml

from pipelines import cluster, files, locks, params, paths, points, train, versions
from rnn_core.errors import ConfigError, DataError
from tests.pipelines import small_training as small


@pytest.fixture(scope="module")
def shipped():
    return yaml.safe_load(paths.params_file("sample").read_text())


@pytest.fixture
def arrow(tmp_path):
    return small.write_data(tmp_path / "arrow")


def block_of(shipped, **changes):
    own = copy.deepcopy(shipped["blocks"]["language_model"])
    own["train"] |= changes
    return params.parse("sample", "language_model", own, shipped["base"], "p")


def test_the_key_names_configuration_and_data_and_nothing_else(shipped, arrow, tmp_path):
    def plan(threads=1, **changes):
        return train.plan(block_of(shipped, **changes), arrow, tmp_path, cluster.Resources(threads=threads))

    jobs = plan()
    assert [job.name for job in jobs] == ["recurrent", "memoryless", "carry_cut"]
    assert len({job.key for job in jobs}) == 3
    assert [job.key for job in plan(threads=7)] == [job.key for job in jobs]
    other = plan(optimizer={"name": "sgd", "rate": 1.0})
    assert other[0].key != jobs[0].key
    assert [job.key for job in other[1:]] == [job.key for job in jobs[1:]], "the baselines stay as they were trained"
    files.write_json(arrow / "summary.json", {"digest": "other"})
    assert not {job.key for job in plan()} & {job.key for job in jobs}


def test_a_baseline_of_another_cell_is_widened_and_one_of_the_same_is_not(shipped, arrow, tmp_path):
    recurrent, memoryless, cut = train.plan(block_of(shipped), arrow, tmp_path, cluster.Resources())
    assert memoryless.model["hidden_size"] > recurrent.model["hidden_size"]
    assert cut.model == recurrent.model
    assert not cut.train.carry


def test_a_metric_that_the_task_does_not_have_is_told(shipped, arrow, tmp_path):
    own = copy.deepcopy(shipped["blocks"]["language_model"]) | {"evaluate": {"metric": "bleu", "published": None}}
    block = params.parse("sample", "language_model", own, shipped["base"], "p")
    with pytest.raises(ConfigError, match=r"evaluate.metric: found 'bleu'; allowed are perplexity, bits_per_character"):
        train.plan(block, arrow, tmp_path, cluster.Resources())


def prepared(shipped, arrow, tmp_path, monkeypatch, code="one"):
    monkeypatch.setattr(paths, "root", lambda: tmp_path)
    monkeypatch.setattr(versions, "here", lambda task: {"code": code, "torch": "2"})
    files.write_json(paths.raw("sample", "language_model") / "source.json", {"dataset": "sample"})
    block = block_of(shipped)
    job = train.plan(block, arrow, tmp_path / "checkpoints", cluster.Resources())[0]
    train.prepare(job, block)
    return job, files.read_json(job.folder / "run.json")


def test_a_training_is_taken_up_or_taken_as_it_is_or_made_anew_when_the_code_changed(
    shipped, arrow, tmp_path, monkeypatch
):
    job, run = prepared(shipped, arrow, tmp_path, monkeypatch)
    assert prepared(shipped, arrow, tmp_path, monkeypatch)[1] == run, "an interrupted one goes on in the same run"
    files.write_json(job.folder / "finished.json", {"code": "one"})
    assert prepared(shipped, arrow, tmp_path, monkeypatch)[1] == run
    again, other = prepared(shipped, arrow, tmp_path, monkeypatch, code="two")
    assert again.folder == job.folder
    assert other["training_id"] != run["training_id"]
    assert not (job.folder / "finished.json").exists()


def test_a_workers_mistake_is_told_in_its_own_words(shipped, arrow, tmp_path, monkeypatch):
    job, _ = prepared(shipped, arrow, tmp_path, monkeypatch)
    told = {"type": "NonFiniteLoss", "found": "the loss is not finite", "allowed": "x"}
    files.write_json(job.folder / "error-0000.json", told | {"where": "update 3, another worker"})
    files.write_json(job.folder / "error-0001.json", told | {"where": "update 3, lanes 4"})
    with (
        pytest.raises(DataError, match="/recurrent: update 3, lanes 4: the loss is not finite"),
        train._told_errors([job]),
    ):
        pass
    prepared(shipped, arrow, tmp_path, monkeypatch)
    with train._told_errors([job]):
        pass


def test_two_at_once_do_not_train_one_block(tmp_path):
    lock = tmp_path / "train.lock"
    with (
        locks.alone(lock, seconds=0),
        pytest.raises(DataError, match="another process is training this; wait for it to end"),
        locks.alone(lock, seconds=0),
    ):
        raise AssertionError("two hold the lock")
    with locks.alone(lock, seconds=0):
        pass


def test_the_digest_of_the_code_is_that_of_what_computes():
    assert versions.here("language_model")["code"] != versions.here("pos_tagging")["code"]
    assert versions.here("pos_tagging") == versions.here("pos_tagging")


def test_a_machine_with_other_code_or_another_torch_is_refused_and_named():
    wanted = versions.here("pos_tagging")
    versions.check("pos_tagging", wanted)
    with pytest.raises(
        ConfigError, match=f"machine {socket.gethostname()}: found torch {torch.__version__[:4]}.*torch 1.0"
    ):
        versions.check("pos_tagging", wanted | {"torch": "1.0"})
    with pytest.raises(ConfigError, match="found code .*; code other, as where training was started"):
        versions.check("pos_tagging", wanted | {"code": "other"})


def test_not_more_workers_than_lanes(shipped, arrow, tmp_path):
    job = train.plan(block_of(shipped), arrow, tmp_path, cluster.Resources())[0]
    lanes = job.train.lanes
    assert train.within_lanes(cluster.Resources(least=1, workers=1000), job).workers == lanes
    with pytest.raises(ConfigError, match=f"RNN_WORKERS: {lanes + 1} workers for the {lanes} lanes of recurrent"):
        train.within_lanes(cluster.Resources(least=lanes + 1, workers=lanes + 2), job)


def test_the_revision_is_that_of_this_repository():
    head = train.revision()
    assert head is not None
    assert len(head.removesuffix("+changes")) == 40


def test_seconds_of_training_are_those_of_the_finished_one_or_of_its_last_point(shipped, arrow, tmp_path):
    job = train.plan(block_of(shipped), arrow, tmp_path, cluster.Resources())[0]
    assert train.trained_seconds(job) == 0
    job.folder.mkdir(parents=True)
    recorder = points.Recorder(job.folder)
    recorder.add(1, 2.5, {"train/loss": 1.0})
    recorder.add(2, 4.0, {"train/loss": 0.5})
    recorder.close()
    assert train.trained_seconds(job) == 4.0
    files.write_json(job.folder / "finished.json", {"seconds": 4.25})
    assert train.trained_seconds(job) == 4.25
