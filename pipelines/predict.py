"""Ask a registered model of a block.

python -m pipelines.predict <block> [--suite sample|public] [--model champion] INPUT... [--output answers.parquet]

INPUT is a sentence, a wav, an image, a CSV, a table of many inputs, a folder, or `-` for a line of stdin each
(`pipelines/using/inputs.py`). Answers are lines of JSON on stdout, as soon as they are there; with `--output`, a
file, made by all workers (`pipelines/using/batch.py`). An input without an answer is told on stderr, and makes the
exit status 1.
"""

import argparse
import itertools
import json
import signal
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from pipelines import cli, files, paths, tasks, tracking
from pipelines.using import answer_files, inputs
from pipelines.using.inputs import Named
from pipelines.using.predictor import Predictor
from rnn_core.errors import DataError, UserError

Result = dict[str, Any] | UserError
"""An answer's row, or why there is none."""
STDIN = "-"
PAUSE = 5.0
"""Seconds between two lines of progress."""


def predict(
    suite: str,
    block: str,
    typed: Sequence[str],
    *,
    model: str = "champion",
    output: Path | None = None,
    column: str | None = None,
) -> int:
    """Answer all inputs, on stdout or into a file. Returns how many have no answer.

    Args:
        typed: the INPUTs of the command.
        model: an alias or the number of a version.
        column: of tables, see `inputs.read`.

    Raises:
        UserError: no such model, no such file, nothing to answer; nothing is written then.
    """
    if output is not None:
        answer_files.check(output)
    version = tracking.connect().bring(suite, block, model)
    takes = tasks.load(files.read_json(version.folder / "model.json")["task"]).INPUT
    _say(f"{version.name} version {version.version}{''.join(f', {alias}' for alias in version.aliases)}")
    if output is None:
        return record(_answered(version.folder, _named(typed, takes, column)), _print)
    if list(typed) == [STDIN]:
        raise DataError("stdin", "it cannot be divided among workers", "a file, or no --output")
    from pipelines.using import batch  # Ray: where it is used

    found = inputs.places(typed, takes)
    with answer_files.writer(output) as write:
        return record(batch.run(version.folder, found, takes, column), write)


def record(results: Iterable[Result], write: Callable[[dict[str, Any]], None]) -> int:
    """Write each answer, tell each failure and how far it is. Returns the number of failures.

    Raises:
        DataError: there is no answer at all.
    """
    began = told = time.monotonic()
    answered = failed = 0
    for result in results:
        if isinstance(result, UserError):
            _say(f"error: {result}")
            failed += 1
        else:
            write(result)
            answered += 1
        if time.monotonic() - told > PAUSE:
            told = time.monotonic()
            _say(f"{answered:,} answered, {answered / (told - began):,.1f} a second, {failed:,} failed")
    if not answered:
        found, allowed = "nothing to answer", "at least one input"
        if failed:
            found, allowed = f"none of {failed} inputs has an answer", "the lines above say why"
        raise DataError("INPUT", found, allowed)
    _say(f"{answered:,} answered, {failed:,} failed, {time.monotonic() - began:.1f} s")
    return failed


def _named(typed: Sequence[str], takes: str, column: str | None) -> Iterator[Named]:
    if list(typed) == [STDIN]:
        return inputs.lines(sys.stdin.buffer, takes)
    found = inputs.places(typed, takes)
    return itertools.chain.from_iterable(inputs.read(place, takes, column) for place in found)


def _answered(folder: Path, named: Iterator[Named]) -> Iterator[Result]:
    for outcome in Predictor(folder).outcomes(named):
        yield outcome.row() if outcome.error is None else outcome.error


def _print(row: dict[str, Any]) -> None:
    print(json.dumps(row, ensure_ascii=False), flush=True)


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description="Ask a registered model of a block.")
    parser.add_argument("block", help="name of a block in params.yaml")
    parser.add_argument("input", nargs="+", help="a sentence, files, folders, or - for a line of stdin each")
    parser.add_argument("--suite", default="sample", choices=paths.SUITES)
    parser.add_argument("--model", default="champion", help="an alias or the number of a version; champion")
    parser.add_argument("--column", help="of tables; text, file or table, as the task takes")
    parser.add_argument("--output", type=Path, help="a file of answers: .jsonl, .csv or .parquet; made by all workers")
    arguments = parser.parse_args()
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # `| head` ends it quietly

    def answer() -> None:
        block, output = paths.block_name(arguments.block), arguments.output
        options = {"model": arguments.model, "output": output, "column": arguments.column}
        if predict(arguments.suite, block, arguments.input, **options):
            sys.exit(1)

    cli.run(answer)


if __name__ == "__main__":
    main()
