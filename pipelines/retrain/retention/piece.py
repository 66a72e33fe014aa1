"""Something that may go."""

import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

FRESH_SECONDS = 24 * 3600.0
"""What is younger may belong to a command at work that has not told of it yet."""


@dataclass(frozen=True, kw_only=True)
class Piece:
    kind: str
    name: str
    size: int
    """Bytes that go with it here."""
    remove: Callable[[], object]


def of(kind: str, path: Path, root: Path) -> Piece:
    """A file or a folder below a checkout."""
    parts = [part for part in path.rglob("*") if part.is_file()] if path.is_dir() else [path]
    return Piece(
        kind=kind,
        name=path.relative_to(root).as_posix(),
        size=sum(part.lstat().st_size for part in parts),
        remove=lambda: shutil.rmtree(path) if path.is_dir() else path.unlink(),
    )


def fresh(path: Path) -> bool:
    """Whether it has just come about, or got its name."""
    about = path.stat()
    return max(about.st_mtime, about.st_ctime) > time.time() - FRESH_SECONDS
