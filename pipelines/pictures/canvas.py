"""A blank picture and a finished one: drawn without a screen, every text as it stands."""

import warnings
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("agg")
from matplotlib import pyplot

LONGEST = 16
"""Characters of a word in a picture."""
_SHOWN = {" ": "␣", "\n": "⏎", "\t": "⇥"}


def blank(rows: int, columns: int, size: tuple[float, float], **options: Any) -> tuple[Any, Any]:
    """A figure and its axes (rows, columns); size in inches."""
    return pyplot.subplots(rows, columns, figsize=size, squeeze=False, layout="constrained", **options)


def save(figure: Any, path: Path) -> None:
    with warnings.catch_warnings():
        # A script that the font lacks is drawn as boxes.
        warnings.filterwarnings("ignore", "Glyph")
        figure.savefig(path, dpi=110)
    pyplot.close(figure)


def word(text: str) -> str:
    """A word of the data as a label: short, what is invisible made visible, no formula begun by its dollars."""
    text = "".join(_SHOWN.get(character, character if character.isprintable() else "?") for character in text)
    return (text if len(text) <= LONGEST else text[: LONGEST - 1] + "…").replace("$", r"\$")
