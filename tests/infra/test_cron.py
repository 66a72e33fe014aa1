"""cron for real, with the shipped line. Its daemon runs in a mount namespace of its own: the machine's own crontabs
stay out of it, and the test's stay out of the machine's."""

import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from tests.infra.manifests import INFRA
from tests.pipelines import small_training
from tests.pipelines.retrain.nights import Nights, steps_of_the_newest, until
from tests.pipelines.retrain.small import git

pytestmark = [
    pytest.mark.long,
    pytest.mark.scheduler,
    pytest.mark.timeout(2400),
    pytest.mark.skipif(shutil.which("cron") is None, reason="cron (Debian's package) is not on this machine"),
    pytest.mark.skipif(shutil.which("unshare") is None, reason="unshare (util-linux) is not on this machine"),
]
DAEMON = """
mount -t tmpfs -o mode=1730,gid=crontab none /var/spool/cron/crontabs
mount -t tmpfs none /etc/cron.d
mount --bind /dev/null /etc/crontab
mount -t tmpfs none /run
crontab "$1" && exec cron -f
"""


@contextmanager
def daemon(crontab: Path) -> Iterator[psutil.Process]:
    """With this user's crontab and no other; ended with all that it has begun."""
    command = ["unshare", "--mount", "sh", "-ec", DAEMON, "sh", str(crontab)]
    with subprocess.Popen(command, env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}, start_new_session=True) as cron:
        try:
            yield psutil.Process(cron.pid)
        finally:
            small_training.end(cron.pid)


def ticks(cron: psutil.Process) -> list[psutil.Process]:
    """tick.sh as cron has begun it, oldest first."""
    found = [one for one in cron.children(recursive=True) if "tick.sh" in " ".join(one.cmdline()[:2])]
    return sorted(found, key=lambda one: one.create_time())


def test_ticks_a_minute_apart(tmp_path: Path) -> None:
    """The first one is still at work when the second comes; it is killed, and a later one finishes it; then there is
    nothing to do."""
    before = subprocess.run(["crontab", "-l"], capture_output=True, text=True).stdout
    nights = Nights(tmp_path)
    nights.params(a={"epochs": 300}, b={"epochs": 1})
    home = tmp_path / "home"
    settings = nights.checkout(home / "recurrent-training")
    (home / ".config/rnn").mkdir(parents=True)
    settings.rename(home / ".config/rnn/retrain.env")
    log = home / ".local/state/rnn/retrain.log"
    log.parent.mkdir(parents=True)
    with log.open("w") as old:
        old.write("an old log\n")
        old.truncate(10_000_001)
    (line,) = [line for line in (INFRA / "jobs/cron/crontab").read_text().splitlines() if not line.startswith("#")]
    often = re.sub(r"^0 2 ", "* * ", line)
    assert often != line
    (tmp_path / "crontab").write_text(f'HOME={home}\nMAILTO=""\n{often}\n')
    with daemon(tmp_path / "crontab") as cron:

        def alive() -> None:
            assert cron.status() != psutil.STATUS_ZOMBIE, "cron has ended"

        def said() -> str:
            return log.read_text() if log.exists() else ""

        until(lambda: nights.states("a") and "ended with status 3" in said(), alive)
        first = ticks(cron)[0]
        small_training.end(first.pid)
        until(lambda: len(nights.summaries()) > 1, alive)
    finished, nothing, *_ = nights.summaries()
    assert (finished["outcome"], finished["attempts"]) == ("done", 2), said()
    steps = steps_of_the_newest(tmp_path / "work/repository/data/checkpoints/sample/a")
    assert steps == list(range(5, steps[-1] + 1, 5)), "nothing twice, nothing missing"
    assert (nothing["outcome"], nothing["stages"]["ran"]) == ("done", [])
    assert [nights.versions(block) for block in "ab"] == [(1, 1), (1, 1)]
    assert git(nights.origin, "rev-parse", "retrain/sample") == finished["state"]
    assert (log.parent / "retrain.log.1").read_text().startswith("an old log"), "turned over"
    assert "another tick is at work" in said()
    assert not cron.is_running()
    assert subprocess.run(["crontab", "-l"], capture_output=True, text=True).stdout == before
