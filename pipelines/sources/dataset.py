"""One entry of the catalogue: which files a public data set has, what they must contain, where they may be had.

What is checked is the content wanted in the end. An archive is only a way to get several files at once: its own bytes
may differ from one place to the next, those of its members may not.
"""

import re
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import yaml

from pipelines import files
from rnn_core.config import from_mapping
from rnn_core.errors import ConfigError, DataError


@dataclass(frozen=True, kw_only=True)
class Content:
    """Exact contents of a file."""

    bytes: int
    sha256: str

    def __post_init__(self) -> None:
        if self.bytes < 1:
            raise ValueError(f"bytes is {self.bytes}, wanted is a whole number from 1 on")
        if not re.fullmatch(r"[0-9a-f]{64}", self.sha256):
            raise ValueError(f"sha256 is {self.sha256!r}, wanted are 64 digits 0-9 a-f")

    def __str__(self) -> str:
        return f"{self.bytes} bytes with sha256 {self.sha256}"

    def check(self, path: Path, where: str) -> None:
        """Compare the file at `path`; `where` says where it came from.

        Raises:
            DataError: it holds something else.
        """
        found = files.sha256(path)
        if found != self.sha256:
            raise DataError(where, f"{path.stat().st_size} bytes with sha256 {found}", f"wanted are {self}")


@dataclass(frozen=True, kw_only=True)
class File(Content):
    """A wanted file, and where it may be downloaded."""

    urls: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_urls(self.urls)


@dataclass(frozen=True, kw_only=True)
class Archive:
    """A zip or tar that holds wanted files."""

    members: dict[str, str] = field(default_factory=dict)
    """Wanted file -> its path in the archive."""
    folder: str | None = None
    """Instead of members: the archive holds every wanted file, under its name below this folder of it (`.`: all)."""
    urls: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        _check_urls(self.urls)
        if bool(self.members) == (self.folder is not None):
            raise ValueError("an archive has members or a folder, one of the two")


@dataclass(frozen=True, kw_only=True)
class Dataset:
    title: str
    licence: str
    citation: str
    homepage: str
    note: str
    files: dict[str, File]
    archives: dict[str, Archive] = field(default_factory=dict)
    mirror: str | None = None
    """Its folder in the mirror, where several entries are of one; None is the data set's own name."""

    def __post_init__(self) -> None:
        if self.mirror is not None and not is_plain(self.mirror):
            raise ValueError(f"mirror is {self.mirror!r}, the name of a folder is wanted")
        if not self.files:
            raise ValueError("files is empty, wanted is at least one file")
        inside = [path for key in self.archives for path in self.members(key).values()]
        for name in [*self.files, *self.archives, *inside]:
            if not is_plain(name):
                raise ValueError(f"{name!r} is no relative path without `..`")
        for archive in self.archives.values():
            if stray := set(archive.members) - set(self.files):
                raise ValueError(f"members {', '.join(sorted(stray))} do not stand in files")

    def members(self, archive: str) -> dict[str, str]:
        """Wanted file -> its path in that archive."""
        held = self.archives[archive]
        if held.folder is None:
            return held.members
        return {name: (PurePosixPath(held.folder) / name).as_posix() for name in self.files}

    @property
    def urls(self) -> tuple[str, ...]:
        """All public addresses."""
        sources = [source.urls for source in self.files.values()] + [held.urls for held in self.archives.values()]
        return tuple(url for urls in sources for url in urls)


def load(path: Path) -> Dataset:
    """Read an entry; the data set is named like the file.

    Raises:
        ConfigError: no such entry, no YAML, unknown or missing key, wrong type or value.
    """
    where = f"{path.parent.name}/{path.name}"
    if not path.is_file():
        known = ", ".join(sorted(p.stem for p in path.parent.glob("*.yaml"))) or "nothing"
        raise ConfigError(where, "no such entry of the catalogue", f"there are {known}")
    try:
        entry = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(where, f"no YAML: {' '.join(str(error).split())}", "mend the file") from error
    return from_mapping(Dataset, entry, where)


def is_plain(name: str) -> bool:
    """Whether a name stays below the folder that it is put into; `\\` counts as `/`, as some archives have it."""
    parts = PurePosixPath(name.replace("\\", "/")).parts
    return bool(parts) and parts[0] != "/" and ".." not in parts


def _check_urls(urls: tuple[str, ...]) -> None:
    for url in urls:
        if not re.match(r"https?://[^/\s]+/\S+$", url):
            raise ValueError(f"{url!r} is no http or https address")
