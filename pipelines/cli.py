"""What all stages share at their door: one argument, the block; a user's mistake as one line, not a traceback."""

import argparse
import sys
from collections.abc import Callable

from pipelines import paths
from rnn_core.errors import UserError


def stage_main(description: str, stage: Callable[[str, str], None]) -> None:
    """Parse `<block> [--suite NAME]`, run the stage, exit with 1 and one line on a user's mistake."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("block", help="name of a block in params.yaml")
    parser.add_argument("--suite", default="sample", choices=paths.SUITES)
    arguments = parser.parse_args()
    run(lambda: stage(arguments.suite, paths.block_name(arguments.block)))


def run(action: Callable[[], None]) -> None:
    """Run `action`; a `UserError` ends the process with its one line and status 1."""
    try:
        action()
    except UserError as error:
        sys.exit(f"error: {error}")
