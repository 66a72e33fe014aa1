"""Raw data to Arrow shards with their sidecar: the second stage. `python -m pipelines.preprocess <block>`.

Two passes over the raw data, chunk by chunk: count the training split (vocabulary), then encode all of it. A chunk is
the work of one pure function, done by as many processes as there are cores, those of the cluster where one is named;
results are written in the order of the chunks, so that the bytes are the same whatever the number of processes. Memory:
a few chunks a process, one record batch, and the counts.
"""

import contextlib
import dataclasses
import functools
import hashlib
import json
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines import chunks, cli, cluster, files, parallel, params, paths, raw, tasks
from pipelines.raw import Part
from pipelines.tally import Read, Tally, no_examples
from pipelines.tasks import BadRecord, Counts, Where
from rnn_core import arrow
from rnn_core.config import from_mapping

SHOWN_CHARACTERS = 200
"""Of a bad record, in the quarantine."""
PROGRESS_SECONDS = 5.0
CHUNKS_A_PROCESS = 8
"""Fewer are not worth the start of a process."""


@dataclass(frozen=True, kw_only=True)
class Data:
    """The keys of a block's `data` that all tasks share, beside `from`."""

    max_bad_share: float
    """More bad records than this share of a split fail the stage; 0.001 lets none pass in a file of under 1000."""
    files: dict[str, str] | None = None
    """Own data: the file of each split in the raw folder, or what the task names so; see `raw.parts` for what holds
    without it."""

    def __post_init__(self) -> None:
        if not 0 <= self.max_bad_share <= 1:
            raise ValueError(f"max_bad_share is {self.max_bad_share}, a share from 0 to 1 is wanted")


@dataclass(frozen=True)
class Sizes:
    """How work is cut; the sizes of chunks and batches show in the bytes of the shards, the processes do not."""

    chunk_bytes: int = chunks.CHUNK_BYTES
    longest_record: int = chunks.LONGEST_RECORD
    batch_bytes: int = arrow.BATCH_BYTES
    shard_bytes: int = arrow.SHARD_BYTES


@dataclass(frozen=True)
class Work:
    """What all chunks of a source have in common."""

    task: str
    data: Any
    split: str | None


def count_chunk(work: Work, chunk: Any, where: Where, size: int) -> Read:
    """First pass: what the examples of the training split add to the sidecar's counts."""
    task = tasks.load(work.task)
    examples, records, bad = _examples(work, chunk, where)
    return Read(task.count(examples["train"]), {}, records, bad, size)


def encode_chunk(sidecar: str, work: Work, chunk: Any, where: Where, size: int) -> Read:
    """Second pass: rows of Arrow.

    Args:
        sidecar: as JSON.
    """
    encode = _encoder(work.task, sidecar)
    examples, records, bad = _examples(work, chunk, where)
    kind = tasks.load(work.task).KIND
    batches = {s: arrow.to_batch([encode(e) for e in some], kind) for s, some in examples.items() if some}
    return Read({}, batches, records, bad, size)


def preprocess(
    folder: Path,
    out: Path,
    task_name: str,
    data: Mapping[str, Any],
    *,
    suite: str,
    dataset: str,
    where: str = "data",
    processes: int | None = None,
    sizes: Sizes = Sizes(),
) -> dict[str, Any]:
    """Fill `out` (replaced as a whole, at the end): shards of the three splits, `sidecar.json`, `summary.json` and,
    where there are bad records, `quarantine.jsonl`.

    Args:
        folder: what `fetch` left.
        data: the block's `data`: `Data` and the task's own `Data`; `from` is fetch's.
        where: dotted key of `data`, for messages.
        processes: as many as the machine has cores by default.

    Returns: the summary.

    Raises:
        ConfigError: a key of `data`.
        DataError: a file missing or empty, a split without examples, too many bad records.
    """
    began = time.monotonic()
    task = tasks.load(task_name)
    shared, own = _configs(task, data, where)
    parts = raw.parts(folder, task, dataset, shared.files, own, where)
    total_bytes = sum(part.size for part in parts)
    worth = total_bytes // (CHUNKS_A_PROCESS * sizes.chunk_bytes)
    with files.whole_folder(out) as aside, _pool(parts, task, processes, worth) as (pool, processes):
        run = _Run(task_name, own, pool, processes, sizes, shared.max_bad_share)
        files.write_json(aside / "sidecar.json", task.sidecar(run.count(parts), own))
        metadata = {"task": task_name, "suite": suite, "sources": raw.checksums(parts)}
        splits = run.encode(parts, aside, metadata)
        summary = {"task": task_name, "kind": task.KIND, "suite": suite, "dataset": dataset, "splits": splits}
        summary["digest"] = _digest(aside)
        files.write_json(aside / "summary.json", summary)
    _show(summary, out, total_bytes, time.monotonic() - began, processes)
    return summary


@contextlib.contextmanager
def _pool(
    parts: list[Part], task: tasks.Task, processes: int | None, worth: int
) -> Iterator[tuple[parallel.Pool | None, int]]:
    """Whoever does the work of the chunks, and how many at a time: the cluster, processes, or None for this one."""
    resources = cluster.Resources.from_environment()
    if resources.address and worth > 1 and raw.travels(parts):
        with cluster.joined(resources):
            there = cluster.Pool()
            yield there, there.cores
        return
    processes = max(1, min(processes or parallel.cores(), worth))
    with parallel.pool(processes, [__name__, task.__name__]) as here:
        yield here, processes


class _Run:
    """Both passes over the sources."""

    def __init__(
        self, task: str, data: Any, pool: parallel.Pool | None, processes: int, sizes: Sizes, max_bad_share: float
    ):
        self.task, self.data, self.pool, self.sizes = task, data, pool, sizes
        self.ahead, self.max_bad_share = 2 * processes, max_bad_share

    def count(self, parts: Iterable[Part]) -> Counts:
        train = [part for part in parts if part.split in ("train", None)]
        counts: Counts = {}
        tally = Tally()
        for read in self._map(count_chunk, train, "counted"):
            tasks.merge(counts, read.counts)
            tally.add(read)
        tally.check("train", self.max_bad_share)
        if not any(counts.values()):
            raise no_examples("train")
        return counts

    def encode(self, parts: Iterable[Part], folder: Path, metadata: Mapping[str, str]) -> dict[str, Any]:
        """Write the shards and the quarantine; what each split came to."""
        sizes = {"shard_bytes": self.sizes.shard_bytes, "batch_bytes": self.sizes.batch_bytes}
        kind = tasks.load(self.task).KIND
        tally = Tally()
        function = functools.partial(encode_chunk, (folder / "sidecar.json").read_text(encoding="utf-8"))
        with contextlib.ExitStack() as stack:
            quarantine = stack.enter_context((folder / "quarantine.jsonl").open("w", encoding="utf-8"))
            writers = {s: stack.enter_context(arrow.Writer(folder, s, kind, metadata, **sizes)) for s in arrow.SPLITS}
            for read in self._map(function, parts, "encoded"):
                tally.add(read)
                for split, batch in read.batches.items():
                    writers[split].write(batch)
                quarantine.writelines(_line(split, bad) for split, bad in read.bad)
        if not tally.first_bad:
            (folder / "quarantine.jsonl").unlink()
        for split in arrow.SPLITS:
            tally.check(split, self.max_bad_share)
        return {split: tally.summary(split, writers[split].shards) for split in arrow.SPLITS}

    def _map(self, function: Callable[..., Read], parts: Iterable[Part], done: str) -> Iterator[Read]:
        parts = list(parts)
        progress = _Progress(sum(part.size for part in parts), done)
        for read in parallel.in_order(function, self._calls(parts), self.pool, self.ahead):
            progress.add(read.raw_bytes)
            yield read

    def _calls(self, parts: Iterable[Part]) -> Iterator[tuple[Work, Any, Where, int]]:
        task = tasks.load(self.task)
        for part in parts:
            work = Work(self.task, self.data, part.split)
            sizes = {"chunk_bytes": self.sizes.chunk_bytes, "longest": self.sizes.longest_record}
            for chunk, where, size in raw.pieces(part, task, **sizes):
                yield work, raw.packed(chunk) if isinstance(self.pool, cluster.Pool) else chunk, where, size


class _Progress:
    """A line now and then, for work that takes long."""

    def __init__(self, total: int, done: str):
        self.total, self.done, self.at, self.shown = total, done, 0, time.monotonic()

    def add(self, size: int) -> None:
        self.at += size
        if time.monotonic() - self.shown > PROGRESS_SECONDS:
            self.shown = time.monotonic()
            print(f"preprocess: {self.done} {_megabytes(self.at)} of {_megabytes(self.total)}", flush=True)


def _examples(work: Work, chunk: Any, where: Where) -> tuple[dict[str, list[Any]], Counter[str], list[Any]]:
    """The examples of a chunk by split, the number of records by split, the bad ones with their split."""
    examples: dict[str, list[Any]] = {split: [] for split in arrow.SPLITS}
    records: Counter[str] = Counter()
    bad: list[tuple[str, BadRecord]] = []
    split = work.split or ""
    for example in raw.examples(tasks.load(work.task), chunk, where, work.data):
        is_bad = isinstance(example, BadRecord)
        if work.split is None:
            # The second part of a record that was too long goes where the first one went.
            goes_on = not is_bad and not example.records
            split = getattr(example, "split", None) or (split if goes_on else chunks.split_of(example))
        if is_bad:
            records[split] += 1
            bad.append((split, dataclasses.replace(example, text=_shortened(example.text))))
        else:
            records[split] += example.records
            examples[split].append(example)
    return examples, records, bad


@functools.lru_cache(maxsize=1)
def _encoder(task: str, sidecar: str) -> Callable[[Any], tasks.Row]:
    """A process reads the sidecar once, not with each chunk."""
    return tasks.load(task).encoder(json.loads(sidecar))


def _configs(task: tasks.Task, data: Mapping[str, Any], where: str) -> tuple[Data, Any]:
    names = {field.name for field in dataclasses.fields(Data)}
    shared = {name: value for name, value in data.items() if name in names}
    own = {name: value for name, value in data.items() if name not in names and name != "from"}
    return from_mapping(Data, shared, where), from_mapping(task.Data, own, where)


def _line(split: str, bad: BadRecord) -> str:
    return json.dumps({**dataclasses.asdict(bad), "split": split}, ensure_ascii=False) + "\n"


def _shortened(text: str) -> str:
    return text if len(text) <= SHOWN_CHARACTERS else text[:SHOWN_CHARACTERS] + "..."


def _digest(folder: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted([*folder.glob("*.arrow"), folder / "sidecar.json"]):
        digest.update(f"{path.name}\0{files.sha256(path)}\n".encode())
    return digest.hexdigest()


def _megabytes(size: float) -> str:
    return f"{size / 1e6:,.1f} MB"


def _show(summary: Mapping[str, Any], out: Path, total_bytes: int, seconds: float, processes: int) -> None:
    for split, n in summary["splits"].items():
        bad = f", {n['bad_records']:,} bad" if n["bad_records"] else ""
        print(
            f"{split:<11}{n['records']:>12,} records{bad}, {n['steps']:>13,} steps in {n['rows']:,} rows, "
            f"{n['shards']} shard{'s' * (n['shards'] > 1)}, {_megabytes(n['bytes'])}"
        )
    if any(n["bad_records"] for n in summary["splits"].values()):
        print(f"bad records: {out / 'quarantine.jsonl'}")
    speed = _megabytes(total_bytes / max(seconds, 1e-9))
    print(f"{_megabytes(total_bytes)} of raw data in {seconds:.1f} s ({speed}/s, processes: {processes}): {out}")


def stage(suite: str, name: str) -> None:
    block = params.block(suite, name)
    folder, out = paths.raw(suite, name), paths.arrow(suite, name)
    preprocess(folder, out, block.task, block.data, suite=suite, dataset=block.dataset, where=f"blocks.{name}.data")


def main() -> None:
    cli.stage_main("Raw data to Arrow shards.", stage)


if __name__ == "__main__":
    main()
