"""A training's newest values as metrics of Ray, which Prometheus reads from each node (infra/monitoring/).

The driver exports them, from the points that it reads anyway: one process speaks for a training, and its workers spend
nothing on it. A cluster without Ray's metrics agent drops them.
"""

import sys
from functools import cache
from typing import Any

TRAIN = {
    "train/loss": ("rnn_train_loss", "Mean loss of the last steps, in nats"),
    "train/epoch": ("rnn_train_epoch", "Epochs done"),
    "train/tokens_per_second": ("rnn_train_tokens_per_second", "Tokens that all workers together train on a second"),
    "train/input_share": ("rnn_train_input_share", "Share of a step's time that it waits for input"),
    "train/slowest_lag": ("rnn_train_slowest_lag", "How much longer than most the slowest worker needs, as a share"),
}
VALIDATION = ("rnn_validation", "Score on validation data")
UPDATES = ("rnn_train_updates", "Updates done")
RESTARTS = ("rnn_train_restarts", "Times that the training began anew from its last state")
LOST = ("rnn_train_lost_seconds", "Time that restarts have cost")
LABELS = ("suite", "block", "training")
RESTART_SECONDS = 5.0
"""Two points lie further apart on the clock than in training time by at least so much where a restart was between."""


def export(experiment: str, training: str, point: dict[str, Any]) -> None:
    """Show a point of `pipelines/points.py`, the newest of its training; nothing where no cluster is joined.

    Args:
        experiment: `<suite>/<block>`.
    """
    _curve(experiment, training).take(point)


class _Curve:
    def __init__(self, experiment: str, training: str):
        suite, _, block = experiment.partition("/")
        self._labels = dict(zip(LABELS, (suite, block, training), strict=True))
        self._last: tuple[float, float] | None = None
        self._restarts, self._lost = 0, 0.0

    def take(self, point: dict[str, Any]) -> None:
        self._count(point["time"] / 1000, point["seconds"])
        if not _joined():
            return
        for name, value in point["values"].items():
            if name in TRAIN:
                self._show(TRAIN[name], value)
            elif name.startswith("validation/"):
                self._show(VALIDATION, value, metric=name.partition("/")[2])
        self._show(UPDATES, point["step"])
        self._show(RESTARTS, self._restarts)
        self._show(LOST, self._lost)

    def _count(self, clock: float, seconds: float) -> None:
        if self._last is not None:
            stood_still = (clock - self._last[0]) - (seconds - self._last[1])
            if stood_still >= RESTART_SECONDS:
                self._restarts += 1
                self._lost += stood_still
        self._last = clock, seconds

    def _show(self, known: tuple[str, str], value: float, **labels: str) -> None:
        _gauge(*known, tuple(labels)).set(float(value), self._labels | labels)


@cache
def _curve(experiment: str, training: str) -> _Curve:
    return _Curve(experiment, training)


@cache
def _gauge(name: str, what: str, further: tuple[str, ...]) -> Any:
    from ray.util.metrics import Gauge

    return Gauge(name, what, tag_keys=LABELS + further)


def _joined() -> bool:
    """Never imports Ray: whoever joins a cluster does, after its settings stand."""
    ray = sys.modules.get("ray")
    return ray is not None and ray.is_initialized()
