"""A training on one worker: drives `fit`, and between two steps records, validates and saves.

Knows neither who started the workers nor who reads the points. The first worker writes; into the training's folder:
    points.jsonl   the curves            state/step-*   training states
    best/          weights with the best validation score
    finished.json  written last: the training is whole
"""

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from pipelines import files, group, machine, networks, paths, tasks
from pipelines.job import Job, Notice
from pipelines.params import Train
from pipelines.points import Recorder
from rnn_core import averaging, bptt, checkpoint, optim, products
from rnn_core.arrow import read_split
from rnn_core.errors import ConfigError, DataError
from rnn_core.graph import Captured, CudaGraphs
from rnn_core.lanes import Windows, lane_slice
from rnn_core.models import KINDS
from rnn_core.prefetch import Prefetched
from rnn_core.saver import Saver
from rnn_core.text.varied import relative_length, varied


@dataclass
class Progress:
    """Where a training stands beside its tensors; kept in `state.json`."""

    seconds: float = 0.0
    """Of training, without the time between a kill and a restart."""
    last_point: float = 0.0
    """`seconds` at the last point; since then:"""
    loss_sum: float = 0.0
    count: int = 0
    steps: int = 0
    best: float | None = None
    best_metrics: dict[str, float] | None = None
    best_update: int = 0
    waited: int = 0
    """Validations since the best one."""
    scores: list[float] = field(default_factory=list)
    """Of all validations."""
    averaged_from: int | None = None
    """Updates done when averaging began."""


@dataclass
class Spent:
    """Seconds of this worker since the last point."""

    step: float = 0.0
    communication: float = 0.0
    """Of `step`: sums over the workers, and waiting for them."""
    saving: float = 0.0


class Written(NamedTuple):
    """Where the worker that writes puts its points and its training states."""

    points: Recorder
    states: Saver


class Training:
    """One training on this worker; only the first worker writes."""

    def __init__(self, job: Job, device: torch.device, notice: Notice, written: Written | None):
        self.job, self.device, self.notice, self.written = job, device, notice, written
        self.task, settings = tasks.load(job.task), job.train
        self.sidecar = files.read_json(job.arrow / "sidecar.json")
        self.lanes = lane_slice(settings.lanes, group.rank(), group.size())
        self.windows = split_windows(job.arrow, "train", self.task.KIND, settings, self.lanes, seed=settings.seed)
        self.validation = split_windows(job.arrow, "validation", self.task.KIND, settings, self.lanes)
        self.ready = Prefetched(self.windows, device, kept=math.ceil((settings.k2 - settings.window) / settings.window))
        self.spent = Spent()
        torch.manual_seed(settings.seed)
        self.network = networks.build(self.task, job.model, self.sidecar).to(device, getattr(torch, settings.stored))
        self.bfloat16 = settings.dtype == "bfloat16" and products.bfloat16_pays(device)
        if written and settings.dtype == "bfloat16" and not self.bfloat16:
            print(f"{job.name}: this {device.type} has no bfloat16 of its own, float32 is used", flush=True)
        self.graph = settings.graph and device.type == "cuda"
        if self.graph and not getattr(self.network.head, "waits_for_nothing", False):
            found = f"found true with a {type(self.network.head).__name__}, whose loss waits for what the GPU finds"
            raise ConfigError("train.graph", found, "false, or a head with a softmax over all classes")
        # Updates; an epoch may end inside one, and the training ends with the one in which its last epoch does.
        self.per_epoch = Fraction(self.windows.per_epoch, settings.accumulate)
        self.total = math.ceil(settings.epochs * self.per_epoch)
        self.state = bptt.TrainState(
            network=self.network,
            optimizer=optim.optimizer(settings.optimizer, self.network.parameters()),
            carry=self.network.initial_carry(self.windows.width),
        )
        self.direction = self.task.METRICS[job.metric]
        self.progress = Progress()
        self._resume()
        self.began = time.monotonic() - self.progress.seconds
        self.saved, self.answered, self.asked = time.monotonic(), notice(), False

    def run(self) -> None:
        with self.ready:
            self._run()
        self._finish()

    def _run(self) -> None:
        settings, progress = self.job.train, self.progress
        validate_every = max(1, self.per_epoch // settings.validations_per_epoch)
        patience = math.inf if settings.patience is None else settings.patience
        steps = self._steps()
        while self.state.update < self.total and progress.waited <= patience:
            began = time.monotonic()
            step = next(steps)
            self.spent.step += time.monotonic() - began
            progress.loss_sum += step.loss * step.count
            progress.count += step.count
            progress.steps += step.steps
            self._average()
            at_end = step.update == self.total
            if at_end or step.update % settings.point_steps == 0:
                self._point(step)
            due = at_end or step.update % validate_every == 0
            if due:
                self._validate()
            if due or self.asked or step.update % settings.checkpoint_steps == 0:
                self._save()

    def _steps(self) -> Iterator[bptt.Step]:
        settings = self.job.train
        schedule = optim.schedule(settings.schedule, updates=self.total, per_epoch=self.per_epoch)
        self.network.train()
        return bptt.fit(
            self.state,
            self.ready,
            rate=lambda update: settings.optimizer.rate * schedule(update) * self._length(update),
            clip=settings.clip,
            # Where nothing is carried a window is as long as its kind makes it.
            k2=settings.k2 if settings.carry and not settings.window_spread else None,
            accumulate=settings.accumulate,
            bfloat16=self.bfloat16,
            reduce=self._reduce,
            capture=(lambda function: Captured(function, CudaGraphs(self.device))) if self.graph else None,
        )

    def _reduce(self, tensors: list[Tensor]) -> None:
        """Sum over the workers; with it goes whether one of them wants a training state now, so that all save."""
        began, announced = time.monotonic(), self.notice()
        late = self.written is not None and began - self.saved >= self.job.checkpoint_seconds
        wish = torch.tensor([float(late or announced not in (None, self.answered))], dtype=torch.float64)
        group.reduce([*tensors, wish.to(tensors[0].device)], self.job.compressed)
        self.asked = bool(wish)
        if self.asked:
            self.answered = announced
        self.spent.communication += time.monotonic() - began

    def _length(self, update: int) -> float:
        """Of an update's windows as a share of the usual one."""
        windows = range(update * self.job.train.accumulate, (update + 1) * self.job.train.accumulate)
        return sum(relative_length(self.windows.filling, number) for number in windows) / len(windows)

    def _average(self) -> None:
        """The present weights into their mean, once that has begun."""
        settings, progress, update = self.job.train.averaging, self.progress, self.state.update
        if settings is None:
            return
        if progress.averaged_from is not None:
            averaging.add(self.state.average, self.network, settings, update - progress.averaged_from)
        elif averaging.due(settings, update / self.per_epoch, progress.scores, self.direction):
            progress.averaged_from = update

    def _resume(self) -> None:
        """From the newest training state, this worker's lanes of its carry; else from what the task begins with."""
        loaded = self._loaded(None)
        updates_W = group.gathered(torch.tensor([loaded.update if loaded else 0])).flatten()
        if updates_W.min() != updates_W.max():
            # Some have a newer one, of which not all of them know yet.
            loaded = self._loaded(int(updates_W.min()))
            if loaded is None or loaded.update != updates_W.min():
                found = f"workers find states of updates {', '.join(map(str, sorted(set(updates_W.tolist()))))}"
                allowed = "a folder that all machines share, or a storage between them (RNN_STORAGE)"
                raise DataError("training states", found, allowed)
        if loaded:
            self.state.carry = bptt.map_carry(lambda whole: whole[self.lanes].clone(), loaded.carry)
            self.progress = Progress(**loaded.facts["progress"])
        elif hasattr(self.task, "begin"):
            self.task.begin(self.network, self.job.model, self.sidecar, paths.root())

    def _loaded(self, newest: int | None) -> checkpoint.Loaded | None:
        everything = self.network.initial_carry(self.job.train.lanes)
        return checkpoint.load(self.job.folder / "state", self.state, everything, key=self.job.key, newest=newest)

    def _point(self, step: bptt.Step) -> None:
        progress, seconds = self.progress, self._seconds()
        values = {
            "train/loss": progress.loss_sum / max(1, progress.count),
            "train/gradient_norm": step.gradient_norm,
            "train/rate": step.rate,
            "train/epoch": float(step.update / self.per_epoch),
            "train/tokens_per_second": progress.steps / max(1e-9, seconds - progress.last_point),
            "train/input_share": self.ready.waited / self.spent.step,
            "train/checkpoint_share": self.spent.saving / max(1e-9, seconds - progress.last_point),
            **self._side_by_side(),
        }
        if self.written:
            self.written.points.add(step.update, seconds, values)
        progress.loss_sum, progress.count, progress.steps, progress.last_point = 0.0, 0, 0, seconds
        self.ready.waited, self.spent = 0.0, Spent()

    def _side_by_side(self) -> dict[str, float]:
        """Several workers beside each other since the last point; the slowest is the one that the others wait for."""
        if group.size() == 1:
            return {}
        steps_W, talks_W = group.gathered(torch.tensor([self.spent.step, self.spent.communication])).double().unbind(1)
        busy_W = steps_W - talks_W
        return {
            "train/communication_share": float((talks_W / steps_W).mean()),
            "train/slowest_worker": float(busy_W.argmax()),
            "train/slowest_lag": float(busy_W.max() / busy_W.median().clamp(min=1e-9) - 1),
        }

    def _validate(self) -> None:
        """Score on the validation split, by the weights' mean where there is one; the best are kept in `best/`."""
        with averaging.averaged(self.network, self.state.average):
            self._keep_if_best()

    def _keep_if_best(self) -> None:
        job, progress = self.job, self.progress
        sums = self.task.measure(self.network, self.validation, self.sidecar)
        group.reduce(list(sums.values()))
        metrics = self.task.metrics(sums, self.sidecar)
        score = metrics[job.metric]
        if self.written:
            self.written.points.add(
                self.state.update, self._seconds(), {f"validation/{k}": v for k, v in metrics.items()}
            )
        progress.scores.append(score)
        better = progress.best is None or _better(score, progress.best, self.direction)
        if job.train.keep == "best" and not better:
            progress.waited += 1
            return
        progress.best, progress.best_metrics = score, metrics
        progress.best_update, progress.waited = self.state.update, 0
        if self.written:
            self.written.states.wait()  # one that is on its way takes the weights before with it
            with files.whole_folder(job.folder / "best") as aside:
                checkpoint.save_network(self.network, aside / "model.safetensors")

    def _save(self) -> None:
        began = time.monotonic()
        carry = bptt.map_carry(lambda mine: group.gather_lanes(mine, self.job.train.lanes), self.state.carry)
        self.progress.seconds = self._seconds()
        facts = {
            "progress": vars(self.progress),
            "epoch": float(self.state.update / self.per_epoch),
            "seed": self.job.train.seed,
            "workers": group.size(),
            "threads": self.job.threads,
        }
        if self.written:
            self.written.states.save(self.state, carry, facts)
        self.saved = time.monotonic()
        self.spent.saving += self.saved - began

    def _finish(self) -> None:
        finished = {
            "seconds": self._seconds(),
            "steps": self.state.update,
            "epochs": float(self.state.update / self.per_epoch),
            "stopped_early": self.state.update < self.total,
            "best": self.progress.best_metrics,
            "best_update": self.progress.best_update,
            "workers": group.size(),
            "threads": self.job.threads,
            "device": str(self.device),
            "compressed": self.job.compressed and group.size() > 1,
            "products": "bfloat16" if self.bfloat16 else self.job.train.stored,
            **machine.hardware(self.device),
            "parameters": bptt.parameter_count(self.network),
            **KINDS[self.task.KIND].pad_shares(self.windows),
            "code": self.job.versions["code"],
        }
        if self.written:
            self.written.states.wait()
            files.write_json(self.job.folder / "finished.json", finished)

    def _seconds(self) -> float:
        return time.monotonic() - self.began


def _better(score: float, best: float, direction: str) -> bool:
    return score > best if direction == "max" else score < best


def split_windows(
    arrow: Path, split: str, kind: str, settings: Train, lanes: slice, seed: int | None = None
) -> Windows:
    """The windows of a split; with a seed in the order and with the draws of training."""
    columns = read_split(arrow, split, kind)
    filling = KINDS[kind].filling(
        columns, lanes=settings.lanes, window=settings.window, seed=seed, carries=settings.carry
    )
    if seed is not None:
        filling = varied(filling, settings.window_spread, seed)
    return Windows(filling=filling, assemble=KINDS[kind].assemble(columns), lanes=lanes, seed=seed)
