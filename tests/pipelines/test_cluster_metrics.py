"""A training's points as metrics: which values, under which labels, and how restarts are counted."""

import sys
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from pipelines.cluster import metrics

Shown = dict[tuple[str, str], float]


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> Iterator[Shown]:
    """What Prometheus would read: (metric, labels) to value."""
    values: Shown = {}

    def gauge(name: str, what: str, further: tuple[str, ...]) -> Any:
        def set_to(value: float, labels: dict[str, str]) -> None:
            assert set(labels) == {*metrics.LABELS, *further}
            values[name, ",".join(labels.values())] = value

        return SimpleNamespace(set=set_to)

    monkeypatch.setattr(metrics, "_gauge", gauge)
    monkeypatch.setattr(metrics, "_joined", lambda: True)
    metrics._curve.cache_clear()
    yield values
    metrics._curve.cache_clear()


def point(step: int, clock: float, seconds: float, **values: float) -> dict[str, Any]:
    kind = "validation" if "accuracy" in values else "train"
    named = {f"{kind}/{name}": value for name, value in values.items()}
    return {"step": step, "time": int(clock * 1000), "seconds": seconds, "values": named}


def test_values_go_under_suite_block_and_training(shown: Shown) -> None:
    metrics.export("sample/pos_tagging", "recurrent", point(7, 100, 1, loss=2.5, tokens_per_second=1e4, rate=0.1))
    metrics.export("sample/pos_tagging", "recurrent", point(8, 101, 2, accuracy=90.0))
    labels = "sample,pos_tagging,recurrent"
    assert shown == {
        ("rnn_train_loss", labels): 2.5,
        ("rnn_train_tokens_per_second", labels): 1e4,
        ("rnn_validation", f"{labels},accuracy"): 90.0,
        ("rnn_train_updates", labels): 8,
        ("rnn_train_restarts", labels): 0,
        ("rnn_train_lost_seconds", labels): 0,
    }


def test_restarts_are_what_the_clock_ran_on_without_training(shown: Shown) -> None:
    """Also those before the cluster was joined; a restart goes back to the last state, whose time is smaller."""
    for clock, seconds in ((100, 10), (110, 20), (170, 30), (180, 40), (230, 35)):
        metrics.export("sample/x", "recurrent", point(clock, clock, seconds, loss=1.0))
    metrics.export("sample/x", "memoryless", point(1, 300, 1, loss=1.0))
    assert shown["rnn_train_restarts", "sample,x,recurrent"] == 2
    assert shown["rnn_train_lost_seconds", "sample,x,recurrent"] == pytest.approx(50 + 55)
    assert shown["rnn_train_restarts", "sample,x,memoryless"] == 0


def test_nothing_is_shown_where_no_cluster_is_joined(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: Any) -> Any:
        raise AssertionError("no metric without a cluster")

    monkeypatch.setattr(metrics, "_gauge", never)
    for ray in (None, SimpleNamespace(is_initialized=lambda: False)):
        monkeypatch.setitem(sys.modules, "ray", ray)  # type: ignore[arg-type]
        metrics.export("sample/y", "recurrent", point(1, 1, 1, loss=1.0))
    metrics._curve.cache_clear()
