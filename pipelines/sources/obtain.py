"""All files of a public data set, each from the nearest place that has it: store, mirror, public addresses.

The store keeps verified files by their sha256, so that each is fetched once for all suites and experiments.
"""

import hashlib
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from pipelines import locks
from pipelines.sources import archive
from pipelines.sources.dataset import Content, Dataset
from pipelines.sources.download import Missing, Patience, download
from pipelines.sources.mirror import VARIABLE, Place, within
from rnn_core.errors import DataError


@dataclass(frozen=True, kw_only=True)
class Way:
    """One way to get a wanted file: the file itself, or an archive that holds it."""

    place: Place
    archive: str | None = None


@dataclass(frozen=True, kw_only=True)
class Sources:
    """Where and how the files of public data sets are looked for."""

    downloads: Path
    """The store, shared by all processes of this machine."""
    mirror: Place | None
    """Asked before the public addresses."""
    patience: Patience = field(default_factory=Patience)


def obtain(name: str, dataset: Dataset, folder: Path, sources: Sources) -> dict[str, Place]:
    """Put all files of a data set into `folder`, which is there.

    Args:
        name: the data set's name, its folder in the mirror.
        dataset: its catalogue entry.

    Returns:
        for each file where it was had (its place in the store if it was there already).

    Raises:
        DataError: a file is to be had nowhere; says what was found at each place.
    """
    work = sources.downloads / name
    work.mkdir(parents=True, exist_ok=True)
    had: dict[str, Place] = {}

    def waits(_: str) -> None:
        print(f"{name}: another process is fetching it, waiting", file=sys.stderr, flush=True)

    with locks.held(work / "lock", waits=waits):
        for file, content in dataset.files.items():
            kept = sources.downloads / content.sha256
            if _is_kept(kept, content):
                had.setdefault(file, kept)
            else:
                had |= _bring(name, file, dataset, sources)
            target = folder / file
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(kept, target)
    return had


def ways(name: str, file: str, dataset: Dataset, mirror: Place | None) -> Iterator[Way]:
    """The ways to a file in the order in which they are tried."""
    holders = {key: held for key, held in dataset.archives.items() if file in dataset.members(key)}
    if mirror is not None:
        kept = dataset.mirror or name
        yield Way(place=within(mirror, kept, file))
        yield from (Way(place=within(mirror, kept, key), archive=key) for key in holders)
    yield from (Way(place=url) for url in dataset.files[file].urls)
    yield from (Way(place=url, archive=key) for key, held in holders.items() for url in held.urls)


def _bring(name: str, file: str, dataset: Dataset, sources: Sources) -> dict[str, Place]:
    """Get a file, and what an archive holds beside it, into the store by the first way that leads there."""
    failures: list[DataError] = []
    for way in ways(name, file, dataset, sources.mirror):
        try:
            if way.archive is None:
                _bring_file(way.place, dataset.files[file], sources.downloads / name, sources.patience)
            else:
                _bring_archive(way.place, way.archive, dataset, sources.downloads / name, sources.patience)
        except DataError as failure:
            failures.append(failure)
            continue
        for broken in failures:
            if not isinstance(broken, Missing):  # told, though another place has helped
                print(f"{broken.where}: {broken.found}; {broken.allowed}", file=sys.stderr)
        return dict.fromkeys([file] if way.archive is None else dataset.members(way.archive), way.place)
    tried = ", ".join(f"{failure.where} ({failure.found})" for failure in failures) or "nowhere to look"
    names = " or ".join([file, *(key for key in dataset.archives if file in dataset.members(key))])
    advice = f"connect to the network, or set {VARIABLE} to a folder or address that has {names} in {name}/"
    raise DataError(f"{name}/{file}", f"not to be had: {tried}", f"{advice}; wanted are {dataset.files[file]}")


def _bring_file(place: Place, wanted: Content, work: Path, patience: Patience) -> None:
    """Get a file into the store, which is the folder around `work`, or leave nothing but a download's beginning."""
    target = work / wanted.sha256
    if isinstance(place, str):
        download(place, target, wanted, patience)
    else:
        _expect(place)
        shutil.copyfile(place, target)
        try:
            wanted.check(target, str(place))
        except DataError:
            target.unlink()
            raise
    os.replace(target, work.parent / wanted.sha256)


def _bring_archive(place: Place, name: str, dataset: Dataset, work: Path, patience: Patience) -> None:
    """Get all wanted files of the archive `name` into the store, or none."""
    wanted = {path: dataset.files[file] for file, path in dataset.members(name).items()}
    with tempfile.TemporaryDirectory(dir=work) as aside:
        if isinstance(place, str):
            # Its beginning lies outside `aside`, so that the next process goes on from it.
            packed = work / f"archive-{hashlib.sha256(place.encode()).hexdigest()}"
            download(place, packed, None, patience)
            packed = packed.replace(Path(aside, "packed"))
        else:
            _expect(place)
            packed = place
        unpacked = Path(aside, "unpacked")
        unpacked.mkdir()
        try:
            archive.unpack(packed, unpacked, {path: content.bytes for path, content in wanted.items()})
        except DataError as error:
            raise DataError(error.where.replace(str(packed), str(place), 1), error.found, error.allowed) from error
        for path, content in wanted.items():
            content.check(unpacked / path, f"{place}!{path}")
        for path, content in wanted.items():
            os.replace(unpacked / path, work.parent / content.sha256)


def _expect(place: Path) -> None:
    if not place.is_file():
        raise Missing(str(place), "no such file", "a file is wanted there")


def _is_kept(kept: Path, content: Content) -> bool:
    """Whether the store has a file; one that has been damaged since is thrown away."""
    if not kept.is_file():
        return False
    try:
        content.check(kept, str(kept))
    except DataError:
        kept.unlink()
        return False
    return True
