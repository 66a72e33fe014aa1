"""A small repository with its remotes, for ticks."""

from pathlib import Path

import pytest

from tests.pipelines.retrain.small import Place


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    return Place(tmp_path, monkeypatch)
