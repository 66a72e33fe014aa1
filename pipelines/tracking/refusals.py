"""What a server refuses for good, such as a name with a sign that it does not allow: told once, left out, and the rest
goes on. A server that is away, busy or wants another user is another matter: that is tried again, or told by
`TrackingError`.
"""

import sys
from collections.abc import Callable, Sequence
from functools import partial
from typing import Protocol, TypeVar

from mlflow.exceptions import MlflowException
from requests import HTTPError

AGAIN = (401, 403, 404, 408, 409, 425, 429, 499)
"""Of 400 to 499: what another time, another user or a new run may change."""


class Named(Protocol):
    @property
    def key(self) -> str: ...


Item = TypeVar("Item", bound=Named)


def refused(error: MlflowException | HTTPError) -> bool:
    """Whether the same request would be refused again."""
    if isinstance(error, HTTPError):
        status = error.response.status_code if error.response is not None else 500
    else:
        status = error.get_http_status_code()
    return 400 <= status < 500 and status not in AGAIN


def send(request: Callable[[Sequence[Item]], object], items: Sequence[Item], whose: str) -> int:
    """All items in one request; where that is refused, one for each name. Returns how many were taken.

    Args:
        whose: shown with what is refused.
    """
    return len(items) if attempt(lambda: request(items)) else by_name(request, items, whose)


def by_name(request: Callable[[Sequence[Item]], object], items: Sequence[Item], whose: str) -> int:
    """A request for each name; see `send`."""
    taken = 0
    for key in dict.fromkeys(item.key for item in items):
        same = [item for item in items if item.key == key]
        taken += len(same) if attempt(partial(request, same), f"{whose}: {key}") else 0
    return taken


def attempt(request: Callable[[], object], what: str | None = None) -> bool:
    """Whether the server took it; a refusal is told under the name `what`, once in a process.

    Raises:
        MlflowException, HTTPError: anything but a refusal.
    """
    try:
        request()
    except (MlflowException, HTTPError) as error:
        if not refused(error):
            raise
        if what is not None and what not in _told:
            _told.add(what)
            why = (str(error).strip().splitlines() or ["no reason given"])[0][:300]
            print(f"tracking {what}: refused by the server and left out: {why}", file=sys.stderr, flush=True)
        return False
    return True


_told: set[str] = set()
