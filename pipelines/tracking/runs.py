"""A training's run on the server: found by its tag or made, filled from the folder, closed."""

import contextlib
import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, Run, RunTag, ViewType
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID
from mlflow.utils.validation import MAX_PARAM_VAL_LENGTH, MAX_PARAMS_TAGS_PER_BATCH

from pipelines import files, paths
from pipelines.tracking import environment, refusals, spool
from pipelines.tracking.open_runs import OpenRun
from pipelines.tracking.spool import Sent, Training, Value
from rnn_core.errors import DataError

IDENTITY = ("training_id", "key", "suite", "block", "task", "kind", "dataset", "training", "cell")
ORIGIN = ("revision", "data_digest", "source_digest", "cluster_job")
HARDWARE = ("workers", "threads", "device", "compressed", "products", "processor", "cores", "gpu")
RESULTS = ("seconds", "steps", "epochs", "parameters", "pad_share", "character_pad_share", "trials")
STATUS = {"finished": "FINISHED", "stopped": "FINISHED", "failed": "FAILED", "killed": "KILLED"}
"""By the status in `run.json`; stopped: a trial that its sweep cut short, as is proper."""
WATERMARK = "points_bytes"
"""Tag: how many bytes of `points.jsonl` the server has. Set in the request that brings them, after them."""


def find(client: MlflowClient, training: Training) -> Run | None:
    """The training's run, unless the server lacks it or somebody has deleted it."""
    return find_by_id(client, training.experiment, training.id)


def find_by_id(client: MlflowClient, experiment: str, training_id: str) -> Run | None:
    """The run of the training with that id; of several the one with most of the curve, the others are deleted.

    There are several where a server took a request, and answered later than anybody waited for it.
    """
    place = client.get_experiment_by_name(experiment)
    if place is None:
        return None
    found = client.search_runs([place.experiment_id], f"tags.training_id = '{training_id}'", ViewType.ACTIVE_ONLY)
    runs = sorted(found, key=lambda run: (-int(run.data.tags.get(WATERMARK, 0)), run.info.run_id))
    for double in runs[1:]:
        client.set_terminated(double.info.run_id, "KILLED")
        client.delete_run(double.info.run_id)
    return runs[0] if runs else None


def ensure(client: MlflowClient, uri: str, training: Training) -> Run:
    """The training's run with its tags, params and dataset; made where the server lacks it, after its parent's."""
    tags = _tags(training)
    if training.parent:
        tags[MLFLOW_PARENT_RUN_ID] = ensure(client, uri, training.parent).info.run_id
    with environment.lock():
        run = find(client, training) or client.create_run(
            experiment(client, uri, training.experiment), training.time("started"), tags, training.name
        )
    if late := [RunTag(key, value) for key, value in tags.items() if run.data.tags.get(key) != value]:
        client.log_batch(run.info.run_id, tags=late)
    missing = {key: value for key, value in training.params.items() if key not in run.data.params}
    params = [Param(key, _text(value)[:MAX_PARAM_VAL_LENGTH]) for key, value in missing.items()]
    for first in range(0, len(params), MAX_PARAMS_TAGS_PER_BATCH):
        some = params[first : first + MAX_PARAMS_TAGS_PER_BATCH]
        refusals.send(lambda batch: client.log_batch(run.info.run_id, params=batch), some, f"{training.name} param")
    if not (run.inputs and run.inputs.dataset_inputs):
        refusals.attempt(lambda: client.log_inputs(run.info.run_id, [_dataset(training)]), f"{training.name} dataset")
    return run


def reopen(client: MlflowClient, uri: str, training: Training) -> str:
    """`ensure`, and the status of a running training."""
    run = ensure(client, uri, training)
    if run.info.status != "RUNNING":
        client.update_run(run.info.run_id, "RUNNING")
    return str(run.info.run_id)


def send(
    client: MlflowClient,
    uri: str,
    training: Training,
    status: str | None,
    scores: dict[str, float],
    compared: dict[str, float],
) -> Sent:
    """See `Tracker.send`."""
    run = ensure(client, uri, training)
    run_id, before = run.info.run_id, _watermark(run, training)
    status = status or STATUS.get(training.facts.get("status", ""), run.info.status)
    new = [
        send_points(client, run_id, training, before) > before,
        _send_results(client, run, training, scores, compared) > 0,
        run.info.status != status,
    ]
    if run.info.status != status:
        end(client, run_id, status, training.time("finished"))
    new.append(send_folder(client, run, training.folder / "pictures", "pictures") > 0)
    return Sent(run_id=run_id, new=any(new))


def end(client: MlflowClient, run_id: str, status: str, time: int | None = None) -> None:
    """
    Args:
        time: milliseconds since 1970; None: now.
    """
    client.set_terminated(run_id, status, time)


def settle(client: MlflowClient, uri: str, left: OpenRun) -> None:
    """End a run that no process trains any more, with all that its folder holds; `left` says how it ended, or a crash
    ended it."""
    status, time = left.facts.get("status") or "KILLED", None
    with contextlib.suppress(DataError):  # a folder that is gone or damaged: the end is told all the same
        training = spool.read(left.folder)
        if training.id == left.facts["training_id"]:
            send_points(client, ensure(client, uri, training).info.run_id, training, None)
            status, time = STATUS["finished"] if training.finished else status, spool.last_time(training)
    if run := find_by_id(client, left.facts["experiment"], left.facts["training_id"]):
        end(client, run.info.run_id, status, time)


def send_points(client: MlflowClient, run_id: str, training: Training, start: int | None) -> int:
    """See `Tracker.send_points`. The SQL store drops a value that it has already, so overlap does no harm."""
    if start is None:
        start = _watermark(client.get_run(run_id), training)
    if training.num_bytes <= start:
        return start
    sent = start
    for values, sent in spool.batches(training.points, start):
        mark = [RunTag(WATERMARK, str(sent))]
        if not refusals.attempt(partial(_log, client, run_id, values, mark)):
            refusals.by_name(partial(_log, client, run_id), values, f"{training.name} metric")
            _log(client, run_id, [], mark)
    return sent


def send_folder(client: MlflowClient, run: Run, folder: Path, name: str) -> int:
    """A folder's files as artifacts, unless the server has this very content. Returns how many files were sent."""
    sources = sorted(p for p in folder.rglob("*") if p.is_file()) if folder.exists() else []
    digest = files.sha256_folder(folder) if sources else ""
    if run.data.tags.get(f"{name}_digest", "") == digest:
        return 0
    if not refusals.attempt(lambda: client.log_artifacts(run.info.run_id, str(folder), name), f"{name} of {folder}"):
        return 0
    client.set_tag(run.info.run_id, f"{name}_digest", digest)
    return len(sources)


def _tags(training: Training) -> dict[str, str]:
    """What is known of the training so far; the number of workers, for one, comes with its end."""
    told = {key: training.facts.get(key) for key in IDENTITY + ORIGIN + HARDWARE}
    tags = {key: _text(value) for key, value in told.items() if value is not None}
    tags["role"] = training.role
    tags["dvc_hash"] = spool.digest(training)
    tags["mlflow.source.name"] = "pipelines.train"
    if "revision" in tags:
        tags["mlflow.source.git.commit"] = tags["revision"]
    return tags


def experiment(client: MlflowClient, uri: str, name: str) -> str:
    """Id of the experiment, made where there is none; one that somebody deleted comes back: its name stays taken."""
    found = client.get_experiment_by_name(name)
    if found is None:
        place = None if environment.is_server(uri) else (environment.artifacts(uri) / name).as_uri()
        tags = {"mlflow.experimentKind": "custom_model_development"}  # the UI opens it in its model-training mode
        return str(client.create_experiment(name, place, tags))
    if found.lifecycle_stage == "deleted":
        client.restore_experiment(found.experiment_id)
    return str(found.experiment_id)


def _dataset(training: Training) -> DatasetInput:
    folder = paths.arrow(training.facts["suite"], training.facts["block"]).relative_to(paths.root()).as_posix()
    source = json.dumps({"uri": folder})
    dataset = Dataset(training.facts["dataset"], spool.digest(training), "local", source)
    return DatasetInput(dataset, [InputTag("mlflow.data.context", "training")])


def _send_results(
    client: MlflowClient, run: Run, training: Training, scores: dict[str, float], compared: dict[str, float]
) -> int:
    """What is known at the end only: facts of the whole training, best validation, the evaluation's scores.

    `score/...` is the metric that decides, under names that are the same for all tasks.
    """
    best, decides = training.facts.get("best", {}), training.params.get("metric")
    results = {f"training/{key}": training.facts[key] for key in RESULTS if training.facts.get(key) is not None}
    results |= {f"training/{key}": value for key, value in spool.cost_of(training).items()}
    results |= {f"best/{key}": value for key, value in best.items()}
    results |= {f"test/{key}": value for key, value in scores.items()}
    results |= {f"score/{key}": value for key, value in compared.items()}
    results |= {"score/validation": best[decides]} if decides in best else {}
    # A curve of a result would be a single point, so a changed one goes in at the next step: mlflow shows the last.
    changed = {key: float(value) for key, value in results.items() if run.data.metrics.get(key) != value}
    time = training.time("finished") or training.time("started") or 0
    values = [Value(key, value, time, _next_step(client, run, key)) for key, value in changed.items()]
    request, whose = partial(_log, client, run.info.run_id), f"{training.name} metric"
    batches = [values[first : first + spool.BATCH] for first in range(0, len(values), spool.BATCH)]
    return sum(refusals.send(request, batch, whose) for batch in batches)


def _next_step(client: MlflowClient, run: Run, key: str) -> int:
    if key not in run.data.metrics:
        return 0
    return 1 + max(metric.step for metric in client.get_metric_history(run.info.run_id, key))


def _log(client: MlflowClient, run_id: str, values: Sequence[Value], tags: Sequence[RunTag] = ()) -> None:
    client.log_batch(run_id, metrics=[Metric(*value) for value in values], tags=tags)


def _watermark(run: Run, training: Training) -> int:
    sent = int(run.data.tags.get(WATERMARK, 0))
    return sent if sent <= training.num_bytes else 0


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
