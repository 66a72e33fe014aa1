"""Examples step by step: unrolled in time, how surprising each step was, where attention was, and a table of them."""

from typing import Any

import numpy as np
import torch

from pipelines import pictures
from pipelines.inside import reading
from pipelines.inside.subject import Looked, Subject, carry
from pipelines.pictures import panels
from pipelines.pictures.panels import Axis, Panel
from pipelines.tasks import Table
from rnn_core import inspect
from rnn_core.inspect import Example, parts
from rnn_core.lanes import Window
from rnn_core.models import recognition
from rnn_core.speech.ctc_alignment import align

RANKS = 10
"""Examples at each end of the table."""
LEVELS = (0.1, 0.5, 0.9)


def tables(subject: Subject) -> dict[str, Table]:
    """Of examples that are not short: the one of middling loss unrolled, and its surprise beside that of the worst;
    all of them by their loss."""
    windows = subject.windows()
    examples = inspect.examples(subject.network, windows, windows.count)
    enough = np.median([example.num_steps for example in examples])
    long = [example for example in examples if example.num_steps >= enough]
    middle, worst = (_shown(subject, windows, example) for example in (long[len(long) // 2], long[-1]))
    _unrolled(subject, windows, middle)
    told = {name: _surprise(subject, windows, one) for name, one in (("middling", middle), ("worst", worst))}
    pictures.surprise(told, subject.unit.rpartition(" a ")[0], subject.folder / "surprise.png", subject.title)
    _attention(subject, windows(middle.window), middle)
    return {"examples_by_loss": _table(subject, windows, examples)}


def _shown(subject: Subject, windows: Looked, example: Example) -> Example:
    """The first steps of an example; one class for the whole is judged anew after each of them."""
    window = windows(example.window)
    most = reading.most_steps(reading.read(subject, window, example))
    if subject.kind == "classification":
        return inspect.while_read(subject.network, window, example, most)
    return example.head(most)


def _unrolled(subject: Subject, windows: Looked, example: Example) -> None:
    window, network = windows(example.window), subject.network
    before = carry(network, windows, example.window)
    read = reading.read(subject, window, example)
    for part in parts(network):
        if part.of_source:
            _source(subject, window, example, part)
            continue
        shown = inspect.unroll(network, window, before, example.lane, example.steps, part)
        stacked = [_said(subject, window, before, example), *panels.states(shown, part.name), *read.below]
        pictures.unrolled(stacked, read.axis, subject.folder / "unrolled.png", subject.title)


def _said(subject: Subject, window: Window, before: Any, example: Example) -> Panel:
    """What came out at each step."""
    if subject.kind == "forecasting":
        q_TQ = inspect.ahead(subject.network, window, before, example, LEVELS)
        came_T = window.fields["targets_TBS"][example.steps, example.lane, 0].double().numpy()
        return panels.foreseen(q_TQ, came_T)
    if subject.kind == "recognition":
        return _alignment(subject, window, before, example)
    name = "p(right)\nafter this step" if subject.kind == "classification" else "p(right)"
    return panels.answers(np.exp(-example.losses_T), ~reading.wrong(example), name)


@torch.no_grad()
def _alignment(subject: Subject, window: Window, before: Any, example: Example) -> Panel:
    """The characters of the right transcript over the steps of an utterance."""
    hidden_TBH, _ = subject.network(window, before)
    number = int(window.fields["examples_N"][window.fields["row_TB"][example.steps.start, example.lane]])
    heard = recognition.heard(subject.network, window, hidden_TBH)
    log_p_TV, labels = next((log_p_TV, labels) for found, log_p_TV, labels in heard if found == number)
    path_T, names = align(log_p_TV, labels), subject.model.sidecar["classes"]
    steps = slice(len(example.right_T))
    return panels.alignment(np.exp(log_p_TV[steps][:, labels]).T, [names[i] for i in labels], path_T[steps])


def _source(subject: Subject, window: Window, example: Example, part: inspect.Part) -> None:
    """The encoder over the words of the source, with how much attention each got while the target was said."""
    words = reading.source(subject, window, example.lane)
    axis = Axis(count=len(words), name="token of the source", words=words)
    shown = inspect.unroll(subject.network, window, (), example.lane, slice(len(words)), part)
    stacked = panels.states(shown, part.name)
    weights_TBS = inspect.attended(subject.network, window)
    if weights_TBS is not None:
        got_S = weights_TBS[example.steps, example.lane, : len(words)].sum(0).double().numpy()
        stacked = [panels.shares(got_S, "attention got\n(steps' worth)"), *stacked]
    pictures.unrolled(stacked, axis, subject.folder / "unrolled_encoder.png", subject.title)


def _surprise(subject: Subject, windows: Looked, example: Example) -> pictures.Surprise:
    read = reading.read(subject, windows(example.window), example)
    right = f", right: {read.texts['right']}" if subject.kind == "classification" else ""
    return pictures.Surprise(
        axis=read.axis,
        losses_T=example.losses_T,
        answered=read.answered,
        wrong_T=reading.wrong(example),
        told=f"{example.loss:.2f} {subject.unit}{right}",
    )


def _attention(subject: Subject, window: Window, example: Example) -> None:
    """Over the words of the source, or over the picture; nothing where nothing is attended to."""
    if subject.kind not in ("transduction", "captioning"):
        return
    weights_TBS = inspect.attended(subject.network, window)
    read, path = reading.read(subject, window, example), subject.folder / "attention.png"
    of_TS = None if weights_TBS is None else weights_TBS[example.steps, example.lane].double().numpy()
    if subject.kind == "transduction":
        words = reading.source(subject, window, example.lane)
        gradient_TS = inspect.source_flow(subject.network, window, example.lane, example.steps)
        of_TS = None if of_TS is None else of_TS[:, : len(words)]
        pictures.attention(of_TS, gradient_TS, read.axis.above, words, path, subject.title)
    elif of_TS is not None and "image_NCYX" in window.fields:
        image = window.fields["images_TB"][example.steps.start, example.lane]
        picture_YXC = window.fields["image_NCYX"][image].permute(1, 2, 0).numpy()
        pictures.glances(picture_YXC, of_TS, read.axis.above, path, subject.title)


def _table(subject: Subject, windows: Looked, examples: list[Example]) -> Table:
    """The best, then the worst of those that are left; of the steps looked at."""
    ends = [*enumerate(examples[:RANKS], 1), *list(enumerate(examples, 1))[RANKS:][-RANKS:]]
    return [
        {"rank": rank, "of": len(examples), "loss": example.loss, "unit": subject.unit, "steps": example.num_steps}
        | reading.read(subject, windows(example.window), example).texts
        for rank, example in ends
    ]
