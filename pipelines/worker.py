"""What one worker does: the trainings that it is given, one after another, beside the other workers.

Knows neither who started the workers nor what they train: that is `pipelines/training.py`.
"""

import contextlib
from dataclasses import replace

import torch

from pipelines import clocks, group, locks, places, shards, versions
from pipelines.job import Job, Notice
from pipelines.points import Recorder
from pipelines.training import Training, Written
from rnn_core import memory
from rnn_core.errors import UserError
from rnn_core.saver import Saver

LOCK_SECONDS = 60
"""How long a worker waits for one that is still dying to let go of the folder."""


def train_all(jobs: list[Job], device: str, notice: Notice = lambda: None) -> None:
    """Train each job that is not finished yet; a user's mistake is left for whoever started them to raise."""
    for job in jobs:
        place = places.of(job.folder, job.storage, job.kept_as)
        if place.finished():
            continue
        if place.broken():
            return
        try:
            versions.check(job.task, job.versions)
            clocks.check()
            train(job, device, notice)
        except UserError as error:
            told = {"type": type(error).__name__, "where": error.where, "found": error.found, "allowed": error.allowed}
            place.tell_error(group.rank(), told)
            raise


def train(job: Job, device: str, notice: Notice = lambda: None) -> None:
    """From the newest training state, or from nothing, to `finished.json`.

    Raises:
        UserError: bad data or settings, a loss that is not finite, a full disk.
    """
    memory.keep()
    torch.set_num_threads(job.threads)
    place, writes = places.of(job.folder, job.storage, job.kept_as), group.rank() == 0
    place.folder.mkdir(parents=True, exist_ok=True)
    place.take(writes=writes)
    with shards.held(job.arrow, job.shards, splits=("train", "validation")) as arrow:
        _train(replace(job, folder=place.folder, arrow=arrow), place, torch.device(device), notice, writes)


def _train(job: Job, place: places.Place, device: torch.device, notice: Notice, writes: bool) -> None:
    if not writes:
        Training(job, device, notice, None).run()
        return
    with (
        locks.alone(job.folder / "writer.lock", LOCK_SECONDS),
        place.sending() as sending,
        contextlib.closing(Recorder(job.folder)) as recorder,
        Saver(job.folder / "state", key=job.key, then=sending.state) as saver,
    ):
        Training(job, device, notice, Written(recorder, saver)).run()
        sending.finish()
