"""Clocks that do not agree are told, by all workers, with whose it is."""

import pytest
import torch

from pipelines import clocks, group
from rnn_core.errors import ConfigError


def with_clocks(monkeypatch, *others: float) -> None:
    """A group whose other workers' clocks are so many seconds ahead of this one's."""
    ahead = torch.tensor([0.0, *others], dtype=torch.float64)
    monkeypatch.setattr(group, "gathered", lambda mine: mine + ahead)


def test_one_worker_agrees_with_itself():
    clocks.check()


@pytest.mark.parametrize("ahead", [0.0, 30.0, -59.0])
def test_what_networks_and_clocks_do_anyway_is_allowed(monkeypatch, ahead):
    with_clocks(monkeypatch, 1.0, ahead)
    clocks.check()


@pytest.mark.parametrize(("ahead", "told"), [(3600.0, "3600 s ahead of"), (-90.0, "90 s behind")])
def test_a_clock_that_differs_is_told_with_whose_and_by_how_much(monkeypatch, ahead, told):
    with_clocks(monkeypatch, 1.0, ahead)
    with pytest.raises(ConfigError, match=f"worker 2 is {told} that of worker 0.*NTP"):
        clocks.check()
