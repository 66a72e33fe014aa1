"""For all tests: nothing of this machine's settings reaches them, and no test fails because the day is slow."""

import os

import pytest
from hypothesis import HealthCheck, settings

import pipelines  # noqa: F401  switches usage statistics off before any test imports Ray or MLflow

DEPLOYMENT = ("RNN_", "RAY_ADDRESS", "MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI", "DVC_")

settings.register_profile("repository", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("repository")


@pytest.fixture(autouse=True)
def _no_deployment(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test says itself which workers, servers and mirrors there are."""
    for name in os.environ:
        if name.startswith(DEPLOYMENT) and name != "DVC_NO_ANALYTICS":
            monkeypatch.delenv(name)
