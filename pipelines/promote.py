"""Which version of a block's model is in use: the challenger against the champion, a version put there, a step back.

    python -m pipelines.promote <block> [--suite sample|public]                  the challenger, where it is better
    python -m pipelines.promote <block> [--suite sample|public] --version 3      that one, whatever it is
    python -m pipelines.promote <block> [--suite sample|public] --rollback       the one before; again: undone

`register` asks the same of each new version. Both networks are scored on the present test data; the challenger takes
the alias `champion` where it is better beyond what chance explains (`base.register` in params.yaml), and its version
says why it did or did not.
"""

import argparse
import time

from pipelines import cli, params, paths, tracking
from rnn_core.errors import UserError

TRIES = 5
"""Decisions about one version, before it is somebody else's turn to look why the champion changes all the time."""


def promote(suite: str, name: str) -> str:
    """The challenger against the champion. Returns: what came of it, in a line.

    Raises:
        DataError: no such model.
        TrackingError: the server cannot be reached.
    """
    block, tracker = params.block(suite, name), tracking.connect()
    return judge(tracker, block, tracker.bring(suite, name, tracking.CHALLENGER).version)


def judge(tracker: tracking.Tracker, block: params.Block, number: int) -> str:
    """Whether this version becomes the champion: decided, carried out and written on it. Returns: why.

    Raises:
        TrackingError: the server cannot be reached, or the champion is a new one at each look.
    """
    for _ in range(TRIES):
        champion = tracker.aliases(block.suite, block.name).get(tracking.CHAMPION)
        ruling = _rule(tracker, block, number, champion)
        why = tracker.decide(block.suite, block.name, number, champion, ruling)
        if why is not None:
            return why
    found = f"the champion of {block.experiment} changed during each of {TRIES} decisions"
    raise tracking.TrackingError("tracking server", found, "see who else promotes, and run it again")


def _rule(tracker: tracking.Tracker, block: params.Block, number: int, champion: int | None) -> tracking.Ruling:
    if champion is None:
        return tracking.Ruling(moves=True, why="champion: there is no other one", test_digest=None)
    if champion == number:
        return tracking.Ruling(moves=False, why="champion: it holds the alias", test_digest=None)
    from pipelines.promotion.contest import contest  # torch: only where there is something to compare

    began = time.monotonic()
    try:
        challenger, holder = (tracker.bring(block.suite, block.name, str(one)).folder for one in (number, champion))
        found = contest(block, challenger, holder)
    except tracking.TrackingError:
        raise
    except UserError as error:
        why = f"no champion: version {champion} holds the alias, and the two cannot be compared: {error}"
        return tracking.Ruling(moves=False, why=why, test_digest=None)
    print(f"{block.name}: champion and challenger compared in {time.monotonic() - began:.1f} s", flush=True)
    verdict = "champion: better" if found.difference.better else "no champion: not better beyond chance"
    told = f"{verdict}, {found.told(champion)}"
    return tracking.Ruling(moves=found.difference.better, why=told, test_digest=found.test_digest)


def put(suite: str, name: str, version: str) -> str:
    """A version (its number, or an alias) as champion, without comparing anything."""
    number, before = tracking.connect().put(suite, name, version)
    return f"version {number} is champion" + (f", {before} is previous" if before not in (None, number) else "")


def roll_back(suite: str, name: str) -> str:
    """The champion before, again."""
    champion, previous = tracking.connect().roll_back(suite, name)
    return f"version {champion} is champion again, {previous} is previous"


def main() -> None:
    parser = argparse.ArgumentParser(description="Decide which version of a block's model is the champion.")
    parser.add_argument("block", help="name of a block in params.yaml")
    parser.add_argument("--suite", default="sample", choices=paths.SUITES)
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--version", default="", help="make this version (or alias) the champion, without comparing")
    what.add_argument("--rollback", action="store_true", help="make the previous champion the champion again")
    arguments = parser.parse_args()
    cli.run(lambda: print(_do(arguments.suite, paths.block_name(arguments.block), arguments)))


def _do(suite: str, block: str, arguments: argparse.Namespace) -> str:
    params.block(suite, block)  # an unknown one is told with those that there are
    if arguments.rollback:
        return roll_back(suite, block)
    return put(suite, block, arguments.version) if arguments.version else promote(suite, block)


if __name__ == "__main__":
    main()
