"""What `train` decides before and after the workers: keys, what is trained anew, whose mistake is told."""

import copy

import pytest
import yaml

from pipelines import files, params, paths, points, train, worker
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
    plan = lambda threads=1, **changes: train.plan(block_of(shipped, **changes), arrow, tmp_path, threads)  # noqa: E731
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
    recurrent, memoryless, cut = train.plan(block_of(shipped), arrow, tmp_path, 1)
    assert memoryless.model["hidden_size"] > recurrent.model["hidden_size"]
    assert cut.model == recurrent.model
    assert not cut.train.carry


def test_a_metric_that_the_task_does_not_have_is_told(shipped, arrow, tmp_path):
    own = copy.deepcopy(shipped["blocks"]["language_model"]) | {"evaluate": {"metric": "bleu", "published": None}}
    block = params.parse("sample", "language_model", own, shipped["base"], "p")
    with pytest.raises(ConfigError, match=r"evaluate.metric: found 'bleu'; allowed are perplexity, bits_per_character"):
        train.plan(block, arrow, tmp_path, 1)


def prepared(shipped, arrow, tmp_path, monkeypatch, code="one"):
    monkeypatch.setattr(paths, "root", lambda: tmp_path)
    monkeypatch.setattr(train, "code_digest", lambda task: code)
    files.write_json(paths.raw("sample", "language_model") / "source.json", {"dataset": "sample"})
    block = block_of(shipped)
    job = train.plan(block, arrow, tmp_path / "checkpoints", 1)[0]
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
        worker.alone(lock, seconds=0),
        pytest.raises(DataError, match="another process is training this; wait for it to end"),
        worker.alone(lock, seconds=0),
    ):
        raise AssertionError("two hold the lock")
    with worker.alone(lock, seconds=0):
        pass


def test_the_digest_of_the_code_is_that_of_what_computes():
    assert train.code_digest("language_model") != train.code_digest("pos_tagging")
    assert train.code_digest("pos_tagging") == train.code_digest("pos_tagging")


def test_the_revision_is_that_of_this_repository():
    head = train.revision()
    assert head is not None
    assert len(head.removesuffix("+changes")) == 40


def test_seconds_of_training_are_those_of_the_finished_one_or_of_its_last_point(shipped, arrow, tmp_path):
    job = train.plan(block_of(shipped), arrow, tmp_path, 1)[0]
    assert train.trained_seconds(job) == 0
    job.folder.mkdir(parents=True)
    recorder = points.Recorder(job.folder)
    recorder.add(1, 2.5, {"train/loss": 1.0})
    recorder.add(2, 4.0, {"train/loss": 0.5})
    recorder.close()
    assert train.trained_seconds(job) == 4.0
    files.write_json(job.folder / "finished.json", {"seconds": 4.25})
    assert train.trained_seconds(job) == 4.25
