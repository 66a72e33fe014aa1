"""How a tick may end, and the exit status that says so to a scheduler."""

from enum import Enum


class Outcome(Enum):
    """2 is left to a wrong command line."""

    DONE = 0
    """All is up to date, pushed and told; also where nothing was to do."""
    FAILED = 1
    """A stage failed, or what stands before them: the setting, the repository, the remote that data come from."""
    BUSY = 3
    """Another tick is at work in the work folder: nothing was done."""
    OVERDUE = 4
    """The time limit; the next tick goes on."""
    STOPPED = 5
    """A signal, or another tick that replaces this one; the next tick goes on."""
    NOT_STORED = 6
    """All ran, but a remote or the tracking server has not taken all of it."""
    NOT_TOLD = 7
    """All ran and is stored, but the webhook did not take the summary."""

    @property
    def words(self) -> str:
        return self.name.lower().replace("_", " ")


class Stopped(Exception):
    """A signal asks the tick to end."""


class Overdue(Exception):
    """The time limit."""


class CommandFailed(Exception):
    """What git or DVC said, as the reason of an outcome."""
