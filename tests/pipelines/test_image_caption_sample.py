"""The sample corpus of captions: what is right to say, pictures that show it, and the best answer without memory."""

import itertools
import math
import random
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from pipelines import files
from pipelines.parsers import captions as lists
from pipelines.parsers import image as images
from pipelines.samples import image_caption as sample
from pipelines.samples.image_caption import Group, Scene

TWO_RED = Group(2, "small", "red", "circle")
BLUE = Group(1, "large", "blue", "square")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("captions")
    sample.generate(folder)
    return folder


def test_what_is_right_agrees_in_number_and_in_order() -> None:
    assert Scene(TWO_RED, BLUE, "above").captions == [
        "two small red circles are above a large blue square",
        "above a large blue square there are two small red circles",
        "a large blue square is below two small red circles",
        "below two small red circles there is a large blue square",
    ]


def colours_at(scene: Scene, seed: int) -> dict[str, np.ndarray]:
    """For each group's colour the middle (row, column) of its pixels, and how many there are."""
    picture_YXC = np.asarray(sample.paint(scene, random.Random(seed)))
    found = {}
    for group in (scene.first, scene.second):
        here_YX = (picture_YXC == sample.COLOURS[group.colour]).all(2)
        found[group.colour] = np.array([*np.argwhere(here_YX).mean(0), here_YX.sum()])
    return found


@pytest.mark.parametrize("seed", range(5))
def test_a_picture_shows_the_relation_and_the_sizes(seed: int) -> None:
    left = colours_at(Scene(TWO_RED, BLUE, "left of"), seed)
    assert left["red"][1] + 10 < left["blue"][1]
    above = colours_at(Scene(TWO_RED, BLUE, "above"), seed)
    assert above["red"][0] + 10 < above["blue"][0]
    inside = colours_at(Scene(TWO_RED, BLUE, "inside"), seed)
    assert np.abs(inside["red"][:2] - inside["blue"][:2]).max() < 3
    assert inside["blue"][2] > 10 * inside["red"][2]
    one = colours_at(Scene(Group(1, "small", "red", "circle"), BLUE, "above"), seed)
    assert above["red"][2] == pytest.approx(2 * one["red"][2], rel=0.25)
    large = colours_at(Scene(Group(1, "large", "red", "circle"), BLUE, "above"), seed)
    assert large["red"][2] > 3 * one["red"][2]


def test_nothing_is_cut_off_and_no_two_groups_are_the_same() -> None:
    rng = random.Random(0)
    for _ in range(300):
        scene = sample.draw_scene(rng)
        assert scene.first != scene.second
        picture_YXC = np.asarray(sample.paint(scene, rng)).astype(int)
        border = np.concatenate([picture_YXC[0], picture_YXC[-1], picture_YXC[:, 0], picture_YXC[:, -1]])
        assert (border == border[0]).all()


def best_by_trying(captions: list[str], alpha: float, longest: int) -> tuple[float, set[str]]:
    """Every string of the captions' words up to a length: the best score, and all that reach it."""
    pairs = [pair for text in captions for pair in itertools.pairwise(["", *text.split(), ""])]
    counts, firsts = Counter(pairs), Counter(first for first, _ in pairs)
    words = sorted({word for pair in pairs for word in pair} - {""})
    best, who = -math.inf, set()
    for length in range(longest + 1):
        for said in itertools.product(words, repeat=length):
            steps = [counts[pair] / firsts[pair[0]] for pair in itertools.pairwise(["", *said, ""])]
            if all(steps):
                score = sum(map(math.log, steps)) / (length + 1) ** alpha
                if score > best + 1e-12:
                    best, who = score, set()
                if score > best - 1e-12:
                    who.add(" ".join(said))
    return best, who


@pytest.mark.parametrize("alpha", sample.ALPHAS)
@pytest.mark.parametrize("captions", [["a b a c", "c b"], ["a a b", "b a"], ["x", "x y x y"]])
def test_the_answer_without_memory_is_the_best_of_all_strings(captions, alpha, monkeypatch) -> None:
    monkeypatch.setattr(sample, "LONGEST", 6)
    assert sample.memoryless_answer(captions, alpha) in best_by_trying(captions, alpha, 6)[1]


def test_files_and_limits(corpus: Path) -> None:
    right: list[list[str]] = []
    for split, count in sample.IMAGES.items():
        found = lists.read(corpus / f"{split}.txt")
        assert not found.bad
        assert len(found.of) == count
        right = list(found.of.values())
        assert all(len(texts) == 4 and all(len(t.split()) <= sample.LONGEST for t in texts) for texts in right)
    assert len(list((corpus / "images").iterdir())) == sum(sample.IMAGES.values())
    picture = images.read((corpus / "images/test-0000.png").read_bytes(), "test-0000.png", side=sample.SIDE)
    assert picture.changes == ()
    limits = files.read_json(corpus / "limits.json")
    assert limits["best_possible"] == 100
    assert sample.bleu([texts[2] for texts in right], right) == pytest.approx(100)
    few = right[:100]
    memoryless = max(sample.bleu([sample.memoryless_answer(t, alpha) for t in few], few) for alpha in sample.ALPHAS)
    assert limits["best_memoryless"] == pytest.approx(memoryless, abs=6)
    assert limits["best_possible"] - limits["best_memoryless"] > 40
