"""How a block's runs are compared in mlflow's pages: a view of columns and charts, kept with the experiment.

The pages read a view from a tag of the experiment, in a form of their own (as of mlflow 3.17), where an address names
its key; a person finds it among the experiment's saved views by its name.
"""

import json
from typing import Any, NamedTuple

from mlflow import MlflowClient
from mlflow.entities import Experiment

from pipelines.tracking import models

KEY = "comparison"
TAG = f"mlflow.sharedViewState.{KEY}"
MODE = "workflowType=machine_learning"
FACETS = {"orderByKey": "attributes.start_time", "orderByAsc": False, "startTime": "ALL", "lifecycleFilter": "Active"}
LEARNING, RESULTS = "learning", "results"
SECTIONS = {LEARNING: "Learning curves", RESULTS: "Results and cost"}


class Compared(NamedTuple):
    """Addresses of a block's pages."""

    experiment: str
    charts: str
    table: str
    model: str | None
    """None where no version is registered."""


def offer(client: MlflowClient, address: str, metrics: dict[tuple[str, str], str]) -> list[Compared]:
    """Keeps the view with each experiment that there is; where to look at it.

    Args:
        address: of the pages, without a slash at the end.
        metrics: the deciding metric of each (suite, block).
    """
    registered = {model.name for model in client.search_registered_models(max_results=1000)}
    found = []
    for (suite, block), metric in metrics.items():
        experiment = client.get_experiment_by_name(f"{suite}/{block}")
        if experiment is None or experiment.lifecycle_stage == "deleted":
            continue
        kept = _envelope(experiment, metric)
        if experiment.tags.get(TAG) != kept:
            client.set_experiment_tag(experiment.experiment_id, TAG, kept)
        page = (
            f"{address}/#/experiments/{experiment.experiment_id}/runs?{MODE}&viewStateShareKey={KEY}&compareRunsMode="
        )
        name = models.name_of(suite, block)
        model = f"{address}/#/models/{name}?{MODE}" if name in registered else None
        found.append(Compared(experiment.name, f"{page}CHART", f"{page}TABLE", model))
    return found


def view(metric: str) -> dict[str, Any]:
    """Columns and charts, the same for all blocks but for the metric that decides."""
    columns = [f"metrics.`{key}`" for key in (f"test/{metric}", "score/gap_closed", "score/best_possible")]
    columns += [f"tags.`{key}`" for key in ("cell", "role", "processor", "gpu", "dvc_hash")]
    columns += [f"params.`{key}`" for key in ("train.seed",)]
    columns += [
        f"metrics.`training/{key}`"
        for key in ("seconds", "core_seconds", "gpu_seconds", "tokens_per_second", "parameters")
    ]
    sections = [
        {"uuid": key, "name": name, "display": True, "isReordered": True, "deleted": False, "isGenerated": False}
        for key, name in SECTIONS.items()
    ]
    return FACETS | {
        "selectedColumns": columns,
        "compareRunCharts": _charts(metric),
        "compareRunSections": sections,
        "isAccordionReordered": True,
        "runsHiddenMode": "FIRST_20_RUNS",
    }


def _charts(metric: str) -> list[dict[str, Any]]:
    score = f"validation/{metric}"
    return [
        _line("train/loss", "Loss in training, by updates"),
        _line("train/loss", "Loss in training, by seconds", "seconds"),
        _line(score, f"{score}, by updates"),
        _line(score, f"{score}, by seconds", "seconds"),
        _line("train/tokens_per_second", "Tokens a second, by updates"),
        *(_bar(key) for key in (f"test/{metric}", "training/seconds", "training/core_seconds", "training/parameters")),
    ]


def _line(metric: str, title: str, against: str | None = None) -> dict[str, Any]:
    """Against updates, or against another metric."""
    axis = {"xAxisKey": "metric" if against else "step", "selectedXAxisMetricKey": against or ""}
    line = {"selectedMetricKeys": [metric], "scaleType": "linear", "xAxisScaleType": "linear", "lineSmoothness": 0}
    own = {"useGlobalXaxisKey": False, "useGlobalLineSmoothing": False, "range": {}}
    return _card("LINE", metric, LEARNING, f"{metric} {against}") | axis | line | own | {"displayName": title}


def _bar(metric: str) -> dict[str, Any]:
    return _card("BAR", metric, RESULTS, metric)


def _card(kind: str, metric: str, section: str, key: str) -> dict[str, Any]:
    return {"uuid": key, "type": kind, "metricKey": metric, "metricSectionId": section} | {
        "deleted": False,
        "isGenerated": False,
        "runsCountToCompare": 20,
    }


def _envelope(experiment: Experiment, metric: str) -> str:
    """The tag's value: the view's name for people, and the view as text."""
    state = json.dumps(view(metric), separators=(",", ":"))
    return json.dumps({"name": "Comparison", "createdAt": experiment.creation_time, "state": state})
