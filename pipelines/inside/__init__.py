"""What a trained network does inside, as pictures and a table of examples: a part of its evaluation, of some seconds.

Of some steps of the test data only (`subject.STEPS`), so that the time does not grow with them: windows evenly spread
over them; of a stream the first of several lanes, which begin at as many places of it. `memory`: the gradient's way
back, the reach of memory, the cost of truncation. `steps`: examples step by step. `reading`: how the examples of a kind
are read by a person.
"""

from pathlib import Path

from pipelines import networks, params
from pipelines.inside import memory, steps
from pipelines.inside.subject import Subject
from pipelines.tasks import Table
from rnn_core.arrow import read_split


def look(model: networks.Model, arrow: Path, train: params.Train, folder: Path, title: str) -> dict[str, Table]:
    """The pictures into `folder`; the numbers in them, and the examples of smallest and largest loss, as tables."""
    subject = Subject(model, read_split(arrow, "test", model.task.KIND), train, folder, title)
    return memory.tables(subject) | steps.tables(subject)
