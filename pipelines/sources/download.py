"""One file over HTTP, whole or not at all: resumed where it broke off, tried again where that may help, verified.

What has come so far lies in `<target>.part`; the name `target` appears only for a whole and verified file.
"""

import http.client
import os
import re
import ssl
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from pipelines.sources.dataset import Content
from pipelines.sources.progress import Progress
from rnn_core.errors import DataError

BLOCK = 1 << 16
ABSENT = (404, 410)
PASSING = (408, 425, 429, 500, 502, 503, 504)


@dataclass(frozen=True, kw_only=True)
class Patience:
    """How long an address is tried."""

    attempts: int = 4
    pause: float = 0.5
    """Seconds before the second attempt; doubled before each further one."""
    timeout: float = 30.0
    """Seconds without a byte after which an attempt has failed."""


class Missing(DataError):
    """The place answers, and does not have the file."""


class _Passing(Exception):
    """A failure that another attempt may mend; its text says what was found."""


def download(url: str, target: Path, wanted: Content | None, patience: Patience) -> None:
    """Download `url` to `target`.

    Args:
        url: http(s) address.
        target: where the file is put; its folder is there.
        wanted: what the file must contain; None for an archive, whose members are checked instead.
        patience: how often and how long to try.

    Raises:
        Missing: the server has no such file.
        DataError: it cannot be reached, goes on failing, closes early, or sends other contents.
    """
    part = target.with_name(f"{target.name}.part")
    failure = _Passing("not tried")
    for attempt in range(patience.attempts):
        if attempt:
            time.sleep(patience.pause * 2 ** (attempt - 1))
        try:
            _attempt(url, part, wanted, patience.timeout)
        except _Passing as again:
            failure = again
        else:
            os.replace(part, target)
            return
    raise DataError(url, f"{failure} ({patience.attempts} attempts)", "check the network; what has come is kept")


def _attempt(url: str, part: Path, wanted: Content | None, timeout: float) -> None:
    """Get what `part` lacks and check the whole."""
    before = part.stat().st_size if part.exists() else 0
    if wanted is None or before < wanted.bytes:
        _receive(url, part, before, wanted, timeout)
    if wanted is None:
        return
    try:
        wanted.check(part, url)
    except DataError as error:
        part.unlink()
        if before:  # the old beginning may be the wrong one
            raise _Passing(error.found) from error
        raise


def _receive(url: str, part: Path, before: int, wanted: Content | None, timeout: float) -> None:
    """Append the answer to `part`, or write it anew where the server did not honour the range."""
    with _open(url, part, before, timeout) as answer:
        have, total = _extent(answer, part, before)
        if wanted is not None and total not in (None, wanted.bytes):
            raise DataError(url, f"the server has {total} bytes", f"wanted are {wanted}")
        with part.open("ab" if have else "wb") as file, Progress(url.rsplit("/", 1)[-1], total, have) as progress:
            while block := _read(answer):
                file.write(block)
                have += len(block)
                progress.advance(len(block))
                if wanted is not None and have > wanted.bytes:
                    break
    whole = total if total is not None or wanted is None else wanted.bytes
    if whole is not None and have < whole:
        raise _Passing(f"the server closed after {have} of {whole} bytes")


def _open(url: str, part: Path, before: int, timeout: float) -> http.client.HTTPResponse:
    request = urllib.request.Request(url, headers={"User-Agent": "recurrent-training"})
    if before:
        request.add_header("Range", f"bytes={before}-")
    try:
        answer: http.client.HTTPResponse = urllib.request.urlopen(request, timeout=timeout)
        return answer
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == 416:  # nothing lies behind what we have: it is not a beginning of this file
            part.unlink()
            raise _Passing(f"HTTP 416, {before} bytes are no beginning of it") from error
        found = f"HTTP {error.code} {error.reason}"
        if error.code in PASSING:
            raise _Passing(found) from error
        kind = Missing if error.code in ABSENT else DataError
        raise kind(url, found, "an address that gives the file is wanted") from error
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", error)
        if isinstance(reason, ssl.SSLCertVerificationError):
            raise DataError(url, f"no trust in the server: {reason}", "mend this machine's certificates") from error
        raise _Passing(f"no answer: {reason or type(error).__name__}") from error


def _extent(answer: http.client.HTTPResponse, part: Path, before: int) -> tuple[int, int | None]:
    """Bytes that the answer goes on from, and bytes of the whole file, None where the server does not say."""
    length = answer.headers.get("Content-Length")
    if answer.status != 206:
        return 0, int(length) if length and length.isdigit() else None
    span = answer.headers.get("Content-Range", "")
    match = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", span)
    if not match or int(match[1]) != before:
        part.unlink()
        raise _Passing(f"the server sent the range {span!r} where bytes {before}- were asked for")
    return before, None if match[2] == "*" else int(match[2])


def _read(answer: http.client.HTTPResponse) -> bytes:
    try:
        return answer.read1(BLOCK)
    except (OSError, http.client.HTTPException) as error:
        raise _Passing(f"the connection broke: {error or type(error).__name__}") from error
