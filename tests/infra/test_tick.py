"""tick.sh as schedulers call it: what it passes on, where it writes, how it ends; the lines and units that call it."""

import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.infra.manifests import INFRA, ROOT, SHELL

BARE = {"PATH": "/usr/bin:/bin"}
RETRAINING = """#!/bin/sh
# Stands for Python: says what it was called with, and ends as it is told.
echo "called: $*"
echo "webhook: ${RNN_WEBHOOK:-none}"
trap 'echo told to end; exit 5' TERM
if [ -f "$FAKE/waits" ]; then
    touch "$FAKE/begun"
    while :; do sleep 0.1; done
fi
exit "$(cat "$FAKE/status")"
"""


class Checkout:
    """A home with a checkout in it, whose Python only says what it is called with."""

    def __init__(self, home: Path):
        self.home, self.root = home, home / "recurrent-training"
        (self.root / "infra/jobs").mkdir(parents=True)
        shutil.copy(INFRA / "jobs/tick.sh", self.root / "infra/jobs")
        python = self.root / ".venv/bin/python"
        python.parent.mkdir(parents=True)
        python.write_text(RETRAINING)
        python.chmod(0o755)
        self.settings = home / ".config/rnn/retrain.env"
        self.settings.parent.mkdir(parents=True)
        self.log = home / ".local/state/rnn/retrain.log"
        self.ends(0)
        self.set()

    def set(self, **further: str) -> None:
        values = {"RETRAIN_REPOSITORY": "https://example.org/x.git", "RETRAIN_REVISION": "main"}
        values |= {"RETRAIN_WORK": "/var/tmp/x", "RETRAIN_SUITE": "sample", "RNN_WEBHOOK": "https://example.org/h"}
        self.settings.write_text("".join(f"{name}={value}\n" for name, value in (values | further).items()))
        self.settings.chmod(0o600)

    def ends(self, status: int) -> None:
        (self.home / "status").write_text(str(status))

    @property
    def environment(self) -> dict[str, str]:
        return BARE | {"HOME": str(self.home), "FAKE": str(self.home)}

    def tick(self, *words: str) -> subprocess.CompletedProcess[str]:
        command = [str(self.root / "infra/jobs/tick.sh"), str(self.settings), *words]
        return subprocess.run(command, env=self.environment, capture_output=True, text=True, cwd="/")


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path)


def test_it_calls_the_entry_point_with_the_settings(checkout: Checkout) -> None:
    checkout.set(RETRAIN_BLOCK="pos_tagging", RETRAIN_WHEN_BUSY="replace", RETRAIN_HOURS="3")
    done = checkout.tick()
    assert done.returncode == 0, done.stderr
    (called,) = re.findall(r"called: -m pipelines\.retrain (.*)", done.stdout)
    assert called == (
        "--repository https://example.org/x.git --revision main --work /var/tmp/x --suite sample "
        "--when-busy replace --hours 3 --block pos_tagging"
    )
    assert "webhook: https://example.org/h" in done.stdout, "settings reach retraining by its environment"


def test_it_hands_a_job_in_where_a_server_is_named(checkout: Checkout) -> None:
    checkout.set(RETRAIN_JOB_SERVER="http://127.0.0.1:8265")
    (called,) = re.findall(r"called: (.*)", checkout.tick().stdout)
    assert called.startswith("-m infra.jobs.ray.submit --address http://127.0.0.1:8265 -- --repository ")


@pytest.mark.parametrize("status", [0, 1, 3, 7])
def test_status_is_passed_on(checkout: Checkout, status: int) -> None:
    checkout.ends(status)
    done = checkout.tick()
    assert done.returncode == status
    assert f"ended with status {status}" in done.stdout


def test_only_a_good_tick_is_told_to_node_exporter(checkout: Checkout) -> None:
    folder = checkout.home / "textfiles"
    folder.mkdir()
    checkout.set(RETRAIN_TEXTFILES=str(folder))
    checkout.ends(4)
    checkout.tick()
    assert not list(folder.iterdir())
    checkout.ends(0)
    before = int(time.time())
    checkout.tick()
    (file,) = folder.iterdir()
    kind, value = file.read_text().splitlines()
    assert kind == "# TYPE rnn_tick_success_seconds gauge"
    assert value.startswith('rnn_tick_success_seconds{suite="sample"} ')
    assert int(value.rpartition(" ")[2]) >= before


def test_settings_that_others_may_read_are_refused(checkout: Checkout) -> None:
    checkout.settings.chmod(0o640)
    done = checkout.tick()
    assert done.returncode == 1
    assert "others may read it" in done.stderr
    assert "called" not in done.stdout


@pytest.mark.parametrize("missing", ["RETRAIN_REPOSITORY", "RETRAIN_REVISION", "RETRAIN_WORK", "RETRAIN_SUITE"])
def test_a_missing_setting_is_named(checkout: Checkout, missing: str) -> None:
    checkout.set(**{missing: ""})
    done = checkout.tick()
    assert done.returncode != 0
    assert missing in done.stderr
    assert "called" not in done.stdout


def test_a_log_is_appended_to_and_turned_over(checkout: Checkout) -> None:
    for _ in range(2):
        done = checkout.tick(str(checkout.log))
        assert done.stdout == ""
    assert checkout.log.read_text().count("called: ") == 2
    for number in range(1, 8):
        with checkout.log.open("w") as log:
            log.write(f"log {number}\n")
            log.truncate(10_000_001)
        checkout.tick(str(checkout.log))
    assert checkout.log.read_text().count("called: ") == 1
    old = sorted(checkout.log.parent.glob("retrain.log.*"))
    assert [path.name for path in old] == [f"retrain.log.{n}" for n in range(1, 6)]
    assert [path.read_text()[:6] for path in old] == [f"log {n}\n" for n in (7, 6, 5, 4, 3)]


def test_whoever_ends_it_ends_retraining_and_gets_its_status(checkout: Checkout) -> None:
    (checkout.home / "waits").touch()
    command = [str(checkout.root / "infra/jobs/tick.sh"), str(checkout.settings)]
    with subprocess.Popen(command, env=checkout.environment, stdout=subprocess.PIPE, text=True) as tick:
        while not (checkout.home / "begun").exists():
            time.sleep(0.05)
        tick.send_signal(signal.SIGTERM)
        said, _ = tick.communicate(timeout=60)
    assert tick.returncode == 5
    assert "told to end" in said
    assert "ended with status 5" in said


def test_the_line_for_cron_works_in_its_bare_environment(checkout: Checkout) -> None:
    lines = [line for line in (INFRA / "jobs/cron/crontab").read_text().splitlines() if not line.startswith("#")]
    (line,) = lines
    *when, command = line.split(" ", 5)
    assert when == ["0", "2", "*", "*", "*"]
    assert "%" not in command, "cron ends a command there"
    done = subprocess.run(["/bin/sh", "-c", command], env=checkout.environment, capture_output=True, text=True, cwd="/")
    assert done.returncode == 0, done.stderr
    assert "called: -m pipelines.retrain" in checkout.log.read_text()


@pytest.mark.manifests
def test_units_by_systemd(checkout: Checkout, tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze (Debian's systemd) is not on this machine")
    units = tmp_path / "units"
    units.mkdir()
    for name in ("rnn-retrain.service", "rnn-retrain.timer"):
        shutil.copy(INFRA / "jobs/cron" / name, units)
    environment = BARE | {"HOME": str(checkout.home), "XDG_RUNTIME_DIR": str(tmp_path)}
    command = ["systemd-analyze", "verify", "--user", "--man=no", str(units / "rnn-retrain.timer")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    (units / "rnn-retrain.timer").write_text("[Timer]\nOnCalender=daily\n")
    wrong = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert "OnCalender" in wrong.stderr, "it would have said so"


@pytest.mark.manifests
def test_scripts_by_shellcheck() -> None:
    assert {path.name for path in SHELL} >= {"tick.sh", "serve.sh", "retrain.sbatch"}
    checker = Path(sys.executable).parent / "shellcheck"
    done = subprocess.run(
        [str(checker), "--external-sources", *map(str, SHELL)], capture_output=True, text=True, cwd=ROOT
    )
    assert done.returncode == 0, done.stdout


@pytest.mark.manifests
def test_the_example_of_settings_holds_no_secret() -> None:
    path = INFRA / "jobs/retrain.env.example"
    values = dict(re.findall(r"^#?([A-Z_]+)=(.*)$", path.read_text(), re.MULTILINE))
    assert values["RNN_WEBHOOK"] == ""
    assert not [name for name in values if re.search("PASSWORD|TOKEN|SECRET|KEY", name)]
    assert not any(re.search(r"[\s'\"$]", value) for value in values.values()), "a shell and systemd read the same"
    assert not path.stat().st_mode & 0o111
