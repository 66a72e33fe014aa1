"""A tick's state in the DVC remote, where it could not be pushed to the repository: `dvc.lock`, scores, and the commit
that they belong to, as `retrain/<suite>/<tick>`. The run cache there says what stages come to; this says besides which
models have been registered, so that a tick in an empty folder runs nothing at all that an earlier one ran.
"""

import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from pipelines import files, shards
from pipelines.storage import Storage
from rnn_core.errors import UserError

KEPT = 3
"""States of a suite, the newest ones."""
ABOUT = "state.json"


def put(suite: str, tick: str, commit: str, checkout: Path, names: Sequence[str]) -> None:
    """
    Args:
        names: of the state's files and folders in the checkout.

    Raises:
        UserError: there is no remote, or it does not take it.
    """
    address = shards.remote_address()
    if address is None:
        return
    storage = Storage(address)
    with tempfile.TemporaryDirectory() as aside:
        for name in names:
            source, target = checkout / name, Path(aside) / name
            target.parent.mkdir(parents=True, exist_ok=True)
            if source.is_dir():
                shutil.copytree(source, target)
            elif source.exists():
                shutil.copy(source, target)
        files.write_json(Path(aside) / ABOUT, {"commit": commit})
        storage.put(Path(aside), f"{_place(suite)}/{tick}")
    for old in storage.names(_place(suite))[:-KEPT]:
        storage.remove(f"{_place(suite)}/{old}")


def newer(suite: str, than: str, into: Path) -> str | None:
    """Fetch the newest state, where it is of a later tick than that of the branch.

    Args:
        than: the tick of the branch; empty where there is none.
        into: a folder that is not there yet.

    Returns: the commit that it belongs to; None where there is no such state, or the remote cannot tell.
    """
    try:
        address = shards.remote_address()
        storage = None if address is None else Storage(address)
        ticks = storage.names(_place(suite)) if storage else []
        if storage is None or not ticks or ticks[-1] <= than:
            return None
        storage.get(f"{_place(suite)}/{ticks[-1]}", into)
    except UserError as error:
        print(f"retrain: no state from the DVC remote: {error}", file=sys.stderr, flush=True)
        return None
    return str(files.read_json(into / ABOUT)["commit"])


def _place(suite: str) -> str:
    return f"retrain/{suite}"
