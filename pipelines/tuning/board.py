"""What happens to a sweep's trials while it runs, written down and shown: how many, the best so far, the time left."""

import contextlib
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from pipelines import files, train, watch
from pipelines.job import Job
from pipelines.points import Recorder
from pipelines.tuning.plan import Plan
from pipelines.tuning.trials import Record, State, Trial
from rnn_core.errors import ConfigError, DataError

REFUSED = ("ConfigError", "NonFiniteLoss")
"""Errors that follow from a trial's settings: another try would end the same way."""


class Board:
    """Writes down what happens to trials, and shows it."""

    def __init__(self, plan: Plan, record: Record, count: int, at_once: int):
        self._plan, self._record, self._count, self._at_once = plan, record, count, at_once
        self._watches: dict[int, watch.Watch] = {}
        self._began: dict[int, float] = {}
        self._jobs: dict[int, Job] = {}

    def __enter__(self) -> "Board":
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: Any) -> None:
        for watched in self._watches.values():
            watched.__exit__(kind or KeyboardInterrupt, None, None)

    def begin(self, settings: dict[str, Any], suggested: dict[str, Any]) -> tuple[Trial, Job | None]:
        record, plan = self._record, self._plan
        again = [trial for trial in record if not trial.settled and trial.settings == settings]
        again = [trial for trial in again if trial.number not in self._began]
        number = again[0].number if again else len(record) + 1
        trial = Trial(number=number, settings=settings, suggested=suggested, folder="")
        self._began[number] = time.monotonic()
        print(f"{plan.name}: trial {number} of {self._count}: {trial.shown}; {self._so_far()}", flush=True)
        try:
            job, block = plan.job(settings, f"trial_{number:03d}")
        except ConfigError as error:
            return record.keep(replace(trial, state="refused", why=f"{error.where}: {error.found}")), None
        train.prepare(job, block)
        _adopt(job.folder, plan)
        self._jobs[number] = job
        self._watches[number] = watch.Watch([job], plan.name)
        self._watches[number].__enter__()
        return record.keep(replace(trial, folder=str(job.folder.relative_to(plan.folder)))), job

    def score(self, trial: Trial, score: float, validations: int) -> None:
        self._record.change(trial.number, score=score, validations=validations)

    def end(self, trial: Trial, broken: bool) -> None:
        number, took = trial.number, time.monotonic() - self._began.pop(trial.number)
        if trial.state == "refused":
            ended = trial
        else:
            job = self._jobs.pop(number)
            state, why = ("failed", "its process broke down") if broken else _outcome(job.folder)
            seconds = train.trained_seconds(job)
            ended = self._record.change(number, state=state, why=why, took=took, seconds=seconds)
            well = ended.state in ("finished", "stopped")
            self._watches.pop(number).__exit__(None if well else DataError, None, None)
        self._record_best()
        score = "" if ended.score is None else f", {self._plan.metric} {ended.score:.6g}"
        why = f": {ended.why}" if ended.why else ""
        print(f"{self._plan.name}: trial {number} {ended.state}{why}{score}; {self._so_far()}", flush=True)

    def _record_best(self) -> None:
        """The best score by the number of trials, as the curve of the sweep's own run."""
        ranked, settled = self._record.ranked, self._record.settled
        if ranked:
            with contextlib.closing(Recorder(self._plan.folder)) as recorder:
                seconds = sum(trial.took for trial in settled)
                recorder.add(len(settled), seconds, {f"validation/{self._plan.metric}": float(ranked[0].score or 0.0)})

    def _so_far(self) -> str:
        ranked, settled = self._record.ranked, self._record.settled
        if not ranked:
            return "no score yet"
        best = ranked[0]
        took = [trial.took for trial in settled if trial.took]
        left = (self._count - len(settled)) * sum(took) / max(1, len(took)) / self._at_once
        best_is = f"best so far {self._plan.metric} {best.score:.6g} by trial {best.number} ({best.shown})"
        return f"{best_is}, about {int(left) // 60}:{int(left) % 60:02d} left"


def _outcome(folder: Path) -> tuple[State, str]:
    """How a trial ended, and why if it is not well."""
    for path in sorted(folder.glob("error-*.json")):
        error = files.read_json(path)
        return "refused" if error["type"] in REFUSED else "failed", f"{error['where']}: {error['found']}"
    return ("finished" if (folder / "finished.json").exists() else "stopped"), ""


def _adopt(folder: Path, plan: Plan) -> None:
    """The training as a trial of this sweep; both runs are told to the tracking server from their files."""
    run = files.read_json(folder / "run.json")
    if "parent" not in run:
        files.write_json(folder / "run.json", run | {"role": "trial", "parent": "../.."})
