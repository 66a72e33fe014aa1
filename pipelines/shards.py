"""Arrow files that a worker's machine does not have: fetched by content from the DVC remote, kept below a bound.

A file in the cache is named by the md5 that DVC knows it by, verified when it comes, and shared by all workers of the
machine. A training sees a folder of links to them, which it holds as long as it lasts; what nobody holds makes room.
"""

import configparser
import contextlib
import hashlib
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote, urlencode, urlsplit

from pipelines import dvc_lock, files, locks, paths
from pipelines.storage import PIECE, Storage
from rnn_core.errors import DataError


class Shard(NamedTuple):
    """A file of an Arrow folder."""

    name: str
    md5: str
    size: int


@dataclass(frozen=True, kw_only=True)
class Shards:
    """An Arrow folder as the DVC remote has it."""

    remote: str
    """Its address: see `pipelines/storage.py`."""
    files: tuple[Shard, ...]

    @property
    def name(self) -> str:
        """Of the folder on a machine: by its content."""
        return hashlib.sha256(repr(self.files).encode()).hexdigest()[:20]


def known(suite: str, arrow: Path) -> Shards | None:
    """What DVC knows of an Arrow folder here; None without a remote, or before DVC has it."""
    remote, digest = remote_address(), dvc_lock.md5(suite, arrow)
    if remote is None or digest is None:
        return None
    listed = paths.home() / ".dvc/cache/files/md5" / digest[:2] / digest[2:]
    if not listed.exists():
        return None
    return Shards(
        remote=remote,
        files=tuple(
            Shard(one["relpath"], one["md5"], (arrow / one["relpath"]).stat().st_size)
            for one in files.read_json(listed)
        ),
    )


def remote_address() -> str | None:
    """Of DVC's default remote, as pyarrow takes it; None where there is none."""
    config = configparser.ConfigParser()
    folder = paths.home() / ".dvc"
    config.read([folder / "config", folder / "config.local"], encoding="utf-8")
    name = config.get("core", "remote", fallback=None)
    if name is None:
        return None
    settings = config[f"'remote \"{name}\"'"]
    url, endpoint = settings["url"], settings.get("endpointurl")
    if "://" not in url:
        return str((folder / url).resolve())
    if endpoint is None:
        return url
    parts = urlsplit(endpoint)
    return f"{url}?{urlencode({'scheme': parts.scheme, 'endpoint_override': parts.netloc}, quote_via=quote)}"


def push(suite: str, block: str) -> None:
    """The block's Arrow files to DVC's remote, as far as it lacks them.

    Raises:
        DataError: DVC cannot.
    """
    target = f"{paths.stages_file(suite).relative_to(paths.root())}:preprocess@{block}"
    command = [sys.executable, "-m", "dvc", "push", "-q", target]
    done = subprocess.run(command, cwd=paths.root(), capture_output=True, text=True)
    if done.returncode:
        reason = (done.stderr.strip() or "no reason given").splitlines()[-1]
        raise DataError("dvc push", reason, "a remote that answers, and a right to it")


@contextlib.contextmanager
def held(arrow: Path, shards: Shards | None, *, splits: Sequence[str]) -> Iterator[Path]:
    """An Arrow folder for the duration of the block: the one of whoever started the training, where this machine has it
    too, else what the remote has.

    Raises:
        DataError: neither.
    """
    if shards is None or _same(arrow, shards):
        if not (arrow / "summary.json").exists():
            allowed = "a folder that all machines share, or a DVC remote that all reach (dvc remote add -d)"
            raise DataError(str(arrow), f"no data on {socket.gethostname()}", allowed)
        yield arrow
        return
    with Cache(paths.node() / "data", paths.node_bytes()).holding(shards, splits=splits) as view:
        yield view


def _same(arrow: Path, shards: Shards) -> bool:
    """Whether a folder has these data: its summary names their digest."""
    summary = arrow / "summary.json"
    wanted = {shard.md5 for shard in shards.files if shard.name == summary.name}
    return summary.exists() and hashlib.md5(summary.read_bytes(), usedforsecurity=False).hexdigest() in wanted


class Cache:
    """Files of a machine, by md5."""

    def __init__(self, folder: Path, limit: int):
        """
        Args:
            limit: bytes that may lie in it.
        """
        self._folder, self._limit = folder, limit

    @contextlib.contextmanager
    def holding(self, shards: Shards, *, splits: Sequence[str]) -> Iterator[Path]:
        """An Arrow folder with the files of these splits and what belongs to all, for the duration of the block.

        Raises:
            DataError: a file is not in the remote, or comes damaged twice, or there is no room for it.
        """
        view = self._folder / "views" / shards.name
        view.mkdir(parents=True, exist_ok=True)
        with locks.shared(view.with_suffix(".lock")):
            remote = Storage(shards.remote)
            for shard in shards.files:
                split = shard.name.partition("-")[0]
                if shard.name.endswith(".arrow") and split not in splits:
                    continue
                with locks.held(self._folder / "cache.lock"):
                    place = self._taken(shard, remote)
                    if not (view / shard.name).exists():
                        (view / shard.name).parent.mkdir(parents=True, exist_ok=True)
                        os.link(place, view / shard.name)
            yield view

    def _taken(self, shard: Shard, remote: Storage) -> Path:
        """The file in the cache; call under its lock."""
        place = self._folder / "files" / shard.md5[:2] / shard.md5[2:]
        if not place.exists():
            self._make_room(shard)
            with files.whole_file(place) as aside:
                if not any(self._fetched(shard, remote, aside) == shard.md5 for _ in range(2)):
                    raise DataError(f"{shard.name} of {remote}", "it came twice with another checksum", shard.md5)
        os.utime(place)
        return place

    def _fetched(self, shard: Shard, remote: Storage, aside: Path) -> str:
        digest = hashlib.md5(usedforsecurity=False)
        remote.read(f"files/md5/{shard.md5[:2]}/{shard.md5[2:]}", aside)
        with aside.open("rb") as file:
            while piece := file.read(PIECE):
                digest.update(piece)
        return digest.hexdigest()

    def _make_room(self, shard: Shard) -> None:
        ours = sorted(self._files(), key=lambda path: path.stat().st_mtime)
        total = sum(path.stat().st_size for path in ours)
        if total + shard.size <= self._limit:
            return
        self._let_go()
        for path in ours:
            if total + shard.size <= self._limit:
                return
            if path.stat().st_nlink == 1:
                total -= path.stat().st_size
                path.unlink()
        if total + shard.size > self._limit:
            found = f"{shard.size:,} bytes more do not fit beside the {total:,} that trainings use"
            raise DataError(str(self._folder), found, f"more room than {self._limit:,} bytes (RNN_NODE_GIGABYTES)")

    def _let_go(self) -> None:
        """Folders of links that no training holds any more."""
        for lock in (self._folder / "views").glob("*.lock"):
            with lock.open("a+") as file:
                if locks.taken(file):
                    shutil.rmtree(lock.with_suffix(""), ignore_errors=True)

    def _files(self) -> list[Path]:
        return [path for path in (self._folder / "files").rglob("*") if path.is_file()]
