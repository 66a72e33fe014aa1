"""Stage `train`: the block's recurrent network and its baselines, in one session of workers.

    python -m pipelines.train <block> [--suite sample|public]

Each training has a folder of its own, named by a hash of its configuration and data, that outlives DVC's outputs:
interrupted anywhere, the same command goes on from the last training state; a training that is finished already
(the baseline, when only the network's learning rate changed) is taken as it is. This process owns the runs in the
tracking server; the workers only write files.
"""

import contextlib
import dataclasses
import hashlib
import json
import shutil
import subprocess
import time
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pipelines import (
    cli,
    cluster,
    files,
    kept,
    locks,
    networks,
    params,
    paths,
    pictures,
    points,
    shards,
    tasks,
    versions,
    watch,
    worker,
)
from pipelines.job import Job
from pipelines.storage import Storage
from rnn_core.errors import ConfigError, DataError, UserError


def train(suite: str, name: str) -> None:
    """Train what is not finished, and lay out the results for DVC.

    Raises:
        UserError: settings or data are wrong, a loss is not finite, the disk is full, workers keep dying.
    """
    block = params.block(suite, name)
    resources = cluster.Resources.from_environment()
    jobs = plan(block, paths.arrow(suite, name), paths.checkpoints(suite, name), resources)
    for job in jobs:
        prepare(job, block)
    unfinished = [job for job in jobs if not (job.folder / "finished.json").exists()]
    if unfinished:
        resources = within_lanes(resources, min(unfinished, key=lambda job: job.train.lanes))
    for job in jobs:
        if job not in unfinished:
            print(f"{name}/{job.name}: trained already ({job.folder.name})")
    if unfinished:
        print(f"{name}: {len(unfinished)} to train on {describe(resources)}", flush=True)
        if unfinished[0].shards is not None:
            print(f"{name}: data to the DVC remote, for machines that do not have them", flush=True)
            shards.push(suite, name)
        with locks.alone(paths.checkpoints(suite, name) / "train.lock", seconds=0):
            overhead = work(unfinished, block, resources)
        print(f"{name}: {overhead:.1f} s beside training (workers started and ended, data opened)", flush=True)
    for job in jobs:
        finish(job)
    lay_out(jobs, block)


def work(jobs: list[Job], block: params.Block, resources: cluster.Resources) -> float:
    """Train these in one session of workers, watched. Returns the seconds of the session that were no training."""
    began, trained = time.monotonic(), sum(map(trained_seconds, jobs))
    session = hashlib.sha256("".join(job.key for job in jobs).encode()).hexdigest()[:16]
    storage = paths.checkpoints(block.suite, block.name) / "ray"
    followers = [kept.Follower(Storage(job.storage), job.kept_as, job.folder) for job in jobs if job.storage]
    with (
        watch.Watch(jobs, block.experiment),
        _told_errors(jobs),
        kept.Following(followers),
        cluster.joined(resources),
    ):
        cluster.run(worker.train_all, jobs, name=f"{block.name}-{session}", storage=storage, resources=resources)
    shutil.rmtree(storage, ignore_errors=True)
    return time.monotonic() - began - (sum(map(trained_seconds, jobs)) - trained)


def within_lanes(resources: cluster.Resources, job: Job) -> cluster.Resources:
    """Not more workers than this training has lanes.

    Raises:
        ConfigError: not even as few as there may be.
    """
    lanes = job.train.lanes
    if resources.least > lanes:
        found = f"{resources.least} workers for the {lanes} lanes of {job.name}"
        raise ConfigError("RNN_WORKERS", found, f"at most {lanes}, or more train.lanes")
    return dataclasses.replace(resources, workers=min(resources.workers, lanes))


def trained_seconds(job: Job) -> float:
    """Of training, so far: of a finished one in all, of an interrupted one up to its last point."""
    finished = job.folder / "finished.json"
    if finished.exists():
        return float(files.read_json(finished)["seconds"])
    return max((float(point["seconds"]) for point in points.read(job.folder)), default=0.0)


def plan(block: params.Block, arrow: Path, checkpoints: Path, resources: cluster.Resources) -> list[Job]:
    """The block's trainings as jobs, the recurrent one first; a baseline of another cell is made as large as it.

    Raises:
        ConfigError: a setting of the model is wrong, or the metric is none of the task's.
    """
    task = tasks.load(block.task)
    if block.evaluate.metric not in task.METRICS:
        found = f"found {block.evaluate.metric!r}"
        raise ConfigError(f"blocks.{block.name}.evaluate.metric", found, f"allowed are {', '.join(task.METRICS)}")
    digest = files.read_json(arrow / "summary.json")["digest"]
    sidecar = files.read_json(arrow / "sidecar.json")
    recurrent = block.trainings[0].model
    jobs = []
    for training in block.trainings:
        model = training.model
        if model.get("cell") != recurrent.get("cell"):
            model = networks.widened(task, model, recurrent, sidecar)
        settings = {"task": block.task, "model": model, "train": dataclasses.asdict(training.train)}
        settings |= {"metric": block.evaluate.metric, "data": digest}
        key = hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:20]
        jobs.append(
            Job(
                name=training.name,
                folder=checkpoints / f"{training.name}-{key}",
                arrow=arrow,
                task=block.task,
                model=model,
                train=training.train,
                metric=block.evaluate.metric,
                key=key,
                threads=resources.threads,
                checkpoint_seconds=resources.checkpoint_seconds,
                compressed=resources.compressed,
                versions=versions.here(block.task),
                shards=shards.known(block.suite, arrow) if resources.storage else None,
                storage=resources.storage,
            )
        )
    return jobs


def prepare(job: Job, block: params.Block) -> None:
    """The training's folder with `run.json` and `params.json`; one that other code finished is made anew."""
    finished = job.folder / "finished.json"
    if finished.exists() and files.read_json(finished)["code"] != job.versions["code"]:
        shutil.rmtree(job.folder)
    for left in job.folder.glob("error-*.json"):
        left.unlink()
    storage = None if job.storage is None else Storage(job.storage)
    if storage is not None:
        kept.begun(storage, job.kept_as, job.folder)
    if not (job.folder / "run.json").exists():
        _begin(job, block)
    if storage is not None:
        kept.begins(storage, job.kept_as, job.folder)
        kept.Follower(storage, job.kept_as, job.folder).look()


def _begin(job: Job, block: params.Block) -> None:
    source = files.read_json(paths.raw(block.suite, block.name) / "source.json")
    data_digest = files.read_json(job.arrow / "summary.json")["digest"]
    about = begun(block, name=job.name, key=job.key, data_digest=data_digest) | {
        "cell": job.model["cell"],
        "source_digest": hashlib.sha256(json.dumps(source, sort_keys=True).encode()).hexdigest(),
    }
    flat = params.Training(name=job.name, model=job.model, train=job.train).flat()
    files.write_json(job.folder / "params.json", flat | {"task": block.task, "metric": job.metric})
    files.write_json(job.folder / "run.json", about)


def begun(block: params.Block, *, name: str, key: str, data_digest: str) -> dict[str, Any]:
    """What `run.json` says of anything of a block that begins now: a training, or a sweep."""
    return {
        "training_id": uuid.uuid4().hex,
        "key": key,
        "suite": block.suite,
        "block": block.name,
        "task": block.task,
        "kind": tasks.load(block.task).KIND,
        "dataset": block.dataset,
        "training": name,
        "revision": revision(),
        "data_digest": data_digest,
        "cluster_job": cluster.job_id(),
        "started": now(),
        "status": "running",
    }


def finish(job: Job) -> None:
    """Facts of the finished training into `run.json`, the model's files together, the curves as a picture; once."""
    run = files.read_json(job.folder / "run.json")
    if run["status"] == "finished":
        return
    finished = files.read_json(job.folder / "finished.json")
    with files.whole_folder(job.folder / "model") as aside:
        shutil.copy(job.folder / "best/model.safetensors", aside)
        shutil.copy(job.arrow / "sidecar.json", aside)
        about = {"task": job.task, "kind": run["kind"], "model": job.model, "dtype": job.train.stored}
        files.write_json(aside / "model.json", about | {"window": job.train.window, "carry": job.train.carry})
    with files.whole_folder(job.folder / "pictures") as aside:
        title = f"{run['block']}, {job.name} ({run['cell']})"
        pictures.learning_curves(job.folder, aside / "learning_curves.png", title, run["cell"])
    files.write_json(job.folder / "run.json", run | finished | {"status": "finished", "finished": now()})


def lay_out(jobs: list[Job], block: params.Block) -> None:
    """What DVC keeps: each training's facts, points, pictures and model, all curves as one table, and which of the
    recurrent network's seeds is the model (`chosen.json`): the best one on validation data."""
    with files.whole_folder(paths.train(block.suite, block.name)) as aside:
        for job in jobs:
            (aside / job.name).mkdir()
            for part in ("run.json", "params.json", "points.jsonl"):
                shutil.copy(job.folder / part, aside / job.name)
            for part in ("model", "pictures"):
                shutil.copytree(job.folder / part, aside / job.name / part)
        files.write_json(aside / "chosen.json", {"training": chosen(jobs, block)})
    pictures.curve_table({job.name: job.folder for job in jobs}, paths.curves(block.suite, block.name))
    for job in jobs:
        run = files.read_json(job.folder / "run.json")
        best = ", ".join(f"{name} {value:.4g}" for name, value in run["best"].items())
        print(f"{block.name}/{job.name}: {run['steps']} updates, {run['seconds']:.0f} s, best on validation: {best}")


def chosen(jobs: list[Job], block: params.Block) -> str:
    """The seed with the best score on validation data; of equals, the first."""
    metric = block.evaluate.metric
    scores = {job.name: files.read_json(job.folder / "run.json")["best"][metric] for job in jobs}
    scores = {name: score for name, score in scores.items() if params.is_recurrent(name)}
    best = max if tasks.load(block.task).METRICS[metric] == "max" else min
    return best(scores, key=scores.__getitem__)


def revision() -> str | None:
    """The git revision, with `+changes` where code or params differ from it; None outside a repository."""
    head = _git("rev-parse", "HEAD")
    if head is None:
        return None
    sources = ("rnn_core", "pipelines", "params.yaml", ":(exclude)pipelines/suites/*/dvc.lock")
    return head + ("+changes" if _git("status", "--porcelain", "--", *sources) else "")


def describe(resources: cluster.Resources) -> str:
    count = f"{resources.least} to " * resources.elastic + f"{resources.workers} worker{'s' * (resources.workers > 1)}"
    return f"{count}, {resources.threads} threads each" + (", a GPU each" if resources.gpus else "")


@contextlib.contextmanager
def _told_errors(jobs: list[Job]) -> Iterator[None]:
    """A user's mistake that a worker met, raised here in its own words."""
    try:
        yield
    except DataError:
        _raise_told(jobs)
        raise
    _raise_told(jobs)


def _raise_told(jobs: list[Job]) -> None:
    for job in jobs:
        told = [files.read_json(path) for path in sorted(job.folder.glob("error-*.json"))]
        told.sort(key=lambda error: "another worker" in error["where"])
        for error in told[:1]:
            where = f"{job.folder.parent.name}/{job.name}: {error['where']}"
            kinds: dict[str, type[UserError]] = {"ConfigError": ConfigError}
            raise kinds.get(error["type"], DataError)(where, error["found"], error["allowed"])


def _git(*arguments: str) -> str | None:
    done = subprocess.run(["git", *arguments], cwd=paths.root(), capture_output=True, text=True)
    return done.stdout.strip() if done.returncode == 0 else None


def now() -> str:
    """As the facts of a run have it."""
    return datetime.now(UTC).isoformat(timespec="seconds")


if __name__ == "__main__":
    cli.stage_main("Train a block's network and its baselines.", train)
