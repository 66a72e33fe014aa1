"""Folders in a place that all machines reach: any file system of pyarrow (S3, Google's, HDFS, a shared folder).

A stored folder is its files and, written last, `manifest.json` with their sizes and checksums: without it nothing is
taken for whole, and what is fetched is compared with it. Names are written once: another state has another name.
"""

import contextlib
import hashlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import pyarrow as pa
from pyarrow import fs

from pipelines import files
from rnn_core.errors import ConfigError, DataError

MANIFEST = "manifest.json"
PIECE = 1 << 22
"""Bytes that are held at a time."""
SCHEMES = ("s3", "gs", "hdfs", "file")


class Storage:
    def __init__(self, address: str):
        """
        Args:
            address: `s3://bucket/folder?endpoint_override=...`, `file:///folder`, or an absolute path.

        Raises:
            ConfigError: it names no file system.
        """
        self._shown = _without_secrets(address)
        try:
            self._system, self._root = fs.FileSystem.from_uri(address)
        except (pa.ArrowInvalid, ValueError) as error:
            allowed = f"an absolute path, or an address with {', '.join(SCHEMES)}"
            said = str(error).replace(address, self._shown)
            raise ConfigError("RNN_STORAGE", f"found {self._shown}: {said}", allowed) from error

    def put(self, folder: Path, name: str) -> None:
        """Store all files below a folder.

        Raises:
            DataError: the storage cannot be written.
        """
        paths = sorted(path for path in folder.rglob("*") if path.is_file())
        manifest = {}
        with self._told(name, "cannot be written"):
            for path in paths:
                relative = path.relative_to(folder).as_posix()
                manifest[relative] = {"bytes": path.stat().st_size, "sha256": files.sha256(path)}
                with path.open("rb") as source, self._writing(f"{name}/{relative}") as out:
                    shutil.copyfileobj(source, out, PIECE)
            with self._writing(f"{name}/{MANIFEST}") as out:
                out.write(json.dumps(manifest, indent=1, sort_keys=True).encode())

    def get(self, name: str, folder: Path) -> None:
        """Fetch a stored folder; it appears whole or not at all. A file that comes with other bytes is asked for again.

        Raises:
            DataError: it is not there, or damaged.
        """
        with self._told(name, "cannot be read"), files.whole_folder(folder) as aside:
            with self._system.open_input_stream(self._place(f"{name}/{MANIFEST}")) as stream:
                manifest = json.loads(stream.read())
            for relative, facts in manifest.items():
                target = aside / relative
                target.parent.mkdir(parents=True, exist_ok=True)
                tries = (self._fetch(f"{name}/{relative}", target) for _ in range(2))
                if facts["sha256"] not in tries:
                    raise DataError(f"{self._shown}/{name}/{relative}", "its checksum is another", "a whole file")

    def __str__(self) -> str:
        return self._shown

    def read(self, name: str, target: Path) -> None:
        """One file that something else has put there, over `target`.

        Raises:
            DataError: it is not there.
        """
        with self._told(name, "cannot be read"):
            self._fetch(name, target)

    def has(self, name: str) -> bool:
        """Whether a whole folder of this name is there.

        Raises:
            DataError: the storage cannot be read.
        """
        with self._told(name, "cannot be read"):
            found = self._system.get_file_info(self._place(f"{name}/{MANIFEST}"))
            return bool(found.type == fs.FileType.File)

    def names(self, under: str) -> list[str]:
        """Of the whole folders below one, in their order.

        Raises:
            DataError: the storage cannot be read.
        """
        with self._told(under, "cannot be read"):
            selector = fs.FileSelector(self._place(under), allow_not_found=True, recursive=True)
            paths = [info.path for info in self._system.get_file_info(selector) if info.base_name == MANIFEST]
        begin = len(self._place(under)) + 1
        return sorted(path[begin:].removesuffix(f"/{MANIFEST}") for path in paths)

    def remove(self, name: str) -> None:
        """Its manifest first, so that what is half removed is not taken for whole; nothing where it is not there."""
        with self._told(name, "cannot be removed"):
            if self.has(name):
                self._system.delete_file(self._place(f"{name}/{MANIFEST}"))
                self._system.delete_dir(self._place(name))

    def _place(self, name: str) -> str:
        return f"{self._root.rstrip('/')}/{name}"

    @contextlib.contextmanager
    def _writing(self, name: str) -> Iterator[Any]:
        """An object store shows a file when it is closed; elsewhere it gets its name then."""
        place = self._place(name)
        if not isinstance(self._system, fs.LocalFileSystem):
            with self._system.open_output_stream(place) as out:
                yield out
            return
        with files.whole_file(Path(place)) as aside, aside.open("wb") as out:
            yield out

    def _fetch(self, name: str, target: Path) -> str:
        """The checksum of what came."""
        digest = hashlib.sha256()
        with self._system.open_input_stream(self._place(name)) as stream, target.open("wb") as out:
            while piece := stream.read(PIECE):
                digest.update(piece)
                out.write(piece)
        return digest.hexdigest()

    @contextlib.contextmanager
    def _told(self, name: str, what: str) -> Iterator[None]:
        """What a file system says, as an error that names the place."""
        try:
            yield
        except DataError:
            raise
        except (OSError, pa.ArrowException, ValueError) as error:
            found = f"{what}: {' '.join(str(error).split())[:300]}"
            allowed = "a storage (RNN_STORAGE) that answers, and a right to it"
            raise DataError(f"{self._shown}/{name}", found, allowed) from error


def _without_secrets(address: str) -> str:
    """As it may be printed: without keys and the settings behind the question mark."""
    parts = urlsplit(address)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2], query=""))
