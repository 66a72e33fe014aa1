"""A training's run on the server: found by its tag or made, filled from the folder, closed."""

import json
from pathlib import Path
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, Run, RunTag, ViewType
from mlflow.utils.validation import MAX_PARAM_VAL_LENGTH, MAX_PARAMS_TAGS_PER_BATCH

from pipelines import cost, files, paths, points
from pipelines.tracking import environment, spool
from pipelines.tracking.spool import Sent, Training, Value

IDENTITY = ("training_id", "key", "suite", "block", "task", "kind", "dataset", "training", "cell")
ORIGIN = ("revision", "data_digest", "source_digest", "cluster_job", "workers", "threads", "device", "products")
RESULTS = ("seconds", "steps", "epochs", "parameters", "pad_share", "character_pad_share")
STATUS = {"finished": "FINISHED", "failed": "FAILED", "killed": "KILLED"}
WATERMARK = "points_bytes"
"""Tag: how many bytes of `points.jsonl` the server has. Set in the request that brings them, after them."""


def find(client: MlflowClient, training: Training) -> Run | None:
    """The training's run, unless the server lacks it or somebody has deleted it."""
    experiment = client.get_experiment_by_name(training.experiment)
    if experiment is None:
        return None
    wanted = f"tags.training_id = '{training.id}'"
    found = client.search_runs([experiment.experiment_id], wanted, ViewType.ACTIVE_ONLY, max_results=1)
    return found[0] if found else None


def ensure(client: MlflowClient, uri: str, training: Training) -> Run:
    """The training's run with its tags, params and dataset; made where the server lacks it."""
    tags = _tags(training)
    with environment.lock():
        run = find(client, training) or client.create_run(
            _experiment(client, uri, training), training.time("started"), tags, training.name
        )
    if late := [RunTag(key, value) for key, value in tags.items() if run.data.tags.get(key) != value]:
        client.log_batch(run.info.run_id, tags=late)
    missing = {key: value for key, value in training.params.items() if key not in run.data.params}
    params = [Param(key, _text(value)[:MAX_PARAM_VAL_LENGTH]) for key, value in missing.items()]
    for first in range(0, len(params), MAX_PARAMS_TAGS_PER_BATCH):
        client.log_batch(run.info.run_id, params=params[first : first + MAX_PARAMS_TAGS_PER_BATCH])
    if not (run.inputs and run.inputs.dataset_inputs):
        client.log_inputs(run.info.run_id, [_dataset(training)])
    return run


def reopen(client: MlflowClient, uri: str, training: Training) -> str:
    """`ensure`, and the status of a running training."""
    run = ensure(client, uri, training)
    if run.info.status != "RUNNING":
        client.update_run(run.info.run_id, "RUNNING")
    return str(run.info.run_id)


def send(client: MlflowClient, uri: str, training: Training, status: str | None, scores: dict[str, float]) -> Sent:
    """See `Tracker.send`."""
    run = ensure(client, uri, training)
    run_id, before = run.info.run_id, _watermark(run, training)
    status = status or STATUS.get(training.facts.get("status", ""), run.info.status)
    new = (
        send_points(client, run_id, training, before) > before,
        send_folder(client, run, training.folder / "pictures", "pictures") > 0,
        _send_results(client, run, training, scores) > 0,
        run.info.status != status,
    )
    if run.info.status != status:
        client.set_terminated(run_id, status, training.time("finished"))
    return Sent(run_id=run_id, new=any(new))


def send_points(client: MlflowClient, run_id: str, training: Training, start: int | None) -> int:
    """See `Tracker.send_points`. The SQL store drops a value that it has already, so overlap does no harm."""
    if start is None:
        start = _watermark(client.get_run(run_id), training)
    if training.num_bytes <= start:
        return start
    sent = start
    for values, sent in spool.batches(training.points, start):
        _log(client, run_id, values, [RunTag(WATERMARK, str(sent))])
    return sent


def send_folder(client: MlflowClient, run: Run, folder: Path, name: str) -> int:
    """A folder's files as artifacts, unless the server has this very content. Returns how many files were sent."""
    sources = sorted(p for p in folder.rglob("*") if p.is_file()) if folder.exists() else []
    digest = files.sha256_folder(folder) if sources else ""
    if run.data.tags.get(f"{name}_digest", "") == digest:
        return 0
    client.log_artifacts(run.info.run_id, str(folder), name)
    client.set_tag(run.info.run_id, f"{name}_digest", digest)
    return len(sources)


def _tags(training: Training) -> dict[str, str]:
    """What is known of the training so far; the number of workers, for one, comes with its end."""
    tags = {key: _text(training.facts[key]) for key in IDENTITY + ORIGIN if training.facts.get(key) is not None}
    tags["role"] = "recurrent" if training.facts["training"].startswith("recurrent") else "baseline"
    tags["dvc_hash"] = spool.digest(training)
    tags["mlflow.source.name"] = "pipelines.train"
    if "revision" in tags:
        tags["mlflow.source.git.commit"] = tags["revision"]
    return tags


def _experiment(client: MlflowClient, uri: str, training: Training) -> str:
    """Id of the experiment `<suite>/<block>`; one that somebody deleted comes back, mlflow keeps its name taken."""
    found = client.get_experiment_by_name(training.experiment)
    if found is None:
        place = None if environment.is_server(uri) else (environment.artifacts(uri) / training.experiment).as_uri()
        tags = {"mlflow.experimentKind": "custom_model_development"}  # the UI opens it in its model-training mode
        return str(client.create_experiment(training.experiment, place, tags))
    if found.lifecycle_stage == "deleted":
        client.restore_experiment(found.experiment_id)
    return str(found.experiment_id)


def _dataset(training: Training) -> DatasetInput:
    folder = paths.arrow(training.facts["suite"], training.facts["block"]).relative_to(paths.root()).as_posix()
    source = json.dumps({"uri": folder})
    dataset = Dataset(training.facts["dataset"], spool.digest(training), "local", source)
    return DatasetInput(dataset, [InputTag("mlflow.data.context", "training")])


def _send_results(client: MlflowClient, run: Run, training: Training, scores: dict[str, float]) -> int:
    """What is known at the end only: facts of the whole training, best validation, the evaluation's scores."""
    results = {f"training/{key}": training.facts[key] for key in RESULTS if training.facts.get(key) is not None}
    results |= {f"training/{key}": value for key, value in _cost(training).items()}
    results |= {f"best/{key}": value for key, value in training.facts.get("best", {}).items()}
    results |= {f"test/{key}": value for key, value in scores.items()}
    # A curve of a result would be a single point, so a changed one goes in at the next step: mlflow shows the last.
    changed = {key: float(value) for key, value in results.items() if run.data.metrics.get(key) != value}
    time = training.time("finished") or training.time("started") or 0
    values = [Value(key, value, time, _next_step(client, run, key)) for key, value in changed.items()]
    for first in range(0, len(values), spool.BATCH):
        _log(client, run.info.run_id, values[first : first + spool.BATCH], [])
    return len(values)


def _cost(training: Training) -> dict[str, float]:
    """What is known of it once the training has ended."""
    rate = cost.tokens_per_second(points.read(training.folder)) if training.finished else None
    return cost.device_seconds(training.facts) | ({} if rate is None else {"tokens_per_second": rate})


def _next_step(client: MlflowClient, run: Run, key: str) -> int:
    if key not in run.data.metrics:
        return 0
    return 1 + max(metric.step for metric in client.get_metric_history(run.info.run_id, key))


def _log(client: MlflowClient, run_id: str, values: list[Value], tags: list[RunTag]) -> None:
    client.log_batch(run_id, metrics=[Metric(*value) for value in values], tags=tags)


def _watermark(run: Run, training: Training) -> int:
    sent = int(run.data.tags.get(WATERMARK, 0))
    return sent if sent <= training.num_bytes else 0


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
