"""The user's own files, copied as they are: what a training was made from stays the same whatever becomes of them."""

import os
import shutil
import stat
from pathlib import Path

from rnn_core.errors import DataError

RESERVED = ("source.json", "limits.json")
"""Names that `fetch` and the samples give a meaning."""


def copy(source: Path, folder: Path) -> None:
    """Copy a file, or a folder with its structure, into `folder`.

    Names that begin with a dot are left out. Links are followed to files inside the folder, and to nothing else.

    Raises:
        DataError: `source` is missing or has no files; one of them is empty, no regular file, a link that leads out,
            or has a reserved name.
    """
    chosen = _files(source)
    for name, file in chosen.items():
        if name in RESERVED:
            raise DataError(str(file), "the name is taken", f"give the file a name other than {', '.join(RESERVED)}")
        _check(file)
    for name, file in chosen.items():
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, target)


def _files(source: Path) -> dict[str, Path]:
    """Relative name -> file, sorted by name."""
    if not source.exists():
        raise DataError(str(source), "no such file or folder", "`data.from` names a file or folder with raw data")
    if not source.is_dir():
        return {source.name: source}
    found: dict[str, Path] = {}
    for folder, names, files in os.walk(source, onerror=_raise):
        names[:] = [name for name in names if not name.startswith(".")]
        for name in names:
            if Path(folder, name).is_symlink():
                raise DataError(str(Path(folder, name)), "a link to a folder", "a folder itself is wanted")
        for name in files:
            if not name.startswith("."):
                found[Path(folder, name).relative_to(source).as_posix()] = _inside(Path(folder, name), source)
    if not found:
        raise DataError(str(source), "a folder without files", "at least one file with raw data is wanted")
    return dict(sorted(found.items()))


def _inside(file: Path, source: Path) -> Path:
    if file.is_symlink() and not file.resolve().is_relative_to(source.resolve()):
        raise DataError(str(file), f"a link that leads out of the folder, to {file.resolve()}", "a file is wanted")
    return file


def _check(file: Path) -> None:
    if not file.exists():
        raise DataError(str(file), "a link that leads nowhere", "a file is wanted")
    status = file.stat()
    if not stat.S_ISREG(status.st_mode):
        raise DataError(str(file), "no regular file", "files with raw data are allowed")
    if status.st_size == 0:
        raise DataError(str(file), "an empty file", "raw data are wanted; take the file out of the folder")


def _raise(error: OSError) -> None:
    raise error
