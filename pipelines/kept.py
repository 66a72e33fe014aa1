"""A training's folder kept in a storage, for machines that share no folder.

The worker that writes sends what it wrote: its points every few seconds, and with each training state the points and
the best weights before it, so that a state that is there has all that it goes on from. A worker that begins, wherever
it is, takes the newest whole state; whoever started the training follows the points. Below the training's name:

    begun/  points/<bytes before>-<random>/  best/step-<update>/  state/step-<update>/  errors/<random>/  finished/
"""

import contextlib
import json
import shutil
import sys
import tempfile
import threading
import time
import uuid
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from pipelines import files, points
from pipelines.storage import Storage
from rnn_core.errors import DataError

SEND_SECONDS = 5.0
LOOK_SECONDS = 2.0
BEGUN = ("params.json", "run.json")
FINISH_SECONDS = 600.0
"""How long the last things are tried to be sent."""
KEPT = 2
"""Training states, the newest ones; and of the best weights those that belong to them."""


class Sender:
    """What the writing worker has written, on its way to the storage. A context; points go by themselves meanwhile.

    A storage that is away holds up nothing: it is said once, and what it lacks is sent with what comes later.
    """

    def __init__(self, storage: Storage, name: str, folder: Path):
        self._storage, self._name, self._folder = storage, name, folder
        self._sent = _take_points(storage, name, folder)
        self._lock, self._ended = threading.Lock(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="sender", daemon=True)
        self._told = False

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()

    def state(self, written: Path) -> None:
        """A training state that has just been written, and before it what belongs to it."""
        with self._patient():
            self._points()
            best = files.read_json(written / "state.json")["facts"]["progress"]["best_update"]
            if best:
                self._put_once(self._folder / "best", f"best/step-{best:08d}")
            self._put_once(written, f"state/{written.name}")
            for place in ("state", "best"):
                for old in self._storage.names(f"{self._name}/{place}")[:-KEPT]:
                    self._storage.remove(f"{self._name}/{place}/{old}")

    def finish(self) -> None:
        """All that is left, and last that it is whole.

        Raises:
            DataError: the storage has not taken it for FINISH_SECONDS.
        """
        deadline = time.monotonic() + FINISH_SECONDS
        while True:
            try:
                return self._finish()
            except DataError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(SEND_SECONDS)

    def _finish(self) -> None:
        self._points()
        best = files.read_json(self._folder / "finished.json")["best_update"]
        self._put_once(self._folder / "best", f"best/step-{best:08d}")
        with _with(finished_json=(self._folder / "finished.json").read_bytes()) as aside:
            self._put_once(aside, "finished")

    def _run(self) -> None:
        while not self._ended.wait(SEND_SECONDS):
            with self._patient():
                self._points()

    def _points(self) -> None:
        """What has been recorded since the last time."""
        with self._lock:
            with (self._folder / points.NAME).open("rb") as file:
                file.seek(self._sent)
                content = file.read()
            whole = content[: content.rfind(b"\n") + 1]
            if whole:
                with _with(points_jsonl=whole) as aside:
                    self._storage.put(aside, f"{self._name}/points/{self._sent:012d}-{uuid.uuid4().hex}")
                self._sent += len(whole)

    def _put_once(self, folder: Path, name: str) -> None:
        if not self._storage.has(f"{self._name}/{name}"):
            self._storage.put(folder, f"{self._name}/{name}")

    @contextlib.contextmanager
    def _patient(self) -> Iterator[None]:
        try:
            yield
            self._told = False
        except DataError as error:
            if not self._told:
                print(f"storage: will be tried again: {error}", file=sys.stderr, flush=True)
            self._told = True


def take(storage: Storage, name: str, folder: Path, *, writes: bool) -> None:
    """Before a training begins here: the newest whole training state, unless it is here already.

    Args:
        writes: this worker will write: it takes the best weights of that state too.
    """
    for state in reversed(storage.names(f"{name}/state")):
        place = folder / "state" / state
        try:
            if not place.exists():
                storage.get(f"{name}/state/{state}", place)
            best = files.read_json(place / "state.json")["facts"]["progress"]["best_update"]
            if writes and best:
                storage.get(f"{name}/best/step-{best:08d}", folder / "best")
            return
        except (DataError, ValueError, KeyError) as error:
            warnings.warn(f"{state} is passed over: {error}", stacklevel=2)
            shutil.rmtree(place, ignore_errors=True)


def begun(storage: Storage, name: str, folder: Path) -> None:
    """`run.json` and `params.json` there, from the storage, if whoever started the training did so elsewhere."""
    if not (folder / "run.json").exists() and storage.has(f"{name}/begun"):
        with _fetched(storage, f"{name}/begun") as aside:
            for file in BEGUN:
                files.write_text(folder / file, (aside / file).read_text(encoding="utf-8"))


def begins(storage: Storage, name: str, folder: Path) -> None:
    """`run.json` and `params.json` to the storage, once; errors of the time before are forgotten."""
    if not storage.has(f"{name}/begun"):
        with _with(**{file.replace(".", "_"): (folder / file).read_bytes() for file in BEGUN}) as aside:
            storage.put(aside, f"{name}/begun")
    for error in storage.names(f"{name}/errors"):
        storage.remove(f"{name}/errors/{error}")


def tell_error(storage: Storage, name: str, told: dict[str, Any]) -> None:
    """A user's mistake that a worker met, for whoever started the training."""
    with _with(error_json=json.dumps(told).encode()) as aside:
        storage.put(aside, f"{name}/errors/{uuid.uuid4().hex}")


class Follower:
    """Brings what workers send into the folder of whoever started the training, as if they wrote there."""

    def __init__(self, storage: Storage, name: str, folder: Path):
        self._storage, self._name, self._folder = storage, name, folder
        self._seen: set[str] = set()

    def look(self) -> None:
        """Points, errors and the end, as far as they have come.

        Raises:
            DataError: the storage does not answer, or what is in it is damaged.
        """
        if (self._folder / "finished.json").exists():
            return
        finished = self._storage.has(f"{self._name}/finished")
        self._points()
        for error in self._storage.names(f"{self._name}/errors"):
            with _fetched(self._storage, f"{self._name}/errors/{error}") as aside:
                shutil.copy(aside / "error.json", self._folder / f"error-{error}.json")
        if finished:
            with _fetched(self._storage, f"{self._name}/finished") as aside:
                best = files.read_json(aside / "finished.json")["best_update"]
                self._storage.get(f"{self._name}/best/step-{best:08d}", self._folder / "best")
                files.write_json(self._folder / "finished.json", files.read_json(aside / "finished.json"))

    def _points(self) -> None:
        new = [name for name in self._storage.names(f"{self._name}/points") if name not in self._seen]
        if not new:
            return  # a recorder reads all that there is
        with contextlib.closing(points.Recorder(self._folder)) as recorder:
            for name in new:
                with _fetched(self._storage, f"{self._name}/points/{name}") as aside:
                    for point in points.read(aside):
                        recorder.take(point)
                self._seen.add(name)


class Following:
    """For the duration of a block of code: all that workers send of some trainings comes here as it arrives."""

    def __init__(self, followers: Sequence[Follower]):
        self._followers, self._ended = followers, threading.Event()
        self._thread = threading.Thread(target=self._run, name="following", daemon=True)

    def __enter__(self) -> Self:
        if self._followers:
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """
        Raises:
            DataError: the storage does not answer now.
        """
        self._ended.set()
        if self._followers:
            self._thread.join()
        for follower in self._followers:
            follower.look()

    def _run(self) -> None:
        away = False
        while not self._ended.wait(LOOK_SECONDS):
            try:
                for follower in self._followers:
                    follower.look()
                away = False
            except DataError as error:
                if not away:
                    print(f"storage: will be asked again: {error}", file=sys.stderr, flush=True)
                away = True


def _take_points(storage: Storage, name: str, folder: Path) -> int:
    """The points that the storage has, then those that this folder has beyond them; how many bytes the former are."""
    own = points.read(folder)
    with tempfile.TemporaryDirectory() as aside:
        (Path(aside) / points.NAME).touch()
        Follower(storage, name, Path(aside))._points()
        known = (Path(aside) / points.NAME).stat().st_size
        with contextlib.closing(points.Recorder(Path(aside))) as recorder:
            for point in own:
                recorder.take(point)
        with files.whole_file(folder / points.NAME) as whole:
            shutil.copy(Path(aside) / points.NAME, whole)
    return known


@contextlib.contextmanager
def _fetched(storage: Storage, name: str) -> Iterator[Path]:
    """A stored folder, for the duration of the block."""
    with tempfile.TemporaryDirectory() as aside:
        storage.get(name, Path(aside) / "it")
        yield Path(aside) / "it"


@contextlib.contextmanager
def _with(**contents: bytes) -> Iterator[Path]:
    """A folder with these files; `points_jsonl` is `points.jsonl`."""
    with tempfile.TemporaryDirectory() as aside:
        for name, content in contents.items():
            (Path(aside) / name.replace("_", ".")).write_bytes(content)
        yield Path(aside)
