"""The tick's clone: code and params of the wanted revision, `dvc.lock` and scores of the last tick, and back.

The branch `retrain/<suite>` holds a commit a tick. Its tree is the revision's with the suite's new `dvc.lock` and score
files; its parents are the tick before and, where that does not contain it yet, the revision: so it can be merged.
"""

import re
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

import yaml

from pipelines import files, paths
from pipelines.retrain import carried, environment
from pipelines.retrain.commands import Commands, complaint
from pipelines.retrain.outcome import CommandFailed
from pipelines.retrain.settings import Settings
from rnn_core.errors import ConfigError

AUTHOR = ("-c", "user.name=retrain", "-c", "user.email=retrain@localhost")
"""Who commits, whatever the machine says of its user."""

COMPLAINTS = ("fatal:", "remote:", "error:", "!")
"""How lines of git begin that say why."""


class Clone:
    def __init__(self, settings: Settings, commands: Commands):
        self._settings, self._commands = settings, commands
        self.folder = settings.clone
        self._own = f"refs/heads/{settings.branch}"
        self._theirs = f"refs/remotes/origin/{settings.branch}"

    def checkout(self) -> str:
        """The wanted revision's files, with the state that the last tick left. Returns the commit.

        Each step may be repeated: what a killed tick left half done is done again.

        Raises:
            CommandFailed: the repository cannot be read.
            ConfigError: it has no such revision, or the clone is another one's.
        """
        self._fetch()
        commit = self._commit()
        # Of a killed git; no other one is at work, as the tick has its turn.
        (self.folder / ".git/index.lock").unlink(missing_ok=True)
        self._git("checkout", "--quiet", "--force", "--detach", commit)
        self._take_state(commit)
        return commit

    def commit(self, tick: str) -> str | None:
        """The suite's state as one commit of the branch, here. Returns it; None where nothing has changed."""
        message = f"Retrained {self._settings.suite}: tick {tick}"
        head, tip = self._git("rev-parse", "HEAD"), self._tip()
        tree = self._tree(head)
        if tree == self._git("rev-parse", f"{tip or head}^{{tree}}"):
            return None
        parents = [tip] if tip else []
        if not tip or not self._contains(tip, head):
            parents.append(head)
        options = [word for parent in parents for word in ("-p", parent)]
        commit = self._git(*AUTHOR, "commit-tree", tree, *options, "-m", message)
        self._git("update-ref", self._own, commit)
        return commit

    def push(self) -> None:
        """The branch to the repository, where it lacks commits.

        Raises:
            CommandFailed: the repository does not take it.
        """
        tip = self._tip()
        if tip is not None and tip != self._known(self._theirs):
            self._talk("push", "--quiet", "origin", f"{tip}:refs/heads/{self._settings.branch}")

    def blocks(self) -> tuple[str, ...]:
        """Those that the tick is for.

        Raises:
            ConfigError: the revision does not have them, or its params cannot be read.
        """
        file = self.folder / paths.params_file(self._settings.suite).relative_to(paths.root())
        try:
            known = tuple(yaml.safe_load(file.read_text(encoding="utf-8"))["blocks"])
        except (OSError, yaml.YAMLError, KeyError, TypeError) as error:
            raise ConfigError(str(file), f"no blocks: {error}", "a params file of this project") from error
        if unknown := [block for block in self._settings.blocks if block not in known]:
            raise ConfigError("--block", f"no {', '.join(unknown)} in {file.name}", f"there are {', '.join(known)}")
        return self._settings.blocks or known

    def scores(self) -> dict[str, Path]:
        """Score files that there are, by block."""
        folder = self.folder / "data/scores" / self._settings.suite
        found = {block: folder / f"{block}.json" for block in self.blocks()}
        return {block: path for block, path in found.items() if path.exists()}

    def _fetch(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self._git("init", "--quiet")
        source = self._settings.repository
        if Path(source).is_dir():
            source = str(Path(source).resolve())
        known = self._git("config", "--default", "", "remote.origin.url")
        if known and known != source:
            allowed = "a work folder for each repository; or remove its `repository`, with all trained in it"
            raise ConfigError("--work", f"{self.folder} is a clone of {known}", allowed)
        self._git("config", "remote.origin.url", source)
        self._git("config", "remote.origin.fetch", "+refs/heads/*:refs/remotes/origin/*")
        self._talk("fetch", "--quiet", "--prune", "--tags", "--force", "origin")

    def _commit(self) -> str:
        """The wanted revision: a branch of the repository, a tag or a commit."""
        wanted = self._settings.revision
        names = [f"refs/remotes/origin/{wanted}", f"refs/tags/{wanted}"]
        names += [wanted] if re.fullmatch(r"[0-9a-f]{7,40}", wanted) else []
        for name in names:
            if found := self._known(name):
                return found
        branches = self._git("for-each-ref", "--format=%(refname:lstrip=3)", "refs/remotes/origin").split()
        allowed = f"a branch ({', '.join(branches) or 'there is none'}), a tag or a commit"
        raise ConfigError("--revision", f"no {wanted} in {self._settings.repository}", allowed)

    def _take_state(self, commit: str) -> None:
        """`dvc.lock` and scores of the last tick, but for files that the revision has changed since: those on the
        branch, or those of a later tick that could not push it."""
        tip = self._tip()
        with tempfile.TemporaryDirectory() as aside:
            there = Path(aside) / "state"
            if base := carried.newer(self._settings.suite, self._tick(tip), there):
                changed = self._changed(base, commit)
                for path in sorted(path for path in there.rglob("*") if path.is_file()):
                    name = path.relative_to(there).as_posix()
                    if name != carried.ABOUT and name not in changed:
                        files.write_text(self.folder / name, path.read_text(encoding="utf-8"))
                return
        if tip is None:
            return
        names = self._git("ls-tree", "-r", "--name-only", tip, "--", *self.state).splitlines()
        base = self._git("merge-base", tip, commit, allowed=(0, 1))
        if kept := sorted(set(names) - self._changed(base, commit)):
            self._git("checkout", "--quiet", tip, "--", *kept)

    def _changed(self, base: str, commit: str) -> set[str]:
        """Files that differ between the two; none where the first is not known here."""
        return set(self._git("diff", "--name-only", base, commit).splitlines()) if self._known(base) else set()

    def _tick(self, tip: str | None) -> str:
        """Whose commit the branch ends with; a merge by hand is passed by."""
        titles = self._git("log", "--format=%s", tip) if tip else ""
        found = re.search(r": tick (\S+)$", titles, re.MULTILINE)
        return found.group(1) if found else ""

    def _tree(self, head: str) -> str:
        """Of the revision with the state that lies in the folder."""
        index = self.folder / ".git/retrain-index"
        self._git("read-tree", head, index=index)
        present = [name for name in self.state if (self.folder / name).exists()]
        if present:
            self._git("add", "--force", "--all", "--", *present, index=index)
        tree = self._git("write-tree", index=index)
        index.unlink()
        return tree

    @property
    def state(self) -> tuple[str, str]:
        """Names of the files and folders that a tick changes: `dvc.lock` and scores."""
        lock = paths.stages_file(self._settings.suite).with_name("dvc.lock").relative_to(paths.root())
        return lock.as_posix(), f"data/scores/{self._settings.suite}"

    def _tip(self) -> str | None:
        """The branch's last commit: the repository's, unless ours goes on from it (it could not be pushed)."""
        own, theirs = self._known(self._own), self._known(self._theirs)
        if own and theirs and not self._contains(own, theirs):
            return theirs
        return own or theirs

    def _contains(self, commit: str, ancestor: str) -> bool:
        return self._git("merge-base", ancestor, commit, allowed=(0, 1)) == ancestor

    def _known(self, name: str) -> str | None:
        return self._git("rev-parse", "--verify", "--quiet", f"{name}^{{commit}}", allowed=(0, 1, 128)) or None

    def _talk(self, *arguments: str) -> None:
        """git with the repository: logged, and ended with the tick.

        Raises:
            CommandFailed: with what git said.
        """
        ended = self._commands.run(["git", *arguments], self.folder)
        if ended.status:
            lines = [line.strip() for line in ended.said.splitlines()]
            told = "; ".join(line for line in lines if line.startswith(COMPLAINTS))
            raise CommandFailed(f"git {arguments[0]}: {told[:500] or ended.complaint}")

    def _git(self, *arguments: str, allowed: Sequence[int] = (0,), index: Path | None = None) -> str:
        """What git prints.

        Raises:
            CommandFailed: with what it said.
        """
        variables = environment.of_commands() | ({} if index is None else {"GIT_INDEX_FILE": str(index)})
        command = ["git", *arguments]
        done = subprocess.run(
            command, cwd=self.folder, env=variables, stdin=subprocess.DEVNULL, capture_output=True, text=True
        )
        if done.returncode not in allowed:
            verb = next(word for word in arguments if not word.startswith("-") and "=" not in word)
            raise CommandFailed(f"git {verb}: {complaint(done.stderr)}")
        return done.stdout.strip() if done.returncode == 0 else ""
