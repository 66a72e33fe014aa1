"""A lock is held by one process at a time, says by whom, and falls with its process."""

import subprocess
import sys
from pathlib import Path

import pytest

from pipelines import locks

ROOT = Path(__file__).resolve().parents[2]

HOLDS = """
import sys, time
from pathlib import Path
from pipelines import locks
with locks.held(Path(sys.argv[1]), name="the first"):
    print("held", flush=True)
    time.sleep(600)
"""


def holder(path):
    process = subprocess.Popen([sys.executable, "-c", HOLDS, str(path)], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "held\n"
    return process


def test_whoever_waits_is_told_for_whom_and_has_it_when_the_other_is_killed(tmp_path):
    path, told = tmp_path / "below/a.lock", []
    with holder(path) as process:

        def waits(who):
            told.append(who)
            process.kill()

        with locks.held(path, name="the second", waits=waits):
            assert told == ["the first"]
            assert path.read_text() == "the second\n"


def test_time_is_up(tmp_path):
    path = tmp_path / "a.lock"
    with locks.held(path), pytest.raises(TimeoutError, match="another process holds"), locks.held(path, seconds=0):
        raise AssertionError("two hold the lock")
    with locks.held(path, seconds=0):
        assert path.read_text() == ""
