"""Lists of captions, `<image>[#<number>]<TAB><caption>` a line, as Flickr8k has them; and images inside of a tar."""

import re
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from rnn_core.errors import DataError

LINE = "<image>[#<number>]<TAB><caption>"
_NUMBER = re.compile(r"#\d+$")


@dataclass(frozen=True)
class Bad:
    where: str
    found: str
    allowed: str
    text: str


@dataclass
class Captions:
    """What a list says, in its order."""

    of: dict[str, list[str]] = field(default_factory=dict)
    """Image: its captions."""
    bad: list[Bad] = field(default_factory=list)
    """Lines that cannot be read."""


def read(path: Path) -> Captions:
    """A list of captions.

    Raises:
        DataError: there is no such file.
    """
    if not path.is_file():
        raise DataError(str(path), "no such file", f"a list with a line {LINE} for each caption")
    found = Captions()
    for number, line in enumerate(path.read_bytes().removeprefix(b"\xef\xbb\xbf").splitlines(), 1):
        if not line.strip():
            continue
        where = f"{path.name}:{number}"
        try:
            name, tab, caption = line.decode().partition("\t")
        except UnicodeDecodeError as error:
            text = line.decode(errors="backslashreplace")
            found.bad.append(Bad(where, f"byte 0x{line[error.start]:02x} is no UTF-8", "UTF-8 text", text))
            continue
        name = _NUMBER.sub("", name.strip())
        if not tab or not name:
            found.bad.append(Bad(where, "no image with a caption", LINE, line.decode()))
        elif not _is_below(name):
            found.bad.append(Bad(where, f"an image {name!r}", "a path below the folder of images", line.decode()))
        else:
            found.of.setdefault(name, []).append(caption.strip())
    return found


@dataclass(frozen=True)
class Member:
    """A file inside of a tar that is not compressed."""

    name: str
    """Without folders."""
    offset: int
    size: int


def members(tar: Path) -> Iterator[Member]:
    """The files of a tar in their order.

    Raises:
        DataError: it is no plain tar, or cut short.
    """
    try:
        with tarfile.open(tar, "r:") as opened:
            for entry in opened:
                if entry.isfile():
                    yield Member(PurePosixPath(entry.name).name, entry.offset_data, entry.size)
    except (tarfile.TarError, OSError) as error:
        raise DataError(str(tar), f"cannot be read ({error})", "a whole tar that is not compressed") from error


def _is_below(name: str) -> bool:
    parts = PurePosixPath(name.replace("\\", "/")).parts
    return parts[0] != "/" and ".." not in parts
