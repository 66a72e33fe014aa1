"""One tick of a schedule, whatever schedules it: a suite brought up to date in a clone of its own.

    python -m pipelines.retrain --repository URL --revision main --work FOLDER --suite sample [--block NAME ...]
        [--when-busy leave|wait|replace] [--hours N] [--no-push] [--dry-run]
    python -m pipelines.retrain --prune [--work FOLDER] [--keep 10] [--dry-run]

The second form removes what nobody needs any more, from a work folder or else from this checkout.

The exit status says how it ended: 0 done, 1 failed, 3 busy (another tick is at work), 4 overdue (--hours),
5 stopped (a signal), 6 not stored (a remote or the tracking server did not take all), 7 not told (the webhook did not).
"""

import argparse
import sys
from pathlib import Path

from pipelines import paths
from pipelines.retrain import prune, tick
from pipelines.retrain.outcome import Outcome
from pipelines.retrain.settings import Settings
from rnn_core.errors import ConfigError, UserError


def main() -> None:
    try:
        outcome = _do(_arguments())
    except UserError as error:
        sys.exit(f"error: {error}")
    sys.exit(outcome.value)


def _do(given: argparse.Namespace) -> Outcome:
    work = Path(given.work).expanduser().resolve() if given.work else None
    if given.prune:
        return prune.run(work, keep=given.keep, when_busy=given.when_busy, dry_run=given.dry_run)
    if work is None:
        raise ConfigError("--work", "missing", "a folder of the tick's own, kept from tick to tick")
    settings = Settings(
        repository=given.repository,
        revision=given.revision,
        work=work,
        suite=given.suite,
        blocks=tuple(dict.fromkeys(given.block)),
        when_busy=given.when_busy,
        hours=given.hours,
        push=not given.no_push,
    )
    return tick.look(settings) if given.dry_run else tick.run(settings)


def _arguments() -> argparse.Namespace:
    about, _, more = (__doc__ or "").partition("\n\n")
    statuses = more.rpartition("\n\n")[2].replace("\n", " ")
    parser = argparse.ArgumentParser(prog="python -m pipelines.retrain", description=about, epilog=statuses)
    parser.add_argument("--repository", default="", help="as git takes it: an address or a folder")
    parser.add_argument("--revision", default="main", help="a branch (main), a tag or a commit")
    parser.add_argument("--work", help="folder of the tick's own, kept from tick to tick")
    parser.add_argument("--suite", default="sample", choices=paths.SUITES)
    parser.add_argument("--block", action="append", default=[], help="this block only; may be given more than once")
    parser.add_argument(
        "--when-busy", choices=("leave", "wait", "replace"), default="leave", help="while one is at work"
    )
    parser.add_argument("--hours", type=float, help="how long it may take; the next tick goes on")
    parser.add_argument("--no-push", action="store_true", help="the repository may only be read: push no branch")
    parser.add_argument("--dry-run", action="store_true", help="say what would run")
    parser.add_argument(
        "--prune", action="store_true", help="remove what nobody needs any more, in the place of a tick"
    )
    parser.add_argument("--keep", type=_count, default=10, help="lock files of each suite and branch that count")
    return parser.parse_args()


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"found {text!r}, a whole number from 1 on is wanted")
    return int(text)


if __name__ == "__main__":
    main()
