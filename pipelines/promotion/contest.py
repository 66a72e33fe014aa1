"""Champion and challenger on the present test data: is the new model better, or might it be luck?

Old scores are never compared: the test data may be others by now, or be measured otherwise.
"""

import dataclasses
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa

from pipelines import evaluate, files, networks, params, paths, preprocess, raw, tasks
from pipelines.promotion import bootstrap, units
from pipelines.promotion.bootstrap import Difference
from rnn_core.arrow import SCHEMAS, Columns, read_split
from rnn_core.config import from_mapping
from rnn_core.errors import DataError


@dataclass(frozen=True, kw_only=True)
class Contest:
    """What came of it."""

    metric: str
    difference: Difference
    test_digest: str

    def told(self, champion: int) -> str:
        """In one line, for a person: both scores, their difference with its interval, on what and how it was found."""
        d = self.difference
        found = (
            f"{self.metric} {d.own:.6g} against {d.other:.6g} of version {champion} on the present test data "
            f"({self.test_digest[:12]}), {100 * d.level:g} % interval of the difference {d.low:+.4g} to {d.high:+.4g} "
            f"by {d.draws} paired draws of {d.units} units"
        )
        few = f", and fewer than {bootstrap.FEWEST} units decide nothing"
        return found + few if d.units < bootstrap.FEWEST else found


def contest(block: params.Block, challenger: Path, champion: Path) -> Contest:
    """
    Args:
        challenger, champion: folders with a network each (`model/` of a training, or what a registered version brings).

    Raises:
        DataError: a folder or the test data are damaged or missing, or the two cannot be compared.
        ConfigError: a network's settings are not those of the present code.
    """
    metric, arrow = block.evaluate.metric, paths.arrow(block.suite, block.name)
    if metric in units.WEIGHED_BY_ALL:
        allowed = f"a metric that adds up over examples; or `make promote TASK={block.name} VERSION=...` by hand"
        raise DataError("evaluate.metric", f"{metric} weighs each example by all others", allowed)
    if not (arrow / "sidecar.json").exists():
        raise DataError(str(arrow), "no test data", f"`make repro SUITE={block.suite} TASK={block.name}` prepares them")
    own, other = (_measured(block, _load(folder), folder, arrow) for folder in (challenger, champion))
    _check(own, other)
    direction: Literal["max", "min"] = tasks.load(block.task).METRICS[metric]
    level, draws = block.register.level, block.register.draws
    scores = own.score(metric), other.score(metric)
    difference = bootstrap.compare(*scores, own.units, direction, level=level, draws=draws)
    if not math.isfinite(difference.low + difference.own + difference.other):
        raise DataError("evaluate.metric", f"{metric} of these test data is no number", "another metric, or more data")
    return Contest(metric=metric, difference=difference, test_digest=evaluate.test_digest(arrow))


def _load(folder: Path) -> networks.Model:
    try:
        return networks.load(folder)
    except (OSError, ValueError, LookupError) as error:
        found = f"no network that this code reads ({type(error).__name__}: {error})"
        raise DataError(str(folder), found, "one that `pipelines.register` registered") from error


def _measured(block: params.Block, model: networks.Model, folder: Path, arrow: Path) -> units.Measured:
    """A network on the present test data, in the numbers that it knows words and the like by."""
    if model.task.__name__ != tasks.load(block.task).__name__:
        raise DataError(str(folder), f"a network for {model.about['task']}", f"one for {block.task}")
    if files.read_json(folder / "sidecar.json") == files.read_json(arrow / "sidecar.json"):
        return units.measure(model, read_split(arrow, "test", model.task.KIND))
    return units.measure(model, _encoded(block, folder / "sidecar.json"))


def _check(own: units.Measured, other: units.Measured) -> None:
    """Raises DataError where two scores do not mean the same."""
    kind, words = own.model.task.KIND, (own.model.sidecar.get("words"), other.model.sidecar.get("words"))
    if kind == "language_model" and words[0] != words[1]:
        found = f"vocabularies of {len(words[1] or ())} and {len(words[0] or ())} tokens"
        raise DataError("sidecar.json", found, "perplexities compare over one vocabulary only")
    if own.units != other.units:
        raise DataError("test data", f"{other.units} and {own.units} units", "equally many for both networks")


def _encoded(block: params.Block, sidecar: Path) -> Columns:
    """The raw test data as rows, by the sidecar of a network that was trained on other data."""
    task, where = tasks.load(block.task), f"blocks.{block.name}.data"
    shared = {field.name for field in dataclasses.fields(preprocess.Data)}
    own: Any = from_mapping(task.Data, {name: value for name, value in block.data.items() if name not in shared}, where)
    sizes = preprocess.Sizes()
    batches: list[tuple[str, pa.RecordBatch]] = []
    text = sidecar.read_text(encoding="utf-8")
    for part in raw.parts(paths.raw(block.suite, block.name), task, block.dataset, block.data.get("files"), own, where):
        if part.split not in ("test", None):
            continue
        work = preprocess.Work(block.task, own, part.split)
        for piece in raw.pieces(part, task, chunk_bytes=sizes.chunk_bytes, longest=sizes.longest_record):
            batches += preprocess.encode_chunk(text, work, *piece).batches.items()
    return Columns([batch for split, batch in batches if split == "test"], SCHEMAS[task.KIND], {})
