"""Several seeds of a block: which trainings they make, which one is the model, and what the score file says."""

from pathlib import Path

import pytest
import yaml

from pipelines import evaluate, files, networks, params, paths, train
from pipelines.job import Job
from rnn_core.errors import ConfigError

SHIPPED = yaml.safe_load(paths.params_file("sample").read_text())


def block_with(**settings):
    own = SHIPPED["blocks"]["pos_tagging"]
    own = {**own, "train": {**own["train"], **settings}}
    return params.parse("sample", "pos_tagging", own, SHIPPED["base"], "p")


def test_one_training_a_seed_and_the_baselines_once():
    block = block_with(seeds=[4, 2, 9])
    assert [t.name for t in block.trainings] == ["recurrent", "recurrent_seed2", "recurrent_seed9", "memoryless"]
    assert [t.train.seed for t in block.recurrent] == [4, 2, 9]
    assert block.trainings[-1].train.seed == SHIPPED["base"]["train"]["seed"]
    one = block_with()
    assert [t.name for t in one.trainings] == ["recurrent", "memoryless"]
    assert [t.name for t in block_with(seeds=[5]).recurrent] == ["recurrent"]


@pytest.mark.parametrize(
    "settings", [{"seeds": []}, {"seeds": [1, 1]}, {"seeds": 3}, {"seeds": ["1"]}, {"seeds": [-1]}]
)
def test_seeds_are_checked(settings):
    with pytest.raises(ConfigError, match=r"p\.train\.seeds: found .*; a list of different whole numbers"):
        block_with(**settings)
    with pytest.raises(ConfigError, match="and `seed`"):
        block_with(seeds=[1, 2], seed=1)


def test_baselines_have_one_seed_and_other_names():
    own = SHIPPED["blocks"]["pos_tagging"]
    memoryless = own["baselines"]["memoryless"]
    several = {**memoryless, "train": {**memoryless["train"], "seeds": [1, 2]}}
    with pytest.raises(ConfigError, match=r"memoryless\.train\.seeds: unknown key"):
        params.parse("sample", "b", {**own, "baselines": {"memoryless": several}}, SHIPPED["base"], "p")
    with pytest.raises(ConfigError, match="a name that does not begin with `recurrent`"):
        params.parse("sample", "b", {**own, "baselines": {"recurrent_seed2": memoryless}}, SHIPPED["base"], "p")


def jobs_with(folder: Path, block: params.Block, best: dict[str, float]) -> list[Job]:
    """Finished trainings, as far as `chosen` looks at them."""
    jobs = []
    for training in block.trainings:
        files.write_json(folder / training.name / "run.json", {"best": {"accuracy": best[training.name]}})
        settings = {"model": training.model, "train": training.train, "metric": "accuracy"}
        about = {"arrow": folder, "task": block.task, "key": "k", "threads": 1, "checkpoint_seconds": 60}
        jobs.append(Job(name=training.name, folder=folder / training.name, versions={}, **settings, **about))
    return jobs


def test_the_model_is_the_seed_that_is_best_on_validation_data(tmp_path):
    block = block_with(seeds=[1, 2, 3])
    best = {"recurrent": 90.0, "recurrent_seed2": 92.0, "recurrent_seed3": 92.0, "memoryless": 99.0}
    assert train.chosen(jobs_with(tmp_path, block, best), block) == "recurrent_seed2"
    files.write_json(tmp_path / "chosen.json", {"training": "recurrent_seed2"})
    assert networks.chosen(tmp_path) == "recurrent_seed2"


def test_the_score_is_the_mean_of_the_seeds():
    block = block_with(seeds=[1, 2, 3])
    measured = {
        "recurrent": {"accuracy": 94.0},
        "recurrent_seed2": {"accuracy": 95.0},
        "recurrent_seed3": {"accuracy": 95.5},
        "memoryless": {"accuracy": 75.0},
    }
    trained = {"seconds": 10.0, "workers": 1, "threads": 2, "device": "cpu", "parameters": 7, "revision": "r"}
    runs = dict.fromkeys(measured, trained)
    numbers = evaluate.compare(block, measured, {}, {}, "digest")
    score = evaluate.score_file(block, numbers, runs, "recurrent_seed2")
    assert score["score"] == pytest.approx(284.5 / 3)
    assert (score["spread"], score["seeds"]) == ({"min": 94.0, "max": 95.5}, [1, 2, 3])
    assert (score["seconds"], score["baselines"]) == (30.0, {"memoryless": 75.0})
