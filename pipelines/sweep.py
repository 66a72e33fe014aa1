"""`make sweep`: tries settings of a block's network and offers the best as a block for params.yaml.

    python -m pipelines.sweep <block> [--suite sample|public] [--trials 20]

Sees training and validation data only. What is varied stands under `sweep` in the params files
(`pipelines/tuning/space.py`).
A sweep has a folder of its own, named by a hash of space, network, data and code: interrupted anywhere, the same
command goes on; with more trials it adds some; once all are done it sends to the tracking server what that lacks.
"""

import argparse
import contextlib
import itertools
import random
import shutil
import sys
from collections.abc import Iterator
from typing import Any

from pipelines import cli, cluster, locks, params, paths, tracking, train
from pipelines.tuning import results, space, trials
from pipelines.tuning.board import Board
from pipelines.tuning.plan import Plan, prepare
from pipelines.tuning.space import Choices
from pipelines.tuning.trials import Record, Trial
from rnn_core.errors import ConfigError

TRIALS = 20


def sweep(suite: str, name: str, count: int) -> None:
    """Try until `count` sets of settings are settled, then show all and offer the best.

    Raises:
        UserError: the space or its values are wrong, there are no data yet, or no trial came to an end.
    """
    plan = prepare(suite, name)
    with locks.alone(plan.folder / "sweep.lock", seconds=0):
        record = Record(plan.folder, plan.direction)
        count = _bounded(plan, count)
        if len(record.settled) < count:
            with _interruptible(plan, count), tracking.Live(plan.folder):
                _search(plan, record, count)
                results.conclude(plan, record)
        else:
            print(f"{plan.name}: {len(record.settled)} trials are done already", flush=True)
            results.conclude(plan, record)
        results.send(plan, record, count)


def _search(plan: Plan, record: Record, count: int) -> None:
    from pipelines.tuning.search import search  # Ray and Optuna: seconds that a finished sweep need not spend

    storage = plan.folder / "ray"
    settled = record.settled
    before = [(trial, _scores(plan, trial)) for trial in settled]
    with cluster.joined(plan.resources):
        at_once = cluster.at_once(plan.resources)
        said = f"{count - len(settled)} trials, {at_once} at once" + (f", {len(settled)} are done" if settled else "")
        print(f"{plan.name}: {said}; {train.describe(plan.resources)}", flush=True)
        with Board(plan, record, count, at_once) as board:
            search(
                plan.within,
                board,
                before=before,
                again=[trial for trial in record if not trial.settled],
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
    """What is tried before the search suggests: the block as it is; in a space of no more points than trials, all."""
    flat = plan.block.recurrent[0].flat()
    own = {name: flat.get(name) for name in plan.within}
    every = [own] if all(space.holds(dimension, own[name]) for name, dimension in plan.within.items()) else []
    there = space.points(plan.within)
    if there is not None and there <= count:
        values = [dimension.values for dimension in plan.within.values() if isinstance(dimension, Choices)]
        grid = [dict(zip(plan.within, point, strict=True)) for point in itertools.product(*values)]
        random.Random(plan.block.recurrent[0].train.seed).shuffle(grid)
        every += [point for point in grid if point != own]
    tried = [trial.settings for trial in record]
    return [settings for settings in every if settings not in tried]


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


@contextlib.contextmanager
def _interruptible(plan: Plan, count: int) -> Iterator[None]:
    """Ctrl-C ends with status 130 and how to go on."""
    try:
        yield
    except KeyboardInterrupt:
        print(f"\n{plan.name}: interrupted; `{plan.command(count)}` goes on where it stopped", file=sys.stderr)
        sys.exit(130)


def main() -> None:
    parser = argparse.ArgumentParser(description="Try settings of a block's network, by validation data.")
    parser.add_argument("block", help="name of a block in params.yaml")
    parser.add_argument("--suite", default="sample", choices=paths.SUITES)
    parser.add_argument("--trials", default=str(TRIALS), help=f"sets of settings to try; {TRIALS}")
    arguments = parser.parse_args()

    def run() -> None:
        if not arguments.block:
            raise ConfigError("TASK", "missing", f"there are {', '.join(params.blocks(arguments.suite))}")
        if not arguments.trials.isdigit() or int(arguments.trials) < 1:
            raise ConfigError("TRIALS", f"found {arguments.trials!r}", "a whole number from 1 on is wanted")
        sweep(arguments.suite, paths.block_name(arguments.block), int(arguments.trials))

    cli.run(run)


if __name__ == "__main__":
    main()
