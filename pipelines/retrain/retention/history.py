"""What the last lock files refer to: of each suite, on each branch, and as they lie in the checkout."""

import json
import re
import subprocess
from collections.abc import Sequence
from pathlib import Path

from pipelines import paths
from pipelines.retrain import environment
from pipelines.retrain.commands import complaint
from rnn_core.errors import DataError

MD5 = re.compile(r"md5: ([0-9a-f]{32}(?:\.dir)?)\b")
RUN = re.compile(r'"run_id": "(\w+)"')
LOCKS = ("*dvc.lock", "*.dvc")
SCORES = ("data/scores/*.json",)


class History:
    def __init__(self, checkout: Path, keep: int):
        """
        Args:
            keep: lock files of each suite that count on each branch, tag and experiment, the last ones.
        """
        self._checkout = checkout
        self._commits = self._last(keep)

    def digests(self) -> set[str]:
        """md5 of all that these lock files name, as outputs or as dependencies; a folder's ends in `.dir`."""
        return self._found(MD5, "md5: [0-9a-f]{32}", LOCKS)

    def runs(self) -> set[str]:
        """Ids of the runs that the score files beside them name."""
        return self._found(RUN, '"run_id"', SCORES)

    def _found(self, pattern: re.Pattern[str], rough: str, names: Sequence[str]) -> set[str]:
        """Over all the commits, and the checkout's own files."""
        found = set(pattern.findall(self._git("grep", "-hIE", "--untracked", "-e", rough, "--", *names)))
        for commit in self._commits:
            found |= set(pattern.findall(self._git("grep", "-hIE", "-e", rough, commit, "--", *names)))
        return found

    def _last(self, keep: int) -> list[str]:
        refs = ["HEAD", *self._git("for-each-ref", "--format=%(refname)").split()]
        locks = [paths.stages_file(suite).with_name("dvc.lock").relative_to(paths.root()) for suite in paths.SUITES]
        found: dict[str, None] = {}
        for ref in refs:
            for lock in locks:
                log = self._git("log", f"--max-count={keep}", "--format=%H", ref, "--", lock.as_posix())
                found |= dict.fromkeys(log.split())
        return list(found)

    def _git(self, *arguments: str) -> str:
        command = ["git", *arguments]
        done = subprocess.run(
            command, cwd=self._checkout, env=environment.of_commands(), capture_output=True, text=True, check=False
        )
        if done.returncode > 1:  # 1: grep has found nothing
            raise DataError(str(self._checkout), f"git {arguments[0]}: {complaint(done.stderr)}", "a checkout of git")
        return done.stdout


def listed(manifest: Path) -> set[str]:
    """md5 of the files of a folder, from what DVC keeps of it."""
    return {entry["md5"] for entry in json.loads(manifest.read_text(encoding="utf-8"))}
