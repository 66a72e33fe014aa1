"""One tick: clone, pull, reproduce, store, compare, tell."""

import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pipelines import paths, shards, tracking
from pipelines.retrain import carried, environment, record, results, stages, turn, webhook
from pipelines.retrain.clone import Clone
from pipelines.retrain.commands import Commands, signals, tell
from pipelines.retrain.journal import Journal, open_for
from pipelines.retrain.outcome import CommandFailed, Outcome, Overdue, Stopped
from pipelines.retrain.settings import Settings
from pipelines.retrain.summary import Scores, Summary
from rnn_core.errors import UserError

CUT_SHORT = (Outcome.STOPPED, Outcome.OVERDUE)
"""What has been done is committed here, and pushed by the next tick."""


def run(settings: Settings) -> Outcome:
    """A tick to its end, its summary on the terminal, in its folder, on the tracking server and sent."""
    environment.enter(settings.work)
    try:
        with turn.taken(settings.work, settings.when_busy) as held:
            tick = Tick(settings, open_for(settings), held)
            with signals():
                tick.work()
            return tick.finish()
    except turn.Busy as busy:
        print(f"retrain of {settings.suite}: {Outcome.BUSY.words}: another tick is at work: {busy}")
        return Outcome.BUSY


class Tick:
    """What has come of it so far."""

    def __init__(self, settings: Settings, journal: Journal, held: turn.Turn):
        self._settings, self._journal = settings, journal
        self._began = time.monotonic()
        deadline = None if settings.hours is None else self._began + settings.hours * 3600
        self._commands = Commands(journal.log, held.file, deadline, held.tell)
        self._clone = Clone(settings, self._commands)
        self._outcome, self._reason, self._notes = Outcome.DONE, "", list[str]()
        self._commit: str | None = None
        self._state: str | None = None
        self._scores: dict[str, Scores] = {}
        self._trained: list[dict[str, Any]] = []
        self._run: str | None = None

    def work(self) -> None:
        """All that takes time. Whatever goes wrong in it is an outcome."""
        try:
            self._reproduce()
            self._store()
        except Stopped as stopped:
            self._ends(Outcome.STOPPED, f"by {stopped}")
        except Overdue:
            self._ends(Outcome.OVERDUE, f"after {self._settings.hours:g} hours")
        except (UserError, CommandFailed, OSError) as error:
            self._ends(Outcome.FAILED, str(error))
        if self._outcome in CUT_SHORT and self._commit:
            self._attempt(Outcome.NOT_STORED, self._keep)

    def finish(self) -> Outcome:
        """The summary, wherever it goes."""
        self._attempt(Outcome.FAILED, self._gather)
        self._attempt(Outcome.FAILED, lambda: self._journal.summary(self._summary()))
        self._attempt(Outcome.NOT_STORED, self._record)
        if address := environment.webhook():
            self._attempt(Outcome.NOT_TOLD, lambda: webhook.send(address, self._summary()))
        self._attempt(Outcome.FAILED, lambda: self._journal.summary(self._summary()))
        self._attempt(Outcome.FAILED, self._journal.end)
        tell(f"\n{self._summary().as_text()}")
        return self._outcome

    def _reproduce(self) -> None:
        settings, clone = self._settings, self._clone
        self._commit = clone.checkout()
        blocks = clone.blocks()
        if self._journal.standings is None and (found := self._standings(blocks)) is not None:
            self._journal.note(found)
        options = ["--keep-going"]
        if shards.remote_address() is not None:
            self._commands.dvc(clone.folder, "pull", "--run-cache", "--allow-missing", *self._targets())
            options.append("--pull")
        ended = self._commands.run(reproducing(settings, *options), clone.folder)
        if ended.status:
            failed = [name for name, _ in stages.read(ended.said).failed]
            self._ends(Outcome.FAILED, ", ".join(failed) or ended.complaint)

    def _store(self) -> None:
        """Data and cache to the DVC remote, then the state that refers to them to the repository."""
        self._keep()
        stored = True
        if shards.remote_address() is not None:
            push = ["push", "--run-cache", *self._targets()]
            stored = self._attempt(Outcome.NOT_STORED, lambda: self._commands.dvc(self._clone.folder, *push))
        else:
            self._notes.append("no DVC remote: data and cache stay in the work folder")
        pushed = self._settings.push and stored and self._attempt(Outcome.NOT_STORED, self._clone.push)
        if self._state is not None and stored and not pushed:
            self._attempt(Outcome.NOT_STORED, self._carry)

    def _carry(self) -> None:
        suite, commit = self._settings.suite, str(self._commit)
        carried.put(suite, self._journal.name, commit, self._clone.folder, self._clone.state)

    def _keep(self) -> None:
        self._state = self._clone.commit(self._journal.name)

    def _targets(self) -> list[str]:
        """For DVC: the suite's stages, or all that the named blocks' last ones stand on."""
        file = paths.stages_file(self._settings.suite).relative_to(paths.root()).as_posix()
        blocks = [f"{file}:register@{block}" for block in self._settings.blocks]
        return ["--with-deps", *blocks] if blocks else [file]

    def _standings(self, blocks: Sequence[str]) -> dict[str, tracking.Standing] | None:
        """How the models stand; a server that does not say is a note."""
        try:
            return results.standings(self._settings.suite, blocks)
        except tracking.TrackingError as error:
            self._notes.append(str(error))
            return None

    def _gather(self) -> None:
        """Scores and cost, once there is a checkout."""
        if self._commit is None:
            return
        suite, clone = self._settings.suite, self._clone
        after = self._standings(clone.blocks()) or {}
        self._scores = results.scores(clone.scores(), self._journal.standings or after, after)
        self._trained = results.trained(clone.folder / "data/runs" / suite, self._journal.began)

    def _record(self) -> None:
        self._run = tracking.connect().tick(record.of(self._summary(), self._trained, self._journal.folder))

    def _attempt(self, otherwise: Outcome, action: Callable[[], object]) -> bool:
        """Whether it went well; where it did not, the tick goes on, and its outcome says so."""
        try:
            action()
        except (UserError, CommandFailed, OSError) as error:
            self._ends(otherwise, str(error))
            return False
        return True

    def _ends(self, outcome: Outcome, reason: str) -> None:
        """The first thing that went wrong is the outcome, the others are notes."""
        if self._outcome is Outcome.DONE:
            self._outcome, self._reason = outcome, reason
        else:
            self._notes.append(reason)

    def _summary(self) -> Summary:
        settings, now = self._settings, datetime.now(UTC)
        log = self._journal.log
        return Summary(
            tick=self._journal.name,
            outcome=self._outcome,
            reason=self._reason,
            repository=settings.repository,
            revision=settings.revision,
            suite=settings.suite,
            blocks=settings.blocks,
            began=self._journal.began,
            ended=now.isoformat(timespec="seconds"),
            seconds=(now - datetime.fromisoformat(self._journal.began)).total_seconds(),
            attempts=self._journal.attempts,
            commit=self._commit,
            state=self._state,
            stages=stages.read(log.read_text(encoding="utf-8", errors="replace")) if log.exists() else stages.Stages(),
            scores=self._scores,
            trainings=tuple(run["training_id"] for run in self._trained),
            run=self._run,
            core_seconds=results.held(self._trained, "core_seconds"),
            gpu_seconds=results.held(self._trained, "gpu_seconds"),
            notes=tuple(dict.fromkeys(self._notes)),
        )


def reproducing(settings: Settings, *options: str) -> list[str]:
    """The command that brings the suite, or the named blocks, up to date in the clone."""
    blocks = [word for block in settings.blocks for word in ("--block", block)]
    return [sys.executable, "-m", "pipelines.repro", "--suite", settings.suite, *blocks, *options]


def look(settings: Settings) -> Outcome:
    """Say what a tick would run: the clone is brought to the revision, and nothing else happens."""
    environment.enter(settings.work)
    try:
        with turn.taken(settings.work, settings.when_busy) as held, tempfile.TemporaryDirectory() as folder:
            commands = Commands(Path(folder) / "log.txt", held.file, None, held.tell)
            clone = Clone(settings, commands)
            clone.checkout()
            clone.blocks()
            ended = commands.run(reproducing(settings, "--dry-run"), clone.folder)
    except turn.Busy as busy:
        print(f"retrain of {settings.suite}: {Outcome.BUSY.words}: another tick is at work: {busy}")
        return Outcome.BUSY
    except CommandFailed as failed:
        print(f"retrain of {settings.suite}: {Outcome.FAILED.words}: {failed}")
        return Outcome.FAILED
    would = stages.read(ended.said).ran
    print(f"\nwould run   {', '.join(would) or 'nothing'}")
    return Outcome.FAILED if ended.status else Outcome.DONE
