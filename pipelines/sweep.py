"""`make sweep`: tries settings of a block's network and offers the best as a block for params.yaml.

    python -m pipelines.sweep <block> [--suite sample|public] [--trials 20]

Sees training and validation data only. What is varied stands under `sweep` in the params files (`pipelines/space.py`).
A sweep has a folder of its own, named by a hash of space, network, data and code: interrupted anywhere, the same
command goes on; with more trials it adds some; once all are done it sends to the tracking server what that lacks.
"""

import argparse
import contextlib
import hashlib
import itertools
import json
import random
import shutil
import sys
import time
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import torch
import yaml

from pipelines import (
    cli,
    cluster,
    files,
    networks,
    params,
    paths,
    points,
    space,
    tasks,
    tracking,
    train,
    trials,
    watch,
    worker,
)
from pipelines.points import Recorder
from pipelines.space import Choices, Space
from pipelines.trials import Record, Trial
from rnn_core.errors import ConfigError, DataError

TRIALS = 20
REFUSED = ("ConfigError", "NonFiniteLoss")
"""Errors that follow from a trial's settings: another try would end the same way."""
SAME = {"space": "the space", "network": "the block's settings", "data": "its data", "code": "the code"}
"""What trials must share to be compared."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a sweep is of: all that its trials share."""

    block: params.Block
    written: dict[str, Any]
    """The block as it stands in its file."""
    within: Space
    about: dict[str, Any]
    """By the names in SAME."""
    direction: Literal["max", "min"]
    resources: cluster.Resources

    @property
    def name(self) -> str:
        return self.block.experiment

    @property
    def metric(self) -> str:
        return self.block.evaluate.metric

    @property
    def folder(self) -> Path:
        key = hashlib.sha256(json.dumps(self.about, sort_keys=True).encode()).hexdigest()[:12]
        return paths.sweeps(self.block.suite, self.block.name) / key

    def command(self, count: int) -> str:
        return f"make sweep SUITE={self.block.suite} TASK={self.block.name} TRIALS={count}"

    def changed(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        """The written block with these settings."""
        return trials.replaced(self.written, settings)

    def job(self, settings: Mapping[str, Any], name: str) -> tuple[worker.Job, params.Block]:
        """The training with these settings, and the block that it is the only one of.

        Raises:
            ConfigError: the block cannot have these settings together.
        """
        return _job(self.block, self.changed(settings), self.folder / "trials", name, self.resources.threads)


def sweep(suite: str, name: str, count: int) -> None:
    """Try until `count` sets of settings are settled, then show all and offer the best.

    Raises:
        UserError: the space or its values are wrong, there are no data yet, or no trial came to an end.
    """
    plan = prepare(suite, name)
    with worker.locked(plan.folder / "sweep.lock", seconds=0):
        record = Record(plan.folder, plan.direction)
        count = _bounded(plan, count)
        if len(record.settled) < count:
            with _interruptible(plan, count), tracking.Live(plan.folder):
                _search(plan, record, count)
                conclude(plan, record)
        else:
            print(f"{plan.name}: {len(record.settled)} trials are done already", flush=True)
            conclude(plan, record)
        send(plan, record, count)


def prepare(suite: str, name: str) -> Plan:
    """The plan, every value of its space checked, with its folder and its facts in it.

    Raises:
        ConfigError: a name or value that the block does not take: which, and what is allowed.
        DataError: the block's data are not there.
    """
    block = params.block(suite, name)
    if not block.sweep:
        raise ConfigError(f"blocks.{name}.sweep", "missing", "the settings to vary, such as model.cell: [lstm, gru]")
    arrow = paths.arrow(suite, name)
    if not (arrow / "summary.json").exists():
        goal = f"{paths.params_file(suite).with_name('dvc.yaml').relative_to(paths.root())}:preprocess@{name}"
        raise DataError(str(arrow), "no data yet", f"run .venv/bin/python -m dvc repro {goal}")
    where = f"{paths.params_file(suite).name}: blocks.{name}.sweep"
    recurrent = block.recurrent[0]
    within = space.resolve(block.sweep, recurrent.flat(), where)
    written = dict(params.written(suite, name))
    resources = cluster.Resources.from_environment()
    check(block, written, within, where)
    network = {"task": block.task, "metric": block.evaluate.metric, **recurrent.flat()}
    plan = Plan(
        block=block,
        written=written,
        within=within,
        about={
            "space": space.plain(within),
            "network": network,
            "data": files.read_json(arrow / "summary.json")["digest"],
            "code": train.code_digest(block.task),
        },
        direction=tasks.load(block.task).METRICS[block.evaluate.metric],
        resources=resources,
    )
    if not (plan.folder / "run.json").exists():
        _tell_others(plan)
        _found(plan)
    return plan


def check(block: params.Block, written: dict[str, Any], within: Space, where: str) -> None:
    """Build the block's network with each value of the space, the others as they are.

    Raises:
        ConfigError: the first that is refused.
    """
    task, sidecar = tasks.load(block.task), files.read_json(paths.arrow(block.suite, block.name) / "sidecar.json")
    for name, dimension in within.items():
        for value in space.candidates(dimension):
            try:
                changed = trials.replaced(written, {name: value})
                job, _ = _job(block, changed, Path(), "trial", 1)
                with torch.device("meta"):
                    networks.build(task, job.model, sidecar)
            except ConfigError as error:
                place = f"{where}.{name}, value {value!r}: {error.where}"
                raise ConfigError(place, error.found, error.allowed) from error


def conclude(plan: Plan, record: Record) -> None:
    """Facts of what ended into the runs, the table of trials, the winner.

    Raises:
        DataError: there is none.
    """
    for trial in record.settled:
        if trial.state != "refused":
            _finish(plan, trial)
    ranked = record.ranked
    print(f"\n{table(plan, record)}\n")
    if not ranked:
        whys = [trial.why for trial in record if trial.why]
        raise DataError(plan.name, f"none of {len(record)} trials came to an end: {whys[0]}", "mend the cause")
    best = ranked[0]
    text = offer(plan, best)
    files.write_text(plan.folder.parent / "winner.yaml", text)
    with files.whole_folder(plan.folder / "results") as aside:
        files.write_text(aside / "winner.yaml", text)
        files.write_text(aside / "trials.txt", table(plan, record) + "\n")
    run = files.read_json(plan.folder / "run.json")
    run |= {"status": "finished", "finished": _now(), "best": {plan.metric: best.score}, "trials": len(record.settled)}
    run |= {"seconds": sum(trial.seconds for trial in record.settled)}
    files.write_json(plan.folder / "run.json", run)
    print(
        f"{text}\nThis is also in {_shown(plan.folder.parent / 'winner.yaml')}; params.yaml is as it was.", flush=True
    )


def offer(plan: Plan, best: Trial) -> str:
    """The block with the best trial's settings, as params.yaml would have it; read back before it is shown."""
    written = plan.changed(best.settings)
    suite, name = plan.block.suite, plan.block.name
    head = f"# {plan.metric} {best.score:.6g} on validation data: trial {best.number} of the sweep {plan.folder.name}\n"
    text = yaml.safe_dump({"blocks": {name: written}}, sort_keys=False, default_flow_style=None, width=110)
    params.parse(suite, name, yaml.safe_load(text)["blocks"][name], params.base(), f"winner.yaml: blocks.{name}")
    return head + text


def table(plan: Plan, record: Record) -> str:
    """All trials, the best first."""
    names = list(plan.within)
    head = ["trial", plan.metric, "validations", "seconds", *names, "state"]
    order = [*record.ranked, *(trial for trial in record if trial not in record.ranked)]
    rows = [
        [
            str(trial.number),
            "" if trial.score is None else f"{trial.score:.6g}",
            str(trial.validations),
            f"{trial.seconds:.0f}",
            *(str(trial.settings[name]) for name in names),
            trial.state + (f": {trial.why}" if trial.why else ""),
        ]
        for trial in order
    ]
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in [head, *rows]]
    return "\n".join(line.rstrip() for line in lines)


def send(plan: Plan, record: Record, count: int) -> None:
    """All runs to the tracking server, what it lacks of them; where it is away they wait."""
    try:
        tracker = tracking.connect()
        tracker.send(plan.folder)
        tracker.send_folder(plan.folder, plan.folder / "results", "sweep")
        for folder in sorted({plan.folder / trial.folder for trial in record.settled if trial.folder}):
            tracker.send(folder)
    except tracking.TrackingError as error:
        waits = f"the runs wait in {_shown(plan.folder)}; `{plan.command(count)}` sends them"
        print(f"warning: {error.where}: {error.found}; {waits}", file=sys.stderr)


class _Board:
    """Writes down what happens to trials, and shows it."""

    def __init__(self, plan: Plan, record: Record, count: int, at_once: int):
        self._plan, self._record, self._count, self._at_once = plan, record, count, at_once
        self._watches: dict[int, watch.Watch] = {}
        self._began: dict[int, float] = {}
        self._jobs: dict[int, worker.Job] = {}

    def __enter__(self) -> "_Board":
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: Any) -> None:
        for watched in self._watches.values():
            watched.__exit__(kind or KeyboardInterrupt, None, None)

    def begin(self, settings: dict[str, Any]) -> tuple[Trial, worker.Job | None]:
        record, plan = self._record, self._plan
        again = [trial for trial in record if not trial.settled and trial.settings == settings]
        again = [trial for trial in again if trial.number not in self._began]
        number = again[0].number if again else len(record) + 1
        trial = Trial(number=number, settings=settings, folder="")
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

    def end(self, trial: Trial) -> None:
        number, took = trial.number, time.monotonic() - self._began.pop(trial.number)
        if trial.state == "refused":
            ended = trial
        else:
            folder = self._jobs.pop(number).folder
            state, why = _outcome(folder)
            seconds = max((point["seconds"] for point in points.read(folder)), default=0.0)
            ended = self._record.change(number, state=state, why=why, took=took, seconds=seconds)
            self._watches.pop(number).__exit__(None if ended.settled else DataError, None, None)
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


def _search(plan: Plan, record: Record, count: int) -> None:
    from pipelines.search import search  # Ray and Optuna: seconds that a finished sweep need not spend

    storage = plan.folder / "ray"
    settled = record.settled
    before = [(trial, _scores(plan, trial)) for trial in settled]
    with cluster.joined(plan.resources):
        at_once = cluster.at_once(plan.resources)
        said = f"{count - len(settled)} trials, {at_once} at once" + (f", {len(settled)} are done" if settled else "")
        print(f"{plan.name}: {said}; {train.describe(plan.resources)}", flush=True)
        with _Board(plan, record, count, at_once) as board:
            search(
                plan.within,
                board,
                before=before,
                first=_first(plan, record, count),
                count=count - len(settled),
                at_once=at_once,
                seed=plan.block.recurrent[0].train.seed,
                direction=plan.direction,
                resources=plan.resources,
                storage=storage,
            )
    shutil.rmtree(storage, ignore_errors=True)


def _first(plan: Plan, record: Record, count: int) -> list[dict[str, Any]]:
    """What is tried before the search suggests: trials that were interrupted; the block as it is; in a space of no
    more points than trials, all of them."""
    under_way = [trial.settings for trial in record if not trial.settled]
    flat = plan.block.recurrent[0].flat()
    own = {name: flat.get(name) for name in plan.within}
    every = [own] if all(space.holds(dimension, own[name]) for name, dimension in plan.within.items()) else []
    if space.points(plan.within) is not None and (space.points(plan.within) or 0) <= count:
        values = [dimension.values for dimension in plan.within.values() if isinstance(dimension, Choices)]
        grid = [dict(zip(plan.within, point, strict=True)) for point in itertools.product(*values)]
        random.Random(plan.block.recurrent[0].train.seed).shuffle(grid)
        every += [point for point in grid if point != own]
    tried = [trial.settings for trial in record]
    return under_way + [settings for settings in every if settings not in tried]


def _bounded(plan: Plan, count: int) -> int:
    there = space.points(plan.within)
    if there is None or there > count:
        return count
    if there < count:
        print(f"{plan.name}: the space has {there} points, each is tried once")
    return there


def _scores(plan: Plan, trial: Trial) -> list[float]:
    if trial.state == "refused":
        return []
    job, _ = plan.job(trial.settings, "trial")
    return trials.standings(job, plan.direction)[: trial.validations]


def _job(
    block: params.Block, written: dict[str, Any], folder: Path, name: str, threads: int
) -> tuple[worker.Job, params.Block]:
    changed = params.parse(block.suite, block.name, written, params.base(), f"blocks.{block.name}")
    only = replace(changed, trainings=changed.recurrent[:1])
    planned = train.plan(only, paths.arrow(block.suite, block.name), folder, threads)[0]
    return replace(planned, name=name, folder=folder / planned.key), only


def _outcome(folder: Path) -> tuple[trials.State, str]:
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


def _finish(plan: Plan, trial: Trial) -> None:
    """What is known of a trial at its end into its `run.json`; its training states are of no more use."""
    job, _ = plan.job(trial.settings, "trial")
    job = replace(job, name=files.read_json(job.folder / "run.json")["training"])
    if trial.state == "finished":
        train.finish(job)
    else:
        run = files.read_json(job.folder / "run.json")
        if run["status"] == "running":
            ended = {
                "status": "stopped",
                "finished": _now(),
                "seconds": trial.seconds,
                "best": {plan.metric: trial.score},
            }
            files.write_json(job.folder / "run.json", run | ended)
    shutil.rmtree(job.folder / "state", ignore_errors=True)


def _found(plan: Plan) -> None:
    """The sweep's folder, as the folder of a run: facts, params, and a curve to come."""
    block = plan.block
    about = {
        "training_id": uuid.uuid4().hex,
        "key": plan.folder.name,
        "suite": block.suite,
        "block": block.name,
        "task": block.task,
        "kind": tasks.load(block.task).KIND,
        "dataset": block.dataset,
        "training": "sweep",
        "role": "sweep",
        "revision": train.revision(),
        "data_digest": plan.about["data"],
        "cluster_job": cluster.job_id(),
        "started": _now(),
        "status": "running",
    }
    spaces = {f"space.{name}": value for name, value in plan.about["space"].items()}
    files.write_json(plan.folder / "params.json", spaces | {"task": block.task, "metric": plan.metric})
    files.write_json(plan.folder / "sweep.json", plan.about)
    files.write_json(plan.folder / "run.json", about)


def _tell_others(plan: Plan) -> None:
    """Say that the block has a sweep of something else, and of what; it stays."""
    others = [path for path in plan.folder.parent.glob("*/sweep.json") if path.parent != plan.folder]
    if others:
        other = max(others, key=lambda path: path.stat().st_mtime)
        about = files.read_json(other)
        differ = " and ".join(told for name, told in SAME.items() if about[name] != plan.about[name])
        there = f"{_shown(other.parent)} is a sweep from before {differ} changed and stays as it is"
        print(f"{plan.name}: {there}; a new one begins in {_shown(plan.folder)}", flush=True)


@contextlib.contextmanager
def _interruptible(plan: Plan, count: int) -> Iterator[None]:
    """Ctrl-C ends with status 130 and how to go on."""
    try:
        yield
    except KeyboardInterrupt:
        print(f"\n{plan.name}: interrupted; `{plan.command(count)}` goes on where it stopped", file=sys.stderr)
        sys.exit(130)


def _shown(path: Path) -> str:
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def main() -> None:
    parser = argparse.ArgumentParser(description="Try settings of a block's network, by validation data.")
    parser.add_argument("block", help="name of a block in params.yaml")
    parser.add_argument("--suite", default="sample", choices=paths.SUITES)
    parser.add_argument("--trials", default=str(TRIALS), help=f"sets of settings to try; {TRIALS}")
    arguments = parser.parse_args()

    def run() -> None:
        if not arguments.trials.isdigit() or int(arguments.trials) < 1:
            raise ConfigError("TRIALS", f"found {arguments.trials!r}", "a whole number from 1 on is wanted")
        sweep(arguments.suite, paths.block_name(arguments.block), int(arguments.trials))

    cli.run(run)


if __name__ == "__main__":
    main()
