"""The errors that a user sees: each says where, what was found, and what is allowed.

Broken invariants of our own are `assert`; these two are for mistakes in settings and in data.
"""

from typing import Any


class UserError(Exception):
    """A mistake that the user can mend. Never raised itself: see the two below."""

    def __init__(self, where: str, found: str, allowed: str):
        """
        Args:
            where: file:line, dotted key or shard that is wrong.
            found: what stands there.
            allowed: what may stand there, or what to do.
        """
        self.where, self.found, self.allowed = where, found, allowed
        super().__init__(f"{where}: {found}; {allowed}")

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.where, self.found, self.allowed)


class ConfigError(UserError):
    """A setting is unknown, of the wrong type, or does not fit another one."""


class DataError(UserError):
    """A data file is missing, damaged, of another format, or holds what it may not."""
