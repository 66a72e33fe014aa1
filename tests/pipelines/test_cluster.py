"""The deployment's settings; what runs on Ray is tested with the trainings (test_worker.py, test_end_to_end.py)."""

import pytest

from pipelines import cluster
from rnn_core.errors import ConfigError


def test_one_worker_with_all_cores_unless_told_otherwise(monkeypatch):
    monkeypatch.setattr(cluster.resources.os, "sched_getaffinity", lambda pid: set(range(6)))
    assert cluster.Resources.from_environment() == cluster.Resources(workers=1, threads=6)
    monkeypatch.setenv("RNN_WORKERS", "4")
    assert cluster.Resources.from_environment().threads == 1
    monkeypatch.setenv("RNN_THREADS", "2")
    monkeypatch.setenv("RNN_GPUS", "1")
    monkeypatch.setenv("RNN_RETRIES", "0")
    assert cluster.Resources.from_environment() == cluster.Resources(workers=4, least=4, threads=2, gpus=1, retries=0)


def test_a_range_of_workers(monkeypatch):
    monkeypatch.setenv("RNN_WORKERS", "2:8")
    resources = cluster.Resources.from_environment()
    assert (resources.least, resources.workers, resources.elastic) == (2, 8, True)
    monkeypatch.setenv("RNN_WORKERS", "3:3")
    assert not cluster.Resources.from_environment().elastic


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("RNN_WORKERS", "0"),
        ("RNN_WORKERS", "3:2"),
        ("RNN_WORKERS", "1:2:3"),
        ("RNN_WORKERS", "2:"),
        ("RNN_THREADS", "two"),
        ("RNN_GPUS", "-1"),
        ("RNN_COMPRESS", "2"),
    ],
)
def test_a_setting_that_is_no_number_is_told(monkeypatch, name, value):
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError, match=f"{name}: found '{value}'; a whole number from"):
        cluster.Resources.from_environment()


def test_a_cluster_that_is_not_there_is_told(monkeypatch):
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:9")
    with (
        pytest.raises(ConfigError, match="RAY_ADDRESS: no cluster at 127.0.0.1:9"),
        cluster.joined(cluster.Resources.from_environment()),
    ):
        raise AssertionError("joined a cluster that is not there")
