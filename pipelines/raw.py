"""The raw folder as work: the parts that are read, of which split each is, and the chunks they are cut into.

A chunk is what one call of a pure function gets; where it is cut depends on the data and the sizes alone.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, cast

from pipelines import aligned, chunks, items
from pipelines.aligned import Aligned
from pipelines.chunks import Source
from pipelines.items import Items
from pipelines.tasks import AlignedTask, BadRecord, Item, ItemTask, Task, TextTask, Where

Part = Source | Aligned | Items


def parts(raw: Path, task: Task, dataset: str, files: Mapping[str, str] | None, data: Any, where: str) -> list[Part]:
    """All that is read, in the order of the splits.

    Args:
        files: the block's `data.files`.
        data: the task's own `Data`.
        where: dotted key of the block's `data`, for messages.

    Raises:
        ConfigError: `files` does not name the three splits, or a file outside of the folder.
        DataError: a file is missing or empty.
    """
    if task.RAW == "text":
        return list(chunks.sources(raw, cast(TextTask, task), dataset, files, where))
    named = None if files is None else chunks.named(raw, files, f"{where}.files")
    if task.RAW == "aligned":
        return list(aligned.parts(raw, cast(AlignedTask, task), dataset, named, data))
    return list(items.parts(cast(ItemTask, task).items(raw, dataset, named, data)))


def pieces(part: Part, task: Task, *, chunk_bytes: int, longest: int) -> Iterator[tuple[Any, Where, int]]:
    """The chunks of a part, each with its place and its bytes."""
    if isinstance(part, Source):
        for chunk, where in chunks.chunks(part, cast(TextTask, task), chunk_bytes=chunk_bytes, longest=longest):
            yield chunk, where, len(chunk)
    elif isinstance(part, Aligned):
        for sides, where in aligned.chunks(part, chunk_bytes=chunk_bytes, longest=longest):
            yield sides, where, sum(map(len, sides))
    else:
        yield from items.chunks(part, chunk_bytes=chunk_bytes)


def travels(read: list[Part]) -> bool:
    """Whether a chunk can go to another machine: not where many are parts of one file, which would go with each."""
    entries = [entry for part in read if isinstance(part, Items) for entry in part.entries]
    return not any(isinstance(entry, Item) and entry.size is not None for entry in entries)


def packed(chunk: Any) -> Any:
    """A chunk with all that is read for it."""
    return items.packed(chunk) if isinstance(chunk, tuple) and isinstance(chunk[0], Item | BadRecord) else chunk


def examples(task: Task, chunk: Any, where: Where, data: Any) -> Iterator[Any]:
    """What the task reads in a chunk, packed or not: examples and bad records."""
    if task.RAW != "items":
        yield from task.read(chunk, where, data)
        return
    with items.unpacked(chunk) as entries:
        yield from items.read(task, entries, data)


def checksums(read: list[Part]) -> str:
    """As JSON: the digest of each file, or one of all items together."""
    found: dict[str, str] = {}
    for part in read:
        found |= part.checksums()
    return json.dumps(found, sort_keys=True)
