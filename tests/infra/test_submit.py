"""A tick as a Ray job: what goes with it, and what does not."""

import argparse

import pytest

from infra.jobs.ray import submit
from pipelines import paths
from pipelines.cluster import jobs
from rnn_core.errors import ConfigError


def test_secrets_do_not_travel_with_a_job() -> None:
    given = {"RNN_WORKERS": "2", "RNN_WEBHOOK": "planted", "AWS_SECRET_ACCESS_KEY": "planted", "HOME": "/x"}
    given |= {"MLFLOW_TRACKING_PASSWORD": "planted", "MLFLOW_TRACKING_URI": "http://127.0.0.1:5000"}
    runtime = submit.runtime_environment(given)
    assert runtime["env_vars"] == {"RNN_WORKERS": "2", "MLFLOW_TRACKING_URI": "http://127.0.0.1:5000"}
    assert "planted" not in str(runtime)


@pytest.mark.parametrize("name", ["MLFLOW_TRACKING_URI", "RNN_STORAGE"])
def test_an_address_with_a_password_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=name) as told:
        submit.runtime_environment({name: "https://user:planted@example.org"})
    assert "planted" not in str(told.value)


def test_data_and_caches_are_left_out() -> None:
    runtime = submit.runtime_environment({})
    assert runtime["working_dir"] == str(paths.root())
    left_out = runtime["excludes"]
    assert isinstance(left_out, list)
    assert {"/data/", "/.venv/", "/.dvc/cache/", "/.git/", "*.env", "mlflow.db*"} <= set(left_out)


@pytest.mark.parametrize("tick", ["", "a b", "x;y", "../x", "-x"])
def test_a_name_that_is_none_is_refused(tick: str) -> None:
    with pytest.raises(ConfigError, match="--tick"):
        submit.job_name(tick)


def test_the_entry_point_is_handed_in_and_followed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = {}

    def handed_in(**given: object) -> tuple[str, bool]:
        asked.update(given)
        return "retrain-2026-01-31.2", True

    monkeypatch.setattr(jobs, "submit", handed_in)
    monkeypatch.setattr(jobs, "follow", lambda address, job: 3)
    options = ["--repository", "https://example.org/a b.git", "--suite", "sample"]
    given = argparse.Namespace(address="http://127.0.0.1:8265", tick="2026-01-31", cpus=1.0, options=options)
    assert submit.run(given) == 3
    assert asked["name"] == "retrain-2026-01-31"
    assert (
        asked["entrypoint"] == "python -m pipelines.retrain --repository 'https://example.org/a b.git' --suite sample"
    )
    assert "retrain-2026-01-31.2: handed in" in capsys.readouterr().out
