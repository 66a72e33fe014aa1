"""What one worker of a training does: drives `fit`, and between two steps records, validates and saves.

Knows torch.distributed but neither who started the workers nor who reads the points. Worker 0 writes; what it writes
into a training's folder:
    points.jsonl   the curves            state/step-*   training states
    best/          weights with the best validation score
    finished.json  written last: the training is whole
"""

import fcntl
import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from pipelines import files, networks, tasks
from pipelines.params import Train
from pipelines.points import Recorder
from rnn_core import bptt, checkpoint, optim
from rnn_core.arrow import read_split
from rnn_core.errors import DataError, UserError
from rnn_core.lanes import Windows, lane_slice
from rnn_core.models import KINDS

LOCK_SECONDS = 60
"""How long a worker waits for one that is still dying to let go of the folder."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """One training, as plain values: it travels to the workers."""

    name: str
    folder: Path
    arrow: Path
    task: str
    model: dict[str, Any]
    train: Train
    metric: str
    """The one that decides which weights are best, on validation data."""
    key: str
    """Hash of configuration and data."""
    threads: int
    code: str
    """Digest of the code that decides what is computed."""


def train_all(jobs: list[Job], device: str) -> None:
    """Train each job that is not finished yet; a user's mistake is left in the folder for the driver to raise."""
    for job in jobs:
        if (job.folder / "finished.json").exists():
            continue
        if list(job.folder.glob("error-*.json")):
            return
        try:
            train(job, device)
        except UserError as error:
            told = {"type": type(error).__name__, "where": error.where, "found": error.found, "allowed": error.allowed}
            files.write_json(job.folder / f"error-{_rank():04d}.json", told)
            raise


def train(job: Job, device: str) -> None:
    """From the newest training state, or from nothing, to `finished.json`.

    Raises:
        UserError: bad data or settings, a loss that is not finite, a full disk.
    """
    torch.set_num_threads(job.threads)
    writer = _rank() == 0
    job.folder.mkdir(parents=True, exist_ok=True)
    with locked(job.folder / "writer.lock", LOCK_SECONDS) if writer else _nothing():
        _train(job, torch.device(device), Recorder(job.folder) if writer else None)


def _train(job: Job, device: torch.device, recorder: Recorder | None) -> None:
    settings, task = job.train, tasks.load(job.task)
    sidecar = files.read_json(job.arrow / "sidecar.json")
    lanes = lane_slice(settings.lanes, _rank(), _workers())
    windows = split_windows(job.arrow, "train", task.KIND, settings, lanes, seed=settings.seed)
    validation = split_windows(job.arrow, "validation", task.KIND, settings, lanes)
    torch.manual_seed(settings.seed)
    network = networks.build(task, job.model, sidecar).to(device, getattr(torch, settings.dtype))
    total = settings.epochs * windows.per_epoch
    schedule = optim.schedule(settings.schedule, updates=total, per_epoch=windows.per_epoch)
    state = bptt.TrainState(
        network=network,
        optimizer=optim.optimizer(settings.optimizer, network.parameters()),
        carry=network.initial_carry(windows.width),
    )
    progress = Progress()
    loaded = checkpoint.load(job.folder / "state", state, network.initial_carry(settings.lanes), key=job.key)
    if loaded:
        state.carry = bptt.map_carry(lambda whole: whole[lanes].clone(), loaded.carry)
        progress = Progress(**loaded.facts["progress"])
    validate_every = max(1, windows.per_epoch // settings.validations_per_epoch)
    clock = time.monotonic() - progress.seconds
    better = min if task.METRICS[job.metric] == "min" else max

    def save() -> None:
        carry = bptt.map_carry(lambda mine: _gather_lanes(mine, settings.lanes), state.carry)
        progress.seconds = time.monotonic() - clock
        facts = {
            "progress": vars(progress),
            "seed": settings.seed,
            "workers": _workers(),
            "threads": job.threads,
            "epoch": state.update / windows.per_epoch,
        }
        if recorder:
            checkpoint.save(job.folder / "state", state, carry, key=job.key, facts=facts)

    def validate() -> None:
        network.eval()
        sums = task.measure(network, validation, sidecar)
        network.train()
        _reduce(list(sums.values()))
        metrics = task.metrics(sums, sidecar)
        score = metrics[job.metric]
        if recorder:
            recorder.add(state.update, time.monotonic() - clock, {f"validation/{k}": v for k, v in metrics.items()})
        if progress.best is None or (score != progress.best and better(score, progress.best) == score):
            progress.best, progress.best_metrics, progress.best_update, progress.waited = score, metrics, state.update, 0
            if recorder:
                with files.whole_folder(job.folder / "best") as aside:
                    checkpoint.save_network(network, aside / "model.safetensors")
        else:
            progress.waited += 1

    network.train()
    steps = bptt.fit(
        state,
        lambda update: windows(update).to(device),
        rate=lambda update: settings.optimizer.rate * schedule(update),
        clip=settings.clip,
        k2=settings.k2,
        reduce=_reduce,
    )
    patience = math.inf if settings.patience is None else settings.patience
    while state.update < total and progress.waited <= patience:
        step = next(steps)
        progress.loss_sum += step.loss * step.count
        progress.count += step.count
        if step.update % settings.point_steps == 0 or step.update == total:
            seconds = time.monotonic() - clock
            values = {
                "train/loss": progress.loss_sum / max(1, progress.count),
                "train/gradient_norm": step.gradient_norm,
                "train/rate": step.rate,
                "train/epoch": step.update / windows.per_epoch,
                "train/tokens_per_second": progress.count / max(1e-9, seconds - progress.last_point),
            }
            if recorder:
                recorder.add(step.update, seconds, values)
            progress.loss_sum, progress.count, progress.last_point = 0.0, 0, seconds
        due = step.update % validate_every == 0 or step.update == total
        if due:
            validate()
        if due or step.update % settings.checkpoint_steps == 0:
            save()
    if recorder:
        recorder.close()
        files.write_json(
            job.folder / "finished.json",
            {
                "seconds": progress.seconds,
                "steps": state.update,
                "epochs": state.update / windows.per_epoch,
                "stopped_early": state.update < total,
                "best": progress.best_metrics,
                "best_update": progress.best_update,
                "workers": _workers(),
                "threads": job.threads,
                "device": str(device),
                "parameters": bptt.parameter_count(network),
                "pad_share": windows.filling.pad_share,
                "code": job.code,
            },
        )


@dataclass
class Progress:
    """Where a training stands beside its tensors; kept in `state.json`."""

    seconds: float = 0.0
    last_point: float = 0.0
    loss_sum: float = 0.0
    count: int = 0
    best: float | None = None
    best_metrics: dict[str, float] | None = None
    best_update: int = 0
    waited: int = 0
    """Validations since the best one."""


def split_windows(
    arrow: Path, split: str, kind: str, settings: Train, lanes: slice, seed: int | None = None
) -> Windows:
    """The windows of a split; with a seed in the order and with the draws of training."""
    columns = read_split(arrow, split, kind)
    filling = KINDS[kind].filling(
        columns, lanes=settings.lanes, window=settings.window, seed=seed, carries=settings.carry
    )
    return Windows(filling=filling, assemble=KINDS[kind].assemble(columns), lanes=lanes, seed=seed)


def _rank() -> int:
    return dist.get_rank() if dist.is_initialized() else 0


def _workers() -> int:
    return dist.get_world_size() if dist.is_initialized() else 1


def _reduce(tensors: list[Tensor]) -> None:
    """Sum over the workers in place, in one bucket a type: its order and size depend on the parameters alone."""
    if _workers() == 1:
        return
    for dtype in {t.dtype: None for t in tensors}:
        same = [t for t in tensors if t.dtype == dtype]
        bucket = torch.cat([t.flatten() for t in same])
        dist.all_reduce(bucket)
        for tensor, part in zip(same, bucket.split([t.numel() for t in same]), strict=True):
            tensor.copy_(part.view_as(tensor))


def _gather_lanes(mine: Tensor, lanes: int) -> Tensor:
    """All lanes, in lane order, from each worker's slice of them."""
    workers = _workers()
    if workers == 1:
        return mine
    slices = [lane_slice(lanes, rank, workers) for rank in range(workers)]
    width = slices[0].stop
    padded = torch.cat([mine, mine.new_zeros(width - len(mine), *mine.shape[1:])])
    parts = [torch.empty_like(padded) for _ in slices]
    dist.all_gather(parts, padded)
    return torch.cat([part[: s.stop - s.start] for part, s in zip(parts, slices, strict=True)])


@contextmanager
def locked(path: Path, seconds: float) -> Iterator[None]:
    """No two processes at once: the lock falls with its process, however that ends.

    Raises:
        DataError: another process has held it for longer than `seconds`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as lock:
        deadline = time.monotonic() + seconds
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    found = "another process is training this"
                    raise DataError(str(path.parent), found, "wait for it to end, or end it") from None
                time.sleep(0.2)
        yield


@contextmanager
def _nothing() -> Iterator[None]:
    yield
