"""Folders of recordings with their transcripts, as plain entries: which file says what, and which split it is of.

Known by their files: an index of tab-separated lines for each split (own data, sample corpora), the layout of CMU AN4
(`etc/an4_train.fileids`), that of the Free Spoken Digit Dataset (`recordings/7_jackson_32.wav`).
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

SPLITS = ("train", "validation", "test")
HELD_OUT = 9
"""AN4 has no validation split: of its training speakers, in the order of their names, every ninth is held out."""
DIGITS_TEST, DIGITS_VALIDATION = range(0, 5), range(5, 10)
"""Indices of the recordings of each digit and speaker; 0-4 is the official test split."""
_DIGIT = re.compile(r"(\d)_([a-z]+)_(\d+)")
_AN4_LINE = re.compile(r"(?:<s>)?(.*?)(?:</s>)?\s*\(([^()]+)\)\s*")


@dataclass(frozen=True)
class Entry:
    """A recording and what is said in it."""

    path: Path
    transcript: str
    split: str | None
    """None: by hash."""


@dataclass(frozen=True)
class Flaw:
    """A line or a file that is no recording with its transcript."""

    where: str
    found: str
    allowed: str
    text: str
    split: str | None


def entries(raw: Path, files: Mapping[str, Path] | None) -> Iterator[Entry | Flaw]:
    """All recordings of a raw folder in their order.

    Args:
        files: the index of each split; None finds out what the folder is.
    """
    if files is not None:
        yield from indexed(raw, files)
    elif (raw / "etc/an4_train.fileids").is_file():
        yield from an4(raw)
    elif (raw / "recordings").is_dir():
        yield from digits(raw)
    else:
        found = sorted(raw.glob("*.tsv"))
        named = {split: raw / f"{split}.tsv" for split in SPLITS}
        yield from indexed(raw, {None: found[0]} if len(found) == 1 else named)


def indexed(raw: Path, files: Mapping[str, Path] | Mapping[None, Path]) -> Iterator[Entry | Flaw]:
    """Lines `path of a wav file <tab> transcript`, the path relative to the index; empty lines are skipped.

    A wav file below the folder of an index that no line of any index names is a flaw.
    """
    named: set[Path] = set()
    for split, index in files.items():
        name = index.relative_to(raw).as_posix()
        if not index.is_file():
            yield Flaw(name, "no such file", "lines `path of a wav file <tab> transcript`", "", split)
            continue
        for number, line in enumerate(index.read_text(encoding="utf-8-sig", errors="replace").splitlines(), 1):
            where, parts = f"{name}:{number}", line.split("\t")
            if not line.strip():
                continue
            if len(parts) != 2:
                yield Flaw(where, f"{len(parts)} columns", "2, apart by a tab: wav file, transcript", line, split)
                continue
            path = index.parent / parts[0]
            if not path.resolve().is_relative_to(raw.resolve()):
                yield Flaw(where, f"the file {parts[0]}", "a file inside the folder `from`", line, split)
            elif path.resolve() in named:
                yield Flaw(where, f"{parts[0]} once more", "one line for each recording", line, split)
            else:
                named.add(path.resolve())
                yield Entry(path, parts[1], split)
    yield from _without_transcript(raw, sorted(raw.rglob("*.wav")), named, next(iter(files)))


def digits(raw: Path) -> Iterator[Entry | Flaw]:
    """`<digit>_<speaker>_<index>.wav`: the digit is the transcript, the index says the split."""
    for path in sorted((raw / "recordings").glob("*.wav")):
        match = _DIGIT.fullmatch(path.stem)
        if match is None:
            found = f"recordings/{path.name}"
            yield Flaw(found, "another name", "<digit>_<speaker>_<index>.wav", path.name, "train")
            continue
        index = int(match[3])
        split = "test" if index in DIGITS_TEST else "validation" if index in DIGITS_VALIDATION else "train"
        yield Entry(path, match[1], split)


def an4(raw: Path) -> Iterator[Entry | Flaw]:
    """Line n of `etc/an4_<split>.fileids` names the recording of line n of `etc/an4_<split>.transcription`."""
    named: set[Path] = set()
    for half in ("train", "test"):
        ids, lines = (
            (raw / f"etc/an4_{half}.{ending}").read_text(encoding="utf-8").splitlines()
            for ending in ("fileids", "transcription")
        )
        name = f"etc/an4_{half}.transcription"
        if len(ids) != len(lines):
            yield Flaw(name, f"{len(lines)} lines", f"{len(ids)}, as in an4_{half}.fileids", "", half)
        held = _held_out(ids) if half == "train" else set()
        for number, (key, line) in enumerate(zip(ids, lines, strict=False), 1):
            match = _AN4_LINE.fullmatch(line)
            split = "validation" if _speaker(key) in held else half
            if match is None or match[2] != key.rpartition("/")[2]:
                yield Flaw(f"{name}:{number}", f"the line {line!r}", f"a transcript and ({key})", line, split)
                continue
            path = raw / "wav" / f"{key}.wav"
            named.add(path.resolve())
            yield Entry(path, match[1], split)
    yield from _without_transcript(raw, sorted((raw / "wav").rglob("*.wav")), named, "train")


def _held_out(ids: Sequence[str]) -> set[str]:
    return set(sorted({_speaker(key) for key in ids})[::HELD_OUT])


def _speaker(key: str) -> str:
    return key.split("/")[-2]


def _without_transcript(raw: Path, recordings: Sequence[Path], named: set[Path], split: str | None) -> Iterator[Flaw]:
    for path in recordings:
        if path.resolve() not in named:
            name = path.relative_to(raw).as_posix()
            yield Flaw(name, "a recording without transcript", "a line of an index for each wav file", path.name, split)
