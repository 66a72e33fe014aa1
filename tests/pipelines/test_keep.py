"""Which weights are a training's model: those of the best validation, or those of the end."""

from pathlib import Path

import pytest

from pipelines import files, params, worker
from rnn_core.config import from_mapping
from rnn_core.errors import ConfigError
from tests.pipelines import small_training


def finished(folder: Path, **settings: object) -> dict:
    """Of a training whose rate rises until it harms."""
    data = small_training.write_data(folder / "arrow")
    wild = {"optimizer": {"name": "adamw", "rate": 2.0}, "schedule": {"name": "cosine", "warmup": 100}}
    wild |= {"epochs": 1, "validations_per_epoch": 20}
    job = small_training.job_of(small_training.write_job(folder / "job", data, **wild, **settings))
    worker.train(job, "cpu")
    return files.read_json(folder / "job/training/finished.json")


def test_the_last_weights_are_kept_where_the_block_says_so(tmp_path: Path) -> None:
    last, best = finished(tmp_path / "last", keep="last"), finished(tmp_path / "best")
    assert last["best_update"] == last["steps"]
    assert best["best_update"] < best["steps"]
    assert best["best"]["perplexity"] < last["best"]["perplexity"]


def test_nothing_waits_for_the_best_where_the_last_is_kept() -> None:
    with pytest.raises(ConfigError, match="patience is 3 with keep: last"):
        from_mapping(params.Train, small_training.TRAIN | {"keep": "last", "patience": 3}, "train")
