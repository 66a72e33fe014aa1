"""DVC's cache in a checkout: what no lock file reaches.

Its remote, which others share, is left to `dvc gc --cloud`, and so is a cache outside of the checkout; the run cache is
small, and says what the remote has.
"""

from collections.abc import Iterator
from pathlib import Path

from pipelines.retrain.retention import piece
from pipelines.retrain.retention.history import History, listed
from pipelines.retrain.retention.piece import Piece


def unreached(checkout: Path, history: History) -> Iterator[Piece]:
    """Files that none of the history's lock files names, itself or in a folder."""
    files = checkout / ".dvc/cache/files/md5"
    named = history.digests()
    for folder in sorted(one for one in named if one.endswith(".dir")):
        manifest = files / folder[:2] / folder[2:]
        if manifest.exists():
            named |= listed(manifest)
    for path in sorted(files.glob("??/*")):
        if f"{path.parent.name}{path.name}" not in named and path.is_file() and not piece.fresh(path):
            yield piece.of("cache", path, checkout)
