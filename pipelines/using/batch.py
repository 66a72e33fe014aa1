"""Many inputs to a file of answers, on the workers of `RNN_WORKERS` by Ray Data: `pipelines.predict --output`.

The model's folder and the inputs are read by the workers: on a cluster of several machines they lie where all see them.
"""

import itertools
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from pipelines import cluster
from pipelines.using import inputs
from pipelines.using.inputs import Named, Place
from pipelines.using.predictor import Given, Predictor
from rnn_core.errors import DataError, UserError

FILES = 64
"""Files with an input each that one task reads."""
GIVEN = pa.schema([("where", pa.string()), ("sort", pa.string()), ("value", pa.large_binary())])
"""An input on its way to a worker; `sort`: text, file (its contents), path (of a file), error (as JSON)."""
FOUND = pa.schema([("row", pa.large_string()), ("error", pa.large_string())])
"""An answer's row, or an error: as JSON, the other one null."""


def run(folder: Path, found: Sequence[Place], takes: str, column: str | None) -> Iterator[dict[str, Any] | UserError]:
    """The answers' rows, and the errors of inputs without one, in the order of the inputs.

    Args:
        folder: of the model.
        found: where the inputs stand.
        takes, column: see `inputs.read`.

    Raises:
        UserError: no cluster, or a worker failed.
    """
    resources = cluster.Resources.from_environment()
    with cluster.joined(resources):
        for row in cluster.stream(_parts(found, takes, column), _read, Answering, (str(folder), takes), resources):
            yield json.loads(row["row"]) if row["row"] is not None else DataError(*json.loads(row["error"]))


class Answering:
    """The model, in a worker."""

    def __init__(self, folder: str, takes: str):
        self._predictor, self._takes = Predictor(folder), takes

    def __call__(self, given: pa.Table) -> pa.Table:
        named = (_decode(row, self._takes) for row in given.to_pylist())
        rows = [
            {"row": None, "error": _told(outcome.error)}
            if outcome.error is not None
            else {"row": json.dumps(outcome.row()), "error": None}
            for outcome in self._predictor.outcomes(named)
        ]
        return pa.Table.from_pylist(rows, schema=FOUND)


def _parts(found: Sequence[Place], takes: str, column: str | None) -> list[dict[str, Any]]:
    """Pieces of work as JSON: sentences, files with an input each, or one file of many inputs."""

    def sort(place: Place) -> str:
        if isinstance(place, str):
            return "sentences"
        return "table" if takes == "text" or inputs.is_table(place, takes, column) else "files"

    parts = []
    for kind, group in itertools.groupby(found, sort):
        some, size = [str(place) for place in group], 1 if kind == "table" else FILES
        parts += [{"sort": kind, "places": some[i : i + size]} for i in range(0, len(some), size)]
    return [{"part": json.dumps(part | {"takes": takes, "column": column})} for part in parts]


def _read(batch: pa.Table) -> Iterator[pa.Table]:
    part = json.loads(batch["part"][0].as_py())
    if part["sort"] == "files":  # their contents are read where they are answered
        rows = [{"where": path, "sort": "path", "value": path.encode()} for path in part["places"]]
        yield pa.Table.from_pylist(rows, schema=GIVEN)
        return
    (given,) = part["places"]
    place = Path(given) if part["sort"] == "table" else given
    held: list[dict[str, Any]] = []
    for named in inputs.read(place, part["takes"], part["column"]):
        held.append(_encode(*named))
        if len(held) == FILES:
            yield pa.Table.from_pylist(held, schema=GIVEN)
            held = []
    if held:
        yield pa.Table.from_pylist(held, schema=GIVEN)


def _encode(where: str, given: Given | UserError) -> dict[str, Any]:
    if isinstance(given, UserError):
        return {"where": where, "sort": "error", "value": _told(given).encode()}
    if isinstance(given, str):
        return {"where": where, "sort": "text", "value": given.encode(errors="surrogatepass")}
    return {"where": where, "sort": "file", "value": given}


def _decode(row: dict[str, Any], takes: str) -> Named:
    where, sort, value = row["where"], row["sort"], row["value"]
    if sort == "error":
        return where, DataError(*json.loads(value))
    if sort == "path":
        return where, inputs.content(Path(value.decode()), takes)
    return where, value if sort == "file" else value.decode(errors="surrogatepass")


def _told(error: UserError) -> str:
    return json.dumps([error.where, error.found, error.allowed])
