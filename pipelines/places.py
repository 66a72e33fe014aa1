"""Where the workers of a training leave what it comes to: a folder that all machines share, or one on each machine and
a storage between them."""

import contextlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from pipelines import files, kept, paths
from pipelines.storage import Storage


class Sending(NamedTuple):
    """What the writing worker calls, beside writing to its folder."""

    state: Callable[[Path], None]
    """With each training state that is whole."""
    finish: Callable[[], None]
    """Once `finished.json` is there."""


class Place(Protocol):
    folder: Path
    """For this machine's workers."""

    def finished(self) -> bool:
        """Whether the training is whole."""
        ...

    def broken(self) -> bool:
        """Whether a worker met a user's mistake."""
        ...

    def tell_error(self, rank: int, told: dict[str, Any]) -> None:
        """A user's mistake, for whoever started the training."""
        ...

    def take(self, *, writes: bool) -> None:
        """Before the training begins: what other machines have left of it, here.

        Raises:
            DataError: the storage does not answer.
        """
        ...

    def sending(self) -> AbstractContextManager[Sending]:
        """For the worker that writes, as long as it does."""
        ...


def of(folder: Path, storage: str | None, name: str) -> Place:
    """
    Args:
        folder: of the training, where it was started.
        storage: its address; None where all machines share the folder.
        name: of the training in the storage.
    """
    return Shared(folder) if storage is None else Apart(Storage(storage), name)


class Shared:
    def __init__(self, folder: Path):
        self.folder = folder

    def finished(self) -> bool:
        return (self.folder / "finished.json").exists()

    def broken(self) -> bool:
        return any(self.folder.glob("error-*.json"))

    def tell_error(self, rank: int, told: dict[str, Any]) -> None:
        files.write_json(self.folder / f"error-{rank:04d}.json", told)

    def take(self, *, writes: bool) -> None:
        """Nothing: it is here."""

    @contextlib.contextmanager
    def sending(self) -> Iterator[Sending]:
        yield Sending(state=lambda written: None, finish=lambda: None)


class Apart:
    def __init__(self, storage: Storage, name: str):
        self.folder = paths.node() / "trainings" / name
        self._storage, self._name = storage, name

    def finished(self) -> bool:
        return self._storage.has(f"{self._name}/finished")

    def broken(self) -> bool:
        return bool(self._storage.names(f"{self._name}/errors"))

    def tell_error(self, rank: int, told: dict[str, Any]) -> None:
        kept.tell_error(self._storage, self._name, told)

    def take(self, *, writes: bool) -> None:
        kept.take(self._storage, self._name, self.folder, writes=writes)

    @contextlib.contextmanager
    def sending(self) -> Iterator[Sending]:
        with kept.Sender(self._storage, self._name, self.folder) as sender:
            yield Sending(state=sender.state, finish=sender.finish)
