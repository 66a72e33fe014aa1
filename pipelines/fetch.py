"""Stage `fetch`: the raw data of a block, whole and checked, in `data/raw/<suite>/<block>`.

    python -m pipelines.fetch <block> [--suite sample|public]

They come from where the block's `data.from` says: an entry of the catalogue (store, mirror, public addresses), a
generator of samples, or the user's own file or folder. `source.json` beside them says what they are; it holds nothing
that depends on the place they were had from, so that equal data stay equal for DVC.
"""

import time
from pathlib import Path
from typing import Any

from pipelines import cli, files, params, paths, samples
from pipelines.sources import own
from pipelines.sources.dataset import load
from pipelines.sources.mirror import mirror
from pipelines.sources.obtain import Sources, obtain
from rnn_core.errors import DataError

CATALOGUE = "pipelines/sources/catalogue"
SAMPLES = "pipelines/samples"


def fetch(suite: str, name: str) -> None:
    """Fill `paths.raw(suite, name)`, or leave it as it is.

    Raises:
        ConfigError: no such block or catalogue entry, or a mirror that is not there.
        DataError: the data are missing, damaged or empty.
    """
    began = time.monotonic()
    block = params.block(suite, name)
    about, origin = collect(paths.root() / block.source, block.dataset, paths.raw(suite, name))
    size = sum(file["bytes"] for file in about["files"].values())
    seconds = time.monotonic() - began
    print(f"fetch {suite}/{name}: {len(about['files'])} files, {size:,} bytes, {seconds:.1f} s, from {origin}")
    print(f"fetch {suite}/{name}: data set {block.dataset}, licence: {about['licence']}")


def collect(source: Path, dataset: str, target: Path) -> tuple[dict[str, Any], str]:
    """Make the folder `target` whole, of the data of `source` and `source.json`, or leave it as it is.

    Returns:
        what `source.json` says, and where the data were had, for the terminal.
    """
    try:
        with files.whole_folder(target) as folder:
            about, origin = fill(source, folder)
            about |= {"dataset": dataset, "files": contents(folder)}
            files.write_json(folder / "source.json", about)
    except OSError as error:
        where = str(error.filename or target)
        raise DataError(where, error.strerror or str(error), "check permissions and free space") from error
    return about, origin


def fill(source: Path, folder: Path) -> tuple[dict[str, Any], str]:
    """Put the raw data of `source` into `folder`.

    Returns:
        what is known about them (title, licence, citation, urls), and where they were had, for the terminal.
    """
    home = source.resolve().parent
    if home == (paths.root() / CATALOGUE).resolve():
        return from_catalogue(source, folder, Sources(downloads=paths.downloads(), mirror=mirror()))
    if home == (paths.root() / SAMPLES).resolve():
        return from_samples(source, folder)
    own.copy(source, folder)
    return _about("own data", "the user's own", "", ()), str(source)


def from_catalogue(entry: Path, folder: Path, sources: Sources) -> tuple[dict[str, Any], str]:
    """Public data, see `obtain`."""
    dataset = load(entry)
    had = obtain(entry.stem, dataset, folder, sources)
    origins = sorted({str(place).rpartition("/")[0] for place in had.values()})
    about = _about(dataset.title, dataset.licence, dataset.citation, dataset.urls)
    return about | {"homepage": dataset.homepage, "note": dataset.note}, ", ".join(origins)


def from_samples(module: Path, folder: Path) -> tuple[dict[str, Any], str]:
    """A corpus that the generator of a task makes."""
    samples.generate(module.stem, folder)
    for name, content in contents(folder).items():
        if content["bytes"] == 0:
            raise DataError(f"{module}: {name}", "an empty file", "the generator must write data")
    return _about(f"sample corpus of {module.stem}", "that of this repository", "", ()), f"{SAMPLES}/{module.name}"


def contents(folder: Path) -> dict[str, dict[str, Any]]:
    """Relative name -> sha256 and bytes, of the raw data files."""
    found = sorted(path for path in folder.rglob("*") if path.is_file())
    names = {path.relative_to(folder).as_posix(): path for path in found}
    return {
        name: {"sha256": files.sha256(path), "bytes": path.stat().st_size}
        for name, path in names.items()
        if name not in own.RESERVED
    }


def _about(title: str, licence: str, citation: str, urls: tuple[str, ...]) -> dict[str, Any]:
    return {"title": title, "licence": licence, "citation": citation, "urls": list(urls)}


if __name__ == "__main__":
    cli.stage_main("Fetch the raw data of a block.", fetch)
