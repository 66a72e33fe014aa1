"""The mirror of the public data sets: a folder or a URL prefix that is asked before the public addresses.

Reads RNN_DATA_MIRROR. A file lies at `<mirror>/<dataset>/<file>`.
"""

import os
import re
import urllib.parse
from pathlib import Path

from pipelines import paths
from rnn_core.errors import ConfigError

VARIABLE = "RNN_DATA_MIRROR"

Place = Path | str
"""Where a file lies: a path of this machine, or an http(s) address as text."""


def mirror() -> Place | None:
    """The mirror that the environment names, or None.

    A relative folder is taken from the main checkout: the same one in every stage, and in an experiment, which runs in
    a copy of the repository elsewhere.

    Raises:
        ConfigError: the folder is not there, or the address is neither http nor https.
    """
    value = os.environ.get(VARIABLE, "").strip()
    if not value:
        return None
    if re.match(r"https?://", value):
        return value.rstrip("/")
    folder = (paths.home() / value).resolve()
    if "://" in value or not folder.is_dir():
        found = f"found {value!r}" if "://" in value else f"no folder {folder}"
        raise ConfigError(VARIABLE, found, "an existing folder or an address http(s)://... is allowed")
    return folder


def within(place: Place, dataset: str, name: str) -> Place:
    """Where the mirror `place` keeps a file of a data set."""
    if isinstance(place, Path):
        return place / dataset / name
    return f"{place}/{urllib.parse.quote(dataset)}/{urllib.parse.quote(name)}"
