"""`make repro`: runs the stages of a suite that are not up to date, prints the table of scores, names the report.

    python -m pipelines.repro [--suite sample|public] [--block NAME ...] [--jobs N]

What a scheduled tick asks besides (`pipelines/retrain`): `--keep-going` past a block that fails, `--pull` from the DVC
remote what an earlier run of the same inputs left there, `--dry-run` to hear what would run.

One at a time in a checkout: a second one says whom it waits for. Before, the tracking server is sent what it
lacks of what lies finished on disk: a new server, or a deleted store, is filled without training.
"""

import argparse
import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from typing import TextIO

from pipelines import cli, locks, params, paths, side_by_side
from pipelines.reports import tables
from rnn_core.errors import ConfigError


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--suite", default="sample")
    parser.add_argument("--block", action="append", default=[], help="these blocks' five stages only, and the report")
    parser.add_argument("--jobs", type=int, default=1, help="so many blocks side by side, on a cluster")
    parser.add_argument("--keep-going", action="store_true", help="blocks after one that fails are run all the same")
    parser.add_argument("--pull", action="store_true", help="outputs that the run cache names come from the DVC remote")
    parser.add_argument("--dry-run", action="store_true", help="say what would run; runs nothing")
    arguments = parser.parse_args()
    blocks = [block for block in arguments.block if block]
    options = ["--keep-going"] * arguments.keep_going + ["--pull"] * arguments.pull
    if arguments.dry_run:
        cli.run(lambda: look(arguments.suite, blocks, options))
    else:
        cli.run(lambda: reproduce(arguments.suite, blocks, options, arguments.jobs))


def look(suite: str, blocks: Sequence[str], options: Sequence[str]) -> None:
    """Say what `reproduce` would run; data that are not here count as they stand in `dvc.lock`.

    Raises:
        ConfigError: no such suite or block.
    """
    goals = targets(suite, blocks)
    with turn(f"suite {suite}") as lock:
        run([sys.executable, "-m", "dvc", "repro", "--dry", "--allow-missing", *options, *goals], lock)


def reproduce(suite: str, blocks: Sequence[str], options: Sequence[str], jobs: int = 1) -> None:
    """Run what is not up to date; end the process with the status of the first command that fails.

    Args:
        options: of `dvc repro`.
        jobs: blocks side by side.

    Raises:
        ConfigError: no such suite or block, or no cluster for several jobs.
        DataError: a block failed beside others.
    """
    goals = targets(suite, blocks)
    side_by_side.check(jobs)
    with turn(f"suite {suite}") as lock:
        run([sys.executable, "-m", "pipelines.register", "--missing", "--suite", suite], lock)
        if jobs > 1:
            names = blocks or params.blocks(suite)
            data = [f"{file(suite)}:preprocess@{name}" for name in names]
            run([sys.executable, "-m", "dvc", "repro", *options, *data], lock)
            side_by_side.run(file(suite), names, jobs, lock)
        run([sys.executable, "-m", "dvc", "repro", *options, *goals], lock)
        if blocks:  # the report by itself: what it depends on besides is the other blocks'
            run([sys.executable, "-m", "dvc", "repro", "--single-item", f"{file(suite)}:report"], lock)
    print()
    print(tables.table(suite))
    print(f"\nThe same with curves and pictures: {os.path.relpath(paths.report(suite))}")
    print("All runs and models: `make ui`, which says where each block is compared")


def targets(suite: str, blocks: Sequence[str]) -> list[str]:
    """`target` of each block, or of the whole suite."""
    return [target(suite, block) for block in blocks or [""]]


def target(suite: str, block: str) -> str:
    """What `dvc repro` is to bring up to date: a suite's dvc.yaml, or the last stage of one block in it."""
    if suite not in paths.SUITES:
        raise ConfigError(f"SUITE={suite}", "no such suite", f"there are {', '.join(paths.SUITES)}")
    if not block:
        return file(suite)
    known = params.blocks(suite)
    if block not in known:
        raise ConfigError(f"TASK={block}", f"no such block in the suite {suite}", f"there are {', '.join(known)}")
    return f"{file(suite)}:register@{block}"


def file(suite: str) -> str:
    """The suite's dvc.yaml, below the root."""
    return paths.stages_file(suite).relative_to(paths.root()).as_posix()


@contextlib.contextmanager
def turn(what: str) -> Iterator[TextIO]:
    """The right to run stages in this checkout; waits for whoever has it, saying so. Ends with the process."""
    own = f"`make repro` of process {os.getpid()} ({what}, since {time.strftime('%H:%M:%S')})"

    def waits(who: str) -> None:
        print(f"repro: waiting for {who or 'another process'}", flush=True)

    with locks.held(paths.root() / "data/.repro.lock", name=own, waits=waits) as lock:
        yield lock


def run(command: list[str], lock: TextIO) -> None:
    """Run to the end; a status that is not zero becomes ours.

    The child holds the lock too, so that nobody starts beside it should this process be killed. A Ctrl-C reaches the
    child by itself: this process waits for it to put its things in order.
    """
    signal.signal(signal.SIGINT, lambda *_: None)
    status = subprocess.run(command, cwd=paths.root(), pass_fds=[lock.fileno()]).returncode
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if status:
        sys.exit(status if status > 0 else 128 - status)


if __name__ == "__main__":
    main()
