"""For all tests: nothing of this machine's settings reaches them, and no test fails because the day is slow."""

import os
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

import pipelines  # noqa: F401  switches usage statistics off before any test imports Ray or MLflow

LONGEST = (
    "tests/cluster/test_hosts.py",
    "tests/test_end_to_end.py",
    "tests/pipelines/test_worker.py",
    "tests/pipelines/test_outage.py",
    "tests/pipelines/tuning/test_sweep.py",
    "tests/test_experiments.py",
    "tests/pipelines/test_elastic.py",
    "tests/test_dvc.py",
    "tests/pipelines/test_use.py",
    "tests/pipelines/test_tracking.py",
    "tests/test_setup.py",
    "tests/pipelines/browser/test_mlflow_pages.py",
)
"""Files that are begun first: where several processes share the tests, none is left with one of these at the end."""
DEPLOYMENT = ("RNN_", "RAY_ADDRESS", "MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI", "DVC_")

settings.register_profile("repository", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("repository")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest files first, each as a whole and in its own order."""
    place = {name: index for index, name in enumerate(LONGEST)}
    items.sort(key=lambda item: place.get(item.location[0], len(place)))


@pytest.fixture(autouse=True, scope="module")
def _own_ray() -> Iterator[None]:
    """What a training in this process told Ray by its environment is no matter of the tests in other files."""
    before = dict(os.environ)
    yield
    for name in [name for name in os.environ if name.startswith("RAY_") and name not in before]:
        del os.environ[name]


@pytest.fixture(autouse=True)
def _no_deployment(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test says itself which workers, servers and mirrors there are."""
    for name in os.environ:
        if name.startswith(DEPLOYMENT) and name != "DVC_NO_ANALYTICS":
            monkeypatch.delenv(name)
