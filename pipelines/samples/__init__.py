"""Sample corpora: one module a task, found by its file name. Fixed seed, standard library and numpy, a few seconds.

A module has `generate(folder)`: it writes raw files as the task's public data has them, and `limits.json`:
`metric`, `direction`, and the scores `best_possible` and `best_memoryless` on the test file, computed from the process
that made the corpus. How far a model comes from the second to the first says how much of the sequence it has learnt.
"""

import importlib
from pathlib import Path

from rnn_core.errors import ConfigError


def names() -> list[str]:
    return sorted(path.stem for path in Path(__file__).parent.glob("[a-z]*.py"))


def generate(task: str, folder: Path) -> None:
    """Write the sample corpus of a task into a folder that is there; equal bytes each time.

    Raises:
        ConfigError: the task has no sample corpus; those that have one are listed.
    """
    if task not in names():
        raise ConfigError("data.from", f"no sample corpus for `{task}`", f"there is one for {', '.join(names())}")
    importlib.import_module(f"{__name__}.{task}").generate(folder)
