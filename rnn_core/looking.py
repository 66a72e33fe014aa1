"""Whether the CPU may look at where the resets are, to leave out what they do not need.

On a GPU it would have to wait for the answer, which a CUDA graph cannot record, and a choice made by it would be
recorded for good. A flag of the process, not of a thread: autograd's backward passes run in threads of their own.
"""

from collections.abc import Iterator
from contextlib import contextmanager

_allowed = True


def may_look() -> bool:
    return _allowed


@contextmanager
def without_looking() -> Iterator[None]:
    """Here it may not: for work that is recorded, and for the runs before, which must take the same path."""
    global _allowed
    before, _allowed = _allowed, False
    try:
        yield
    finally:
        _allowed = before
