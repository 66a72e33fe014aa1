"""Sample corpus for image captioning: pictures of coloured shapes, each with all that is right to say of it.

A picture shows two groups, each of one or two equal shapes of one colour and size, side by side, one above the other,
or one inside the other (then a single large shape round smaller ones). Of each picture four captions are right:

    two small red circles are left of a large red square
    left of a large red square there are two small red circles
    a large red square is right of two small red circles
    right of two small red circles there is a large red square

The order of the groups decides the word for their relation; the verb agrees with a subject that stands before it or
after it; the noun with its number. The groups mostly share colour, shape or size, so a word tells little about what
has been said already: that has to be remembered.

The picture determines the captions, so the best BLEU is 100. Without memory the next word depends on the one before it
and the picture, by the exact P(next | word, picture) of the four captions. Its answer is the caption with the most
probable steps among all of at most LONGEST words, P(caption) being taken to the power 1 / length ** alpha; of the
`ALPHAS` the one with the best test score counts.

Files: `images/*.png`; for each split a list with a line `<image>#<number><TAB><caption>` each, as Flickr8k has it.
"""

import itertools
import math
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw

from pipelines import files
from rnn_core.metrics import captions as scorer

SEED = 1
IMAGES = {"train": 3_000, "validation": 200, "test": 400}
SIDE = 48
"""Pixels."""
LONGEST = 20
"""Words; the longest right caption has 12."""
ALPHAS = (0.0, 0.5, 1.0, 1.25, 1.5)

COLOURS = {"red": (210, 40, 40), "green": (40, 160, 60), "blue": (50, 80, 210), "yellow": (225, 200, 40)}
SHAPES = ("circle", "square", "triangle")
RADII = {"small": 4.0, "large": 8.0}
"""Pixels; half the side of a square."""
ROUND = 19.0
"""Radius of what others are inside of."""
NUMBERS = ("a", "two")
RELATIONS = {"left of": "right of", "above": "below", "inside": "around"}
"""Of the first group to the second, and of the second to the first."""
SHARED = 0.6
"""How often the second group takes over the colour, the shape or the size of the first one, each on its own."""


@dataclass(frozen=True)
class Group:
    number: int
    size: str
    colour: str
    shape: str

    def __str__(self) -> str:
        plural = "s" if self.number > 1 else ""
        return f"{NUMBERS[self.number - 1]} {self.size} {self.colour} {self.shape}{plural}"

    @property
    def verb(self) -> str:
        return "are" if self.number > 1 else "is"


@dataclass(frozen=True)
class Scene:
    first: Group
    second: Group
    relation: str
    """Of the first to the second."""

    @property
    def captions(self) -> list[str]:
        """All that is right, each as likely as the others."""
        texts = []
        sides = ((self.first, self.relation, self.second), (self.second, RELATIONS[self.relation], self.first))
        for one, relation, other in sides:
            texts.append(f"{one} {one.verb} {relation} {other}")
            texts.append(f"{relation} {other} there {one.verb} {one}")
        return texts


def draw_scene(rng: random.Random) -> Scene:
    """No two groups that look the same in all."""
    relation = rng.choice(list(RELATIONS))
    while True:
        first = _group(rng, None)
        second = _group(rng, first)
        if relation == "inside":
            first = Group(first.number, "small", first.colour, first.shape)
            second = Group(1, "large", second.colour, second.shape)
        # One colour inside of itself is not seen.
        if first != second and not (relation == "inside" and first.colour == second.colour):
            return Scene(first, second, relation)


def _group(rng: random.Random, like: Group | None) -> Group:
    number = rng.randint(1, len(NUMBERS))
    drawn = [rng.choice(list(choices)) for choices in (RADII, COLOURS, SHAPES)]
    if like is not None:
        same = (like.size, like.colour, like.shape)
        drawn = [old if rng.random() < SHARED else new for old, new in zip(same, drawn, strict=True)]
    return Group(number, *drawn)


def paint(scene: Scene, rng: random.Random) -> Image.Image:
    """The picture of a scene: places jitter, the ground is a dark grey."""
    ground = rng.randint(0, 60)
    image = Image.new("RGB", (SIDE, SIDE), (ground, ground, ground))
    pen, half = ImageDraw.Draw(image), SIDE / 2
    if scene.relation == "inside":
        x, y = (half + rng.uniform(-3, 3) for _ in range(2))
        _shape(pen, scene.second, x, y, ROUND)
        # The middle of a triangle lies below that of its height.
        low = 5 if scene.second.shape == "triangle" else 0
        _row(pen, scene.first, (x, y + low), (1, 0), rng)
        return image
    along = (0, 1) if scene.relation == "left of" else (1, 0)
    for group, side in ((scene.first, -1), (scene.second, 1)):
        across = half + side * (half / 2 + rng.uniform(-2, 2))
        middle = half + rng.uniform(-3, 3)
        centre = (across, middle) if scene.relation == "left of" else (middle, across)
        _row(pen, group, centre, along, rng)
    return image


def _row(
    pen: ImageDraw.ImageDraw, group: Group, centre: tuple[float, float], along: tuple[int, int], rng: random.Random
) -> None:
    """The shapes of a group, one after another with small gaps."""
    radius = RADII[group.size]
    gap = 2 * radius + rng.uniform(2, 4)
    for index in range(group.number):
        at = (index - (group.number - 1) / 2) * gap
        _shape(pen, group, centre[0] + along[0] * at, centre[1] + along[1] * at, radius)


def _shape(pen: ImageDraw.ImageDraw, group: Group, x: float, y: float, radius: float) -> None:
    colour, box = COLOURS[group.colour], (x - radius, y - radius, x + radius, y + radius)
    if group.shape == "circle":
        pen.ellipse(box, fill=colour)
    elif group.shape == "square":
        pen.rectangle(box, fill=colour)
    else:
        pen.polygon([(x, box[1]), (box[0], box[3]), (box[2], box[3])], fill=colour)


def memoryless_answer(captions: Sequence[str], alpha: float) -> str:
    """The best caption of at most LONGEST words when each step knows the word before it and the right captions' pairs.

    Dynamic programming over the last word and the length; between equals the first in order of the alphabet.
    """
    steps = _steps(captions)
    best = {"": (0.0, "")}
    answer, answer_score = "", -math.inf
    for length in range(LONGEST + 1):
        longer: dict[str, tuple[float, str]] = {}
        for last, (log_p, text) in sorted(best.items()):
            for word, step in sorted(steps[last].items()):
                if word:
                    known = longer.get(word)
                    if known is None or log_p + step > known[0]:
                        longer[word] = log_p + step, f"{text} {word}".strip()
                elif (log_p + step) / (length + 1) ** alpha > answer_score:
                    answer, answer_score = text, (log_p + step) / (length + 1) ** alpha
        best = longer
    return answer


def _steps(captions: Sequence[str]) -> dict[str, dict[str, float]]:
    """log P(next | word): "" before the first word and after the last."""
    pairs: dict[str, Counter[str]] = {}
    for caption in captions:
        words = ["", *caption.split(), ""]
        for word, following in itertools.pairwise(words):
            pairs.setdefault(word, Counter())[following] += 1
    return {word: {n: math.log(c / counts.total()) for n, c in counts.items()} for word, counts in pairs.items()}


def bleu(answers: Sequence[str], captions: Sequence[Sequence[str]]) -> float:
    """BLEU-4, percent."""
    pairs = zip(answers, captions, strict=True)
    counts = [scorer.bleu(scorer.words(answer), [scorer.words(text) for text in right]) for answer, right in pairs]
    return scorer.total(counts).scores()[3]


def generate(folder: Path) -> None:
    """Write `images/`, `train.txt`, `validation.txt`, `test.txt` and `limits.json`."""
    rng = random.Random(SEED)
    (folder / "images").mkdir()
    for split, count in IMAGES.items():
        scenes = [draw_scene(rng) for _ in range(count)]
        lines = []
        for number, scene in enumerate(scenes):
            name = f"{split}-{number:04d}.png"
            paint(scene, rng).save(folder / "images" / name, optimize=False, compress_level=6)
            lines += [f"{name}#{index}\t{caption}\n" for index, caption in enumerate(scene.captions)]
        (folder / f"{split}.txt").write_text("".join(lines), encoding="utf-8")
    captions = [scene.captions for scene in scenes]
    memoryless = [bleu([memoryless_answer(right, alpha) for right in captions], captions) for alpha in ALPHAS]
    limits = {
        "metric": "bleu_4",
        "direction": "max",
        "best_possible": 100.0,
        "best_memoryless": round(max(memoryless), 6),
    }
    files.write_json(folder / "limits.json", limits)
