"""A connection to the tracking server, and what it does with a training's folder."""

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.tracking import environment, open_runs, spool
from pipelines.tracking.environment import TrackingError
from pipelines.tracking.evaluation import Card, Evaluation, Registered, Registration, Ruling, Standing
from pipelines.tracking.spool import Sent
from pipelines.tracking.tick import Tick

if TYPE_CHECKING:
    from mlflow import MlflowClient

    from pipelines.tracking.models import Brought
    from pipelines.tracking.views import Compared


class Tracker:
    """Every method may be repeated: the server keeps one run a training, one value a point, one version a model.

    Each raises TrackingError where the server goes away or refuses, DataError where the folder is damaged.
    """

    def __init__(self, uri: str, client: "MlflowClient") -> None:
        self.uri, self.client = uri, client

    def start(self, folder: Path) -> str:
        """The training's run, made or opened again, as a running one. Returns its id."""
        from pipelines.tracking import runs

        with _reaching(self.uri):
            return runs.reopen(self.client, self.uri, spool.read(folder))

    def send_points(self, run_id: str, folder: Path, start: int | None = None) -> int:
        """The curve from byte `start` on, None: from where the server's copy ends. Returns the byte behind it."""
        from pipelines.tracking import runs

        with _reaching(self.uri):
            return runs.send_points(self.client, run_id, spool.read(folder), start)

    def end(self, run_id: str, status: str) -> None:
        """
        Args:
            status: FINISHED, FAILED or KILLED.
        """
        from pipelines.tracking import runs

        with _reaching(self.uri):
            runs.end(self.client, run_id, status)

    def settle(self) -> int:
        """End the runs that this checkout left open on the server: by a crash, or by a server that was away at the
        end. Returns how many."""
        from pipelines.tracking import runs

        count = 0
        for left in open_runs.left(self.uri):
            with _reaching(self.uri):
                runs.settle(self.client, self.uri, left)
            left.ended()
            count += 1
        return count

    def send(
        self,
        folder: Path,
        status: str | None = None,
        scores: dict[str, float] | None = None,
        compared: dict[str, float] | None = None,
    ) -> Sent:
        """All that the folder holds and the server lacks, then the run's status.

        Args:
            status: FINISHED, FAILED or KILLED; None: what `run.json` says.
            scores: the evaluation's metrics of this training.
            compared: the one that decides beside the best possible, by names that all tasks share.
        """
        from pipelines.tracking import runs

        with _reaching(self.uri):
            return runs.send(self.client, self.uri, spool.read(folder), status, scores or {}, compared or {})

    def send_folder(self, folder: Path, evidence: Path, name: str) -> int:
        """Files that belong to the training but lie elsewhere (the evaluation's pictures), as `<name>/`."""
        from pipelines.tracking import runs

        with _reaching(self.uri):
            return runs.send_folder(self.client, runs.ensure(self.client, self.uri, spool.read(folder)), evidence, name)

    def register(self, folder: Path, evaluation: Evaluation, card: Card) -> Registered:
        """The training's model version, with its card; a new one, or one with a new evaluation, is to be judged."""
        from pipelines.tracking import registry, runs

        with _reaching(self.uri):
            training = spool.read(folder)
            run = runs.ensure(self.client, self.uri, training)
            return registry.register(self.client, self.uri, training, run, evaluation, card)

    def bring(self, suite: str, block: str, wanted: str) -> "Brought":
        """The files of a block's registered model, on this machine and verified.

        Args:
            wanted: an alias (`champion`, `challenger`, `previous`) or the number of a version.

        Raises:
            DataError: no such model, alias or version, or its files are not those that were registered.
        """
        from pipelines.tracking import models

        with _reaching(self.uri):
            return models.bring(self.client, self.uri, suite, block, wanted)

    def aliases(self, suite: str, block: str) -> dict[str, int]:
        """Of a block's model, by alias: the version that bears it. DataError where there is no such model."""
        from pipelines.tracking import models

        with _reaching(self.uri):
            return models.aliases(self.client, suite, block)

    def decide(self, suite: str, block: str, number: int, champion: int | None, ruling: Ruling) -> str | None:
        """Whether a version becomes the champion, written down and carried out.

        Args:
            champion: the version that the ruling was made against.

        Returns: why, as the version tells it; None where another version has become the champion meanwhile.
        """
        from pipelines.tracking import aliases, models

        with _reaching(self.uri):
            return aliases.decide(self.client, models.name_of(suite, block), number, champion, ruling)

    def put(self, suite: str, block: str, wanted: str) -> tuple[int, int | None]:
        """A version (alias or number) as champion, by hand. Returns: it, and the champion before."""
        from pipelines.tracking import aliases

        with _reaching(self.uri):
            return aliases.put(self.client, suite, block, wanted)

    def roll_back(self, suite: str, block: str) -> tuple[int, int]:
        """`previous` is champion again, and what was champion `previous`. Returns: champion and previous.

        Raises:
            DataError: no such model, or its champion has never changed.
        """
        from pipelines.tracking import aliases

        with _reaching(self.uri):
            return aliases.roll_back(self.client, suite, block)

    def tick(self, told: Tick) -> str:
        """A tick of scheduled retraining as a run, parent of what it trained. Returns its id."""
        from pipelines.tracking import ticks

        with _reaching(self.uri):
            return ticks.send(self.client, self.uri, told)

    def standing(self, suite: str, block: str) -> Standing:
        """Champion and newest version of a block's model."""
        from pipelines.tracking import ticks

        with _reaching(self.uri):
            return ticks.standing(self.client, suite, block)

    def registered(self) -> list[Registration]:
        """All versions of all our models."""
        from pipelines.tracking import retention

        with _reaching(self.uri):
            return retention.registered(self.client)

    def remove(self, gone: Registration) -> None:
        """A version and its files, unless an alias has come to it meanwhile."""
        from pipelines.tracking import retention

        with _reaching(self.uri):
            retention.remove(self.client, self.uri, gone)

    def has(self, folder: Path) -> bool:
        """Whether the server has all that a training's folder tells of it, and its end."""
        from pipelines.tracking import retention

        with _reaching(self.uri):
            return retention.has(self.client, spool.read(folder))

    def compared(self, address: str, metrics: dict[tuple[str, str], str]) -> "list[Compared]":
        """Where the pages at `address` compare the runs of each (suite, block), by its deciding metric."""
        from pipelines.tracking import views

        with _reaching(self.uri):
            return views.offer(self.client, address, metrics)


def load() -> None:
    """Import mlflow, and nothing more: seconds that are best spent while workers start."""
    import mlflow  # noqa: F401


def connect() -> Tracker:
    """
    Raises:
        TrackingError: the server that MLFLOW_TRACKING_URI names cannot be reached, or its store not be made.
    """
    uri = environment.uri()
    from mlflow import MlflowClient

    with _reaching(uri), environment.lock():
        environment.create_store(uri)
        client = MlflowClient(uri, registry_uri=uri)
        client.search_experiments(max_results=1)
    return Tracker(uri, client)


def settle() -> None:
    """`Tracker.settle` at the start of a command; without such runs it costs nothing, and a server that is away is a
    warning."""
    if not open_runs.any_left():
        return
    try:
        if count := connect().settle():
            print(f"tracking: {count} run{'s' if count > 1 else ''} ended that no process trains any more", flush=True)
    except TrackingError as error:
        print(f"warning: {error}", file=sys.stderr)


@contextlib.contextmanager
def _reaching(uri: str) -> Iterator[None]:
    """mlflow's and its libraries' errors as one, with the first line of what they say."""
    from mlflow.exceptions import MlflowException
    from requests import RequestException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (MlflowException, RequestException, SQLAlchemyError, OSError) as error:
        where = f"tracking server {environment.shown(uri)}"
        raise TrackingError(where, _told(error), "a server that answers is wanted, see MLFLOW_TRACKING_URI") from error


def _told(error: Exception) -> str:
    """What went wrong, in a line: of a failed connection its cause only, the address stands before it."""
    line = (str(error).strip().splitlines() or [type(error).__name__])[0]
    if "Max retries exceeded" in line:
        return f"cannot be reached, {line.rpartition(': ')[2].strip(' )(.')}".replace('"', "").replace("'", "")
    return line[:300]
