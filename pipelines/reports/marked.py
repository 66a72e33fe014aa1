"""Pages in Markdown with parts that programs write, each between two markers; all else on them is written by hand."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from pipelines import files
from rnn_core.errors import DataError

Markers = tuple[str, str]
"""A line before the part, and one behind it."""


def part(text: str, markers: Markers) -> re.Match[str]:
    """What stands between the markers (group 1) of a page.

    Raises:
        DataError: a marker is missing.
    """
    begin, end = map(re.escape, markers)
    match = re.search(f"(?<={begin}\n)(.*?)\n?(?={end})", text, re.DOTALL)
    if match is None:
        raise DataError("README.md", "no place for the tables", f"the lines {markers[0]} and {markers[1]} are wanted")
    return match


def write(file: Path, parts: Mapping[Markers, str]) -> None:
    """Rewrite these parts of a page in place."""
    text = file.read_text(encoding="utf-8")
    for markers, new in parts.items():
        old = part(text, markers)
        text = f"{text[: old.start()]}{new}\n{text[old.end() :]}"
    files.write_text(file, text)


def table(rows: Sequence[Sequence[str]]) -> str:
    """A row a line; the first is the heading, the second how its columns are aligned."""
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)
