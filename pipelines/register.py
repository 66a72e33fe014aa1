"""Stage `register`: the block's trainings on the tracking server, and a model version of the recurrent one, which
becomes the champion where it is better than the one there is (`pipelines/promote.py`).

    python -m pipelines.register <block> [--suite sample|public]
    python -m pipelines.register --missing [--suite sample|public]

The second form fills a server that lacks what lies finished on disk (a deleted store, a new server, a fresh clone
after `dvc pull`), without training; a server that cannot be reached is a warning there.
"""

import argparse
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines import cli, files, paths, tracking
from rnn_core.errors import DataError, UserError

if TYPE_CHECKING:  # with torch behind it: imported where something is finished
    from pipelines import params

OWN = ("chosen", "example", "score")
"""What `evaluated.json` says beside `trainings`."""


@dataclass(frozen=True, kw_only=True)
class Evaluated:
    """A block whose trainings are finished and evaluated."""

    settings: "params.Block"
    chosen: str
    """The recurrent training whose model is the block's."""
    metrics: dict[str, Any]
    example: dict[str, Any]
    """A raw input (`column`, `input`), the model's `answer`, and the packages that it needs (`requirements`)."""
    score: dict[str, Any]
    """The score file without its run and version. From DVC's outputs: the file itself may be older than they are."""

    @property
    def suite(self) -> str:
        return self.settings.suite

    @property
    def block(self) -> str:
        return self.settings.name

    @property
    def card(self) -> tracking.Card:
        from pipelines.promotion.card import card

        run = files.read_json(self.folder(self.chosen) / "run.json")
        return card(self.settings, self.chosen, run, self.score)

    def folder(self, training: str) -> Path:
        return paths.train(self.suite, self.block) / training

    @property
    def command(self) -> str:
        return f"{_python()} -m pipelines.register {self.block} --suite {self.suite}"

    @property
    def evaluation(self) -> tracking.Evaluation:
        metric = self.metrics["metric"]
        return tracking.Evaluation(
            metric=metric,
            direction=self.metrics["direction"],
            score=self.metrics["trainings"][self.chosen][metric],
            test_digest=self.metrics["test_digest"],
            column=self.example["column"],
            input=self.example["input"],
            answer=self.example["answer"],
            requirements=tuple(self.example["requirements"]),
        )


def register(suite: str, block: str) -> None:
    """The stage.

    Raises:
        DataError: a training is not finished, or not evaluated since.
        TrackingError: the server cannot be reached; says what waits and how to go on.
    """
    evaluated = read(suite, block)
    try:
        _send(tracking.connect(), evaluated, print)
    except tracking.TrackingError as error:
        found = f"{error.found}; {_spooled(evaluated)}"
        raise tracking.TrackingError(error.where, found, f"with the server there: {evaluated.command}") from error


def missing(suite: str) -> None:
    """Send and register what the server lacks of all blocks that are finished and evaluated; else say nothing."""
    evaluated = []
    for folder in sorted(paths.metrics(suite, "-").parent.parent.glob("*/metrics.json")):
        try:
            evaluated.append(read(suite, folder.parent.name))
        except UserError:
            continue  # its stages have not all run: they will send it themselves; or the block is no more
    if not evaluated:
        return
    try:
        tracker = tracking.connect()
        for one in evaluated:
            _send(tracker, one, lambda line: print(f"restored: {line}"))
    except tracking.TrackingError as error:
        print(f"warning: {error}", file=sys.stderr)


def read(suite: str, block: str) -> Evaluated:
    """
    Raises:
        DataError: a training is not finished, or not evaluated since.
        ConfigError: the params file has no such block, or a wrong one.
    """
    again = f"run {_python()} -m pipelines.evaluate {block} --suite {suite}"
    metrics = _read(paths.metrics(suite, block), again)
    file = paths.evaluation(suite, block) / "evaluated.json"
    evaluated = _read(file, again)
    lacking = [key for key in ("trainings", *OWN) if key not in evaluated]
    if lacking:
        raise DataError(str(file), f"no `{lacking[0]}`: an evaluation by other code", again)
    for training, training_id in evaluated["trainings"].items():
        path = paths.train(suite, block) / training / "run.json"
        run = _read(path, f"run {_python()} -m pipelines.train {block} --suite {suite}")
        if (run["training_id"], run["status"]) != (training_id, "finished"):
            raise DataError(str(path), f"training {run['training_id']} is not the one evaluated, {training_id}", again)
    from pipelines import params

    return Evaluated(settings=params.block(suite, block), metrics=metrics, **{key: evaluated[key] for key in OWN})


def _send(tracker: tracking.Tracker, evaluated: Evaluated, say: Callable[[str], None]) -> None:
    """All trainings, the evaluation's files, the version, the score file; `say` is told of what was new."""
    suite, block = evaluated.suite, evaluated.block
    runs = {}
    for training, scores in evaluated.metrics["trainings"].items():
        sent = tracker.send(evaluated.folder(training), scores=scores, compared=compared(evaluated.metrics, training))
        runs[training] = sent.run_id
        if sent.new:
            say(f"{suite}/{block}: run {sent.run_id} ({training}), {_points(evaluated.folder(training))} points")
    tracker.send_folder(evaluated.folder(evaluated.chosen), paths.evaluation(suite, block), "evaluation")
    version = tracker.register(evaluated.folder(evaluated.chosen), evaluated.evaluation, evaluated.card)
    if version.why is None:
        from pipelines import promote

        why = promote.judge(tracker, evaluated.settings, version.version)
        say(f"{suite}/{block}: {version.name} version {version.version}, {why}")
    score = {**evaluated.score, "run_id": runs[evaluated.chosen], "model_version": version.version}
    path = paths.score(suite, block)
    if not path.exists() or files.read_json(path) != score:
        files.write_json(path, score)


def compared(metrics: dict[str, Any], training: str) -> dict[str, float]:
    """The score of one training, and where they are known the best possible one and its shares, by names that are the
    same for all tasks."""
    from pipelines.score import share_of_best  # imports torch, which a command with nothing to send does without

    score = metrics["trainings"][training][metrics["metric"]]
    found = {"test": score}
    if best := metrics.get("limits", {}):
        found |= best
        found["share_of_best"] = share_of_best(score, best["best_possible"], metrics["direction"])
        found["gap_closed"] = metrics["gap_closed"][training]
    return found


def _spooled(evaluated: Evaluated) -> str:
    trainings = evaluated.metrics["trainings"]
    points = sum(_points(evaluated.folder(training)) for training in trainings)
    folder = os.path.relpath(paths.train(evaluated.suite, evaluated.block))
    return f"{len(trainings)} trainings with {points} points wait in {folder}"


def _points(folder: Path) -> int:
    with (folder / "points.jsonl").open("rb") as file:
        return sum(1 for _ in file)


def _python() -> str:
    """The interpreter as one types it here: below the working folder without the way to it."""
    executable = Path(sys.executable)
    return str(executable.relative_to(Path.cwd()) if executable.is_relative_to(Path.cwd()) else executable)


def _read(path: Path, allowed: str) -> dict[str, Any]:
    try:
        return dict(files.read_json(path))
    except (OSError, ValueError) as error:
        raise DataError(str(path), f"cannot be read: {error}", allowed) from error


def main() -> None:
    parser = argparse.ArgumentParser(description="Send a block's trainings to the tracking server, register its model.")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("block", nargs="?", help="name of a block in params.yaml")
    what.add_argument("--missing", action="store_true", help="all that is finished on disk and not on the server")
    parser.add_argument("--suite", default="sample", choices=paths.SUITES)
    arguments = parser.parse_args()
    cli.run(tracking.settle)
    if arguments.missing:
        cli.run(lambda: missing(arguments.suite))
    else:
        cli.run(lambda: register(arguments.suite, paths.block_name(arguments.block)))


if __name__ == "__main__":
    main()
