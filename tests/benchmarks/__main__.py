"""Ours beside the alternatives, in turn in one process: `make bench`.

    python -m tests.benchmarks ['layer/*'] [--seconds 8] [--threads 2]

Each case first asserts that both compute the same. Figures go to results.json beside this file, case by case, so that
a run of some cases leaves those of the others; `make readme` makes the README's table of them. Wants a quiet machine.
"""

import argparse
import os
import signal
import sys

import pytest

from tests.benchmarks.harness import FOLDER, Harness


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("cases", nargs="?", default="*", help="which ones, such as 'layer/*'")
    parser.add_argument("--seconds", type=float, default=8.0, help="to spend on a case, though never under 7 rounds")
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="of both sides; all cores")
    arguments = parser.parse_args()
    # Whoever ends this ends what it has started: the cases' contexts do so.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    harness = Harness(arguments.cases, arguments.seconds, arguments.threads)
    options = ["-v", "--no-header", "--benchmark-quiet", "-o", "python_files=bench_*.py"]
    return pytest.main([str(FOLDER), *options], plugins=[harness])


if __name__ == "__main__":
    sys.exit(main())
