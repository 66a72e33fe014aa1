"""The sample videos: exact scores against a sum over all of the process, and against a reader of their pixels."""

import itertools
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipelines import files
from pipelines.samples import video_action as sample

RESTS = (2, 3, 2)
"""One of the choices: how long the dot rests is drawn without regard to anything else."""


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("videos")
    sample.generate(folder)
    return folder


@pytest.fixture(scope="module")
def outcomes() -> dict[tuple[int, ...], Counter]:
    """What can be seen -> P(it and the class), over all that the process may draw."""
    found: dict[tuple[int, ...], Counter] = defaultdict(Counter)
    lingers = list(itertools.product((1, 2), repeat=sample.PLACES - 1))
    weights = {w: np.prod([sample.LINGERING if n == 2 else 1 - sample.LINGERING for n in w]) for w in lingers}
    for (label, p), hidden in itertools.product(sample.CLASSES.items(), itertools.product((False, True), repeat=2)):
        p_hidden = np.prod([sample.CURTAIN if gone else 1 - sample.CURTAIN for gone in hidden])
        for start, one, two in itertools.product(range(sample.STARTS), lingers[:8], lingers[:8]):
            places = sample.journey(label.split("_"), hidden, start, (one, two), RESTS)
            found[tuple(places)][label] += p * p_hidden * weights[one] * weights[two] / sample.STARTS
    return found


def test_the_best_class_is_the_most_probable_given_all_that_is_seen(outcomes: dict[tuple[int, ...], Counter]) -> None:
    seen = 0
    for label, hidden in itertools.product(sample.CLASSES, itertools.product((False, True), repeat=2)):
        places = sample.journey(label.split("_"), hidden, 0, [(1,) * (sample.PLACES - 1)] * 2, RESTS)
        ((best, _),) = outcomes[tuple(places)].most_common(1)
        assert sample.best_class(label.split("_"), hidden) == best
        seen += 1
    assert seen == 16


def test_the_frames_as_a_set_say_nothing() -> None:
    """P(frames in any order | class) is the same for all classes."""
    lingers = list(itertools.product((1, 2), repeat=sample.PLACES - 1))
    bags: dict[str, Counter] = {label: Counter() for label in sample.CLASSES}
    for label, one, two in itertools.product(sample.CLASSES, lingers, lingers):
        p = sample.LINGERING ** (sum(one) + sum(two)) / (1 - sample.LINGERING) ** (sum(one) + sum(two))
        for hidden in ((False, False), (False, True), (True, False)):
            places = sample.journey(label.split("_"), hidden, 0, (one, two), RESTS)
            bags[label][tuple(sorted(places))] += p
    first, *others = bags.values()
    for other in others:
        assert first.keys() == other.keys()
        assert all(other[bag] == pytest.approx(p) for bag, p in first.items())


def read_turns(frames: np.ndarray) -> list[str | None]:
    """The turns of a video from its pixels alone: the brightest one goes round the middle of all its places."""
    seen = frames.reshape(len(frames), -1).max(axis=1) > sample.BACKGROUND + sample.NOISE + 50
    spots = np.array([np.unravel_index(frame.argmax(), frame.shape) for frame in frames], float)
    resting = seen & (np.abs(spots - spots[0]).max(axis=1) <= 1)
    borders = np.flatnonzero(np.diff(resting.astype(int)))
    turns: list[str | None] = []
    for begin, end in borders.reshape(-1, 2) + 1:
        if not seen[begin]:
            turns.append(None)
            continue
        way = np.vstack([spots[begin - 1 : end], spots[end]])
        around = way - (way.max(axis=0) + way.min(axis=0)) / 2
        sines = around[:-1, 1] * around[1:, 0] - around[:-1, 0] * around[1:, 1]
        turns.append("right" if sines.sum() > 0 else "left")
    return turns


def test_limits_are_what_a_reader_of_the_pixels_reaches(corpus: Path) -> None:
    hits, labels = 0, []
    for path in sorted((corpus / "test").rglob("*.png")):
        labels.append(path.parent.name)
        turns = read_turns(np.asarray(Image.open(path)).reshape(-1, sample.SIZE, sample.SIZE))
        assert all(t in (None, right) for t, right in zip(turns, labels[-1].split("_"), strict=True)), path
        filled = [turn or "left" for turn in turns]
        hits += sample.best_class(filled, [turn is None for turn in turns]) == labels[-1]
    limits = files.read_json(corpus / "limits.json")
    assert limits["best_possible"] == pytest.approx(100 * hits / len(labels), abs=1e-6)
    most_common = 100 * labels.count(max(sample.CLASSES, key=sample.CLASSES.__getitem__)) / len(labels)
    assert limits["best_memoryless"] == pytest.approx(most_common, abs=1e-6)
    assert limits["best_possible"] - limits["best_memoryless"] > 50
    assert (limits["metric"], limits["direction"]) == ("accuracy", "max")


def test_the_files(corpus: Path) -> None:
    for split, count in sample.VIDEOS.items():
        sheets = list((corpus / split).rglob("*.png"))
        assert len(sheets) == count
        assert {sheet.parent.name for sheet in sheets} == set(sample.CLASSES)
        with Image.open(sheets[0]) as sheet:
            assert (sheet.mode, sheet.width, sheet.height % sheet.width) == ("L", sample.SIZE, 0)
    assert sum(sample.CLASSES.values()) == pytest.approx(1)
