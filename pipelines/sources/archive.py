"""Wanted members out of a zip or tar, and nothing else: an archive from elsewhere is not trusted.

Refused: names that leave the folder, links and devices where a file is wanted, a name given twice, sizes other than
the wanted ones (seen before a byte is written), too many entries, encryption, and whatever does not decompress.
"""

import contextlib
import errno
import lzma
import shutil
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import IO

from pipelines.sources.dataset import is_plain
from rnn_core.errors import DataError

ENTRIES = 1_000_000
BROKEN = (zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, EOFError, struct.error, ValueError)


def unpack(archive: Path, folder: Path, wanted: Mapping[str, int], entries: int = ENTRIES) -> None:
    """Unpack the wanted members into `folder`, under their paths in the archive.

    Args:
        archive: a zip, or a tar (plain, gz, bz2, xz).
        folder: where they are put; it is there.
        wanted: path in the archive -> bytes.
        entries: how many members of any kind the archive may have.

    Raises:
        DataError: the archive is corrupt or refused, or lacks a wanted member; some members may have been written.
    """
    try:
        # Tar first: a tar whose last member is a zip looks like a zip from its end.
        if tarfile.is_tarfile(archive):
            found = _untar(archive, folder, wanted, entries)
        elif zipfile.is_zipfile(archive):
            found = _unzip(archive, folder, wanted, entries)
        else:
            raise DataError(str(archive), "neither a zip nor a tar, or corrupt", "a whole archive is wanted")
    except BROKEN as error:
        raise DataError(str(archive), f"corrupt: {error}", "a whole archive is wanted") from error
    except (NotImplementedError, RuntimeError) as error:  # zipfile's words for a method it lacks and for encryption
        raise DataError(str(archive), f"cannot be read: {error}", "a plain archive is wanted") from error
    except OSError as error:
        # The decompressors' own have no number; a wrong offset in the list of a zip makes an invalid seek.
        if error.errno not in (None, errno.EINVAL):
            raise
        raise DataError(str(archive), f"corrupt: {error}", "a whole archive is wanted") from error
    if lacking := set(wanted) - found:
        raise DataError(str(archive), "members are missing", f"wanted are {', '.join(sorted(lacking))}")


def _unzip(archive: Path, folder: Path, wanted: Mapping[str, int], entries: int) -> set[str]:
    with zipfile.ZipFile(archive) as opened:
        gate = _Gate(archive, wanted, entries)
        # All names first: the list stands at the end of a zip, so that a bad one is seen before anything is written.
        members = [
            member for member in opened.infolist() if gate.admits(member.filename, member.file_size, _is_file(member))
        ]
        for member in members:
            with opened.open(member) as content:
                _write(content, folder / member.filename)
    return gate.found


def _is_file(member: zipfile.ZipInfo) -> bool:
    """Whether a zip's entry is a regular file; the upper half of its attributes is the mode where Unix made it."""
    kind = stat.S_IFMT(member.external_attr >> 16)
    return not member.is_dir() and kind in (0, stat.S_IFREG)


def _untar(archive: Path, folder: Path, wanted: Mapping[str, int], entries: int) -> set[str]:
    gate = _Gate(archive, wanted, entries)
    with tarfile.open(archive) as opened:
        for member in opened:
            if gate.admits(member.name, member.size, member.isreg() and not member.issparse()):
                with contextlib.closing(_content(opened, member)) as content:
                    _write(content, folder / member.name)
    return gate.found


def _content(opened: tarfile.TarFile, member: tarfile.TarInfo) -> IO[bytes]:
    content = opened.extractfile(member)
    assert content is not None, "a regular file has contents"
    return content


class _Gate:
    """Decides entry by entry what comes in, and remembers what has."""

    def __init__(self, archive: Path, wanted: Mapping[str, int], entries: int):
        self._archive, self._wanted, self._entries, self._seen = archive, wanted, entries, 0
        self.found: set[str] = set()

    def admits(self, name: str, size: int, is_file: bool) -> bool:
        """Whether an entry is wanted; DataError where it may not be in an archive at all."""
        self._seen += 1
        if self._seen > self._entries:
            raise DataError(str(self._archive), f"more than {self._entries} entries", "a smaller archive is wanted")
        where = f"{self._archive}!{name}"
        if not is_plain(name) and name not in (".", "./"):
            raise DataError(where, "the name leaves the folder", "relative names without `..` are allowed")
        if name not in self._wanted:
            return False
        if not is_file:
            raise DataError(where, "a link, folder or device", "a regular file is wanted")
        if name in self.found:
            raise DataError(where, "the name stands there twice", "one file of that name is wanted")
        if size != self._wanted[name]:
            raise DataError(where, f"{size} bytes", f"wanted are {self._wanted[name]} bytes")
        self.found.add(name)
        return True


def _write(content: IO[bytes], path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        shutil.copyfileobj(content, file)
