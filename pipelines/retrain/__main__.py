"""One tick of a schedule, whatever schedules it: a suite brought up to date in a clone of its own.

    python -m pipelines.retrain --repository URL --revision main --work FOLDER --suite sample [--block NAME ...]
        [--when-busy leave|wait|replace] [--hours N] [--no-push] [--dry-run]

The exit status says how it ended: 0 done, 1 failed, 3 busy (another tick is at work), 4 overdue (--hours),
5 stopped (a signal), 6 not stored (a remote or the tracking server did not take all), 7 not told (the webhook did not).
"""

import argparse
import sys
from pathlib import Path

from pipelines import paths
from pipelines.retrain import tick
from pipelines.retrain.outcome import Outcome
from pipelines.retrain.settings import Settings
from rnn_core.errors import UserError


def main() -> None:
    try:
        outcome = _do(_arguments())
    except UserError as error:
        sys.exit(f"error: {error}")
    sys.exit(outcome.value)


def _do(given: argparse.Namespace) -> Outcome:
    settings = Settings(
        repository=given.repository,
        revision=given.revision,
        work=Path(given.work).expanduser().resolve(),
        suite=given.suite,
        blocks=tuple(dict.fromkeys(given.block)),
        when_busy=given.when_busy,
        hours=given.hours,
        push=not given.no_push,
    )
    return tick.look(settings) if given.dry_run else tick.run(settings)


def _arguments() -> argparse.Namespace:
    about, _, more = (__doc__ or "").partition("\n\n")
    parser = argparse.ArgumentParser(
        prog="python -m pipelines.retrain", description=about, epilog=more.partition("\n\n")[2].replace("\n", " ")
    )
    parser.add_argument("--repository", required=True, help="as git takes it: an address or a folder")
    parser.add_argument("--revision", default="main", help="a branch (main), a tag or a commit")
    parser.add_argument("--work", required=True, help="folder of the tick's own, kept from tick to tick")
    parser.add_argument("--suite", default="sample", choices=paths.SUITES)
    parser.add_argument("--block", action="append", default=[], help="this block only; may be given more than once")
    parser.add_argument(
        "--when-busy", choices=("leave", "wait", "replace"), default="leave", help="while one is at work"
    )
    parser.add_argument("--hours", type=float, help="how long it may take; the next tick goes on")
    parser.add_argument("--no-push", action="store_true", help="the repository may only be read: push no branch")
    parser.add_argument("--dry-run", action="store_true", help="say what would run")
    return parser.parse_args()


if __name__ == "__main__":
    main()
