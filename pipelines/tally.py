"""What preprocessing came to: rows and records by split, and whether too many of them are bad."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from pipelines.tasks import BadRecord, Counts
from rnn_core import arrow
from rnn_core.arrow import SPLITS
from rnn_core.errors import DataError


@dataclass(frozen=True)
class Read:
    """What one chunk came to."""

    counts: Counts
    batches: dict[str, pa.RecordBatch]
    """By split."""
    records: Counter[str]
    """Good and bad ones, by split."""
    bad: list[tuple[str, BadRecord]]
    """With their split."""
    raw_bytes: int


class Tally:
    """Counts of records and rows by split, and the first bad record of each."""

    def __init__(self) -> None:
        self.numbers: dict[str, Counter[str]] = {split: Counter() for split in SPLITS}
        self.first_bad: dict[str, BadRecord] = {}

    def add(self, read: Read) -> None:
        for split, records in read.records.items():
            self.numbers[split]["records"] += records
        for split, bad in read.bad:
            self.numbers[split]["bad_records"] += 1
            self.first_bad.setdefault(split, bad)
        for split, batch in read.batches.items():
            self.numbers[split].update(_row_numbers(batch))

    def check(self, split: str, max_bad_share: float) -> None:
        numbers, bad = self.numbers[split], self.first_bad.get(split)
        if bad is not None and numbers["bad_records"] > max_bad_share * numbers["records"]:
            share = f"{100 * numbers['bad_records'] / numbers['records']:.3g} %"
            found = f"{bad.found} (first of {numbers['bad_records']} bad of {numbers['records']} records: {share})"
            allowed = f"{bad.allowed}; at most {100 * max_bad_share:.3g} % may be bad (data.max_bad_share)"
            raise DataError(bad.where, found, allowed)

    def summary(self, split: str, shards: list[Path]) -> dict[str, int]:
        """records: of the raw file, bad ones too; sequences: what the network sees as one; steps: of all sequences.

        DataError where there are no steps.
        """
        numbers = self.numbers[split]
        if not numbers["steps"]:
            raise no_examples(split)
        names = ("records", "bad_records", "sequences", "rows", "steps")
        size = sum(shard.stat().st_size for shard in shards)
        return {name: numbers[name] for name in names} | {"shards": len(shards), "bytes": size}


def no_examples(split: str) -> DataError:
    return DataError(f"split `{split}`", "no examples", "at least one (is the raw file large enough to split?)")


def _row_numbers(batch: pa.RecordBatch) -> dict[str, int]:
    first = "first" in batch.schema.names
    sequences = sum(batch.column("first").to_pylist()) if first else batch.num_rows
    return {"sequences": sequences, "rows": batch.num_rows, "steps": arrow.num_steps(batch)}
