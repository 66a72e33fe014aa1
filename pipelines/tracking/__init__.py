"""Experiment tracking: the only place that imports mlflow, and the only one that knows its limits.

What a training told the world lies in its folder as files (`run.json`, `params.json`, `points.jsonl`, `pictures/`,
`model/`); `points.jsonl` is the spool. The server receives copies, any number of times, and keeps one of each: a
server that goes away stops no training and loses no point, and a new server is filled from the same files.

    with Live(folder): ...                  while the driver trains
    settle()                                ends the runs that a crash left open
    connect().send(folder)                  all of it, afterwards
    connect().register(folder, evaluation, card)  a model version

mlflow is imported at the first `connect`: it takes a second, and most processes need none.
"""

from pipelines.tracking import environment
from pipelines.tracking.environment import TrackingError, uri
from pipelines.tracking.evaluation import (
    CHALLENGER,
    CHAMPION,
    PREVIOUS,
    Card,
    Evaluation,
    Registration,
    Ruling,
    Standing,
    Version,
)
from pipelines.tracking.live import Live
from pipelines.tracking.tick import Tick
from pipelines.tracking.tracker import Tracker, connect, load, settle

__all__ = [
    "CHALLENGER",
    "CHAMPION",
    "PREVIOUS",
    "Card",
    "Evaluation",
    "Live",
    "Registration",
    "Ruling",
    "Standing",
    "Tick",
    "Tracker",
    "TrackingError",
    "Version",
    "connect",
    "load",
    "settle",
    "uri",
]

environment.set_defaults()
