"""A connection to the tracking server, and what it does with a training's folder."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.tracking import environment, spool
from pipelines.tracking.environment import TrackingError
from pipelines.tracking.evaluation import Evaluation, Registered
from pipelines.tracking.spool import Sent

if TYPE_CHECKING:
    from mlflow import MlflowClient

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

    def send(self, folder: Path, status: str | None = None, scores: dict[str, float] | None = None) -> Sent:
        """All that the folder holds and the server lacks, then the run's status.

        Args:
            status: FINISHED, FAILED or KILLED; None: what `run.json` says.
            scores: the evaluation's metrics of this training.
        """
        from pipelines.tracking import runs

        with _reaching(self.uri):
            return runs.send(self.client, self.uri, spool.read(folder), status, scores or {})

    def send_folder(self, folder: Path, evidence: Path, name: str) -> int:
        """Files that belong to the training but lie elsewhere (the evaluation's pictures), as `<name>/`."""
        from pipelines.tracking import runs

        with _reaching(self.uri):
            return runs.send_folder(self.client, runs.ensure(self.client, self.uri, spool.read(folder)), evidence, name)

    def register(self, folder: Path, evaluation: Evaluation) -> Registered:
        """The training's model version, and the aliases `challenger` and `champion` where they belong."""
        from pipelines.tracking import registry, runs

        with _reaching(self.uri):
            training = spool.read(folder)
            run = runs.ensure(self.client, self.uri, training)
            return registry.register(self.client, self.uri, training, run, evaluation)

    def compared(self, address: str, metrics: dict[tuple[str, str], str]) -> "list[Compared]":
        """Where the pages at `address` compare the runs of each (suite, block), by its deciding metric."""
        from pipelines.tracking import views

        with _reaching(self.uri):
            return views.offer(self.client, address, metrics)


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
