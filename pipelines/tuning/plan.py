"""What a sweep is of: all that its trials share, checked before any starts, and the folder that stands for it.

The folder is named by a hash of space, network, data and code: another one never continues it.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch

from pipelines import cluster, files, networks, params, paths, tasks, train, versions
from pipelines.job import Job
from pipelines.tuning import space, trials
from pipelines.tuning.space import Space
from rnn_core.errors import ConfigError, DataError

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

    def job(self, settings: Mapping[str, Any], name: str) -> tuple[Job, params.Block]:
        """The training with these settings, and the block that it is the only one of.

        Raises:
            ConfigError: the block cannot have these settings together.
        """
        return _job(self.block, self.changed(settings), self.folder / "trials", name, self.resources)


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
    recurrent, written = block.recurrent[0], dict(params.written(suite, name))
    own = f"{paths.params_file(suite).name}: blocks.{name}.sweep"
    where = own if "sweep" in written else f"params.yaml: base.sweep, for {name}"
    within = space.resolve(block.sweep, recurrent.flat(), where)
    resources = cluster.Resources.from_environment()
    check(block, written, within, where)
    network = {"task": block.task, "metric": block.evaluate.metric, **recurrent.flat()}
    about = {
        "space": space.plain(within),
        "network": network,
        "data": files.read_json(arrow / "summary.json")["digest"],
        "code": versions.here(block.task)["code"],
    }
    plan = Plan(
        block=block,
        written=written,
        within=within,
        about=json.loads(json.dumps(about)),  # as it is read back
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
                job, _ = _job(block, changed, Path(), "trial", cluster.Resources())
                with torch.device("meta"):
                    networks.build(task, job.model, sidecar)
            except ConfigError as error:
                place = f"{where}.{name}, value {value!r}: {error.where}"
                raise ConfigError(place, error.found, error.allowed) from error


def _job(
    block: params.Block, written: dict[str, Any], folder: Path, name: str, resources: cluster.Resources
) -> tuple[Job, params.Block]:
    changed = params.parse(block.suite, block.name, written, params.base(), f"blocks.{block.name}")
    only = replace(changed, trainings=changed.recurrent[:1])
    planned = train.plan(only, paths.arrow(block.suite, block.name), folder, resources)[0]
    return replace(planned, name=name, folder=folder / planned.key), only


def _found(plan: Plan) -> None:
    """The sweep's folder, as the folder of a run: facts, params, and a curve to come."""
    block = plan.block
    data_digest = plan.about["data"]
    about = train.begun(block, name="sweep", key=plan.folder.name, data_digest=data_digest) | {"role": "sweep"}
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
        there = f"{shown(other.parent)} is a sweep from before {differ} changed and stays as it is"
        print(f"{plan.name}: {there}; a new one begins in {shown(plan.folder)}", flush=True)


def shown(path: Path) -> str:
    """As one types it here."""
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)
