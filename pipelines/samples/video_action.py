"""Short videos of a dot on a round track, with the exact best accuracies: which way did it turn, first and then?

The process. The dot rests at one of STARTS places, goes once around the track, rests, goes around a second time and
rests again. Each time it turns left or right; the class is both turns in their order, drawn from CLASSES. It stays at
each place on its way for one frame or two. Where the track lies, where the dot starts and how bright it is are drawn
anew for each video, and all pixels are noisy. Now and then a curtain hides a whole turn: the dot is seen to rest, is
gone, and rests where it was.

Why it is a sequence problem. A turn comes by the same places in either direction, so no frame tells anything, nor do
all frames without their order. Two neighbouring frames tell a direction; but which was the first turn and which the
second is to be remembered to the end.

The exact scores. A curtain hides the direction altogether, and nothing else does: the dot is brighter than the noise,
and places lie further apart than a track is shifted. So the best guess is the most probable of the classes that agree
with the turns seen. Without memory (a function of one frame, or of all frames in any order) it is the most probable
class: a turn to the left shown backwards is one to the right, equally probable frame by frame, so the frames as a set
are equally probable under all classes. Both guesses are scored on the test file.

Raw files: `<split>/<class>/<number>.png`, the frames of a video one below the other, each as high as it is wide.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pipelines import files

SEED = 1
VIDEOS = {"train": 2_000, "validation": 300, "test": 1_000}
CLASSES = {"right_right": 0.31, "left_left": 0.27, "right_left": 0.23, "left_right": 0.19}
"""P(class): both turns in their order."""
CURTAIN, HIDDEN = 0.1, -1
"""P(a turn is hidden); the place of a hidden dot."""
LINGERING = 0.25
"""P(the dot stays at a place of its way for a second frame)."""
RESTS = (2, 5)
"""Frames of a rest, all numbers between equally likely."""
PLACES, STARTS = 6, 2
"""Of the track; those of them where the dot may rest. With more of those a network takes longer to see what matters."""
SIZE, RADIUS, SHIFT = 12, 3.5, 1.0
"""Pixels of a frame's side; the track's radius; how far it is moved from the middle, at most."""
BRIGHT, BACKGROUND, NOISE = (150.0, 220.0), 10.0, 25.0
"""The dot's height over the background, which has this and up to so much more in each pixel; of 255."""


@dataclass(frozen=True)
class Video:
    turns: tuple[str, str]
    hidden: tuple[bool, bool]
    frames_TSS: NDArray[np.uint8]
    """Height before width."""

    @property
    def label(self) -> str:
        return "_".join(self.turns)


def draw(random: np.random.Generator) -> Video:
    """One video of the process."""
    first, second = str(random.choice(list(CLASSES), p=list(CLASSES.values()))).split("_")
    hidden = bool(random.random() < CURTAIN), bool(random.random() < CURTAIN)
    stays = 1 + (random.random((2, PLACES - 1)) < LINGERING)
    rests = random.integers(RESTS[0], RESTS[1] + 1, 3)
    places = journey((first, second), hidden, int(random.integers(STARTS)), stays.tolist(), rests.tolist())
    return Video((first, second), hidden, paint(np.array(places), random))


def journey(
    turns: Sequence[str], hidden: Sequence[bool], start: int, stays: Sequence[Sequence[int]], rests: Sequence[int]
) -> list[int]:
    """The place of the dot in each frame, HIDDEN behind the curtain.

    Args:
        stays: frames at each place between, for each turn.
        rests: frames before the first turn, after it, after the second one.
    """
    # On a picture, whose y points down, growing angles turn to the right.
    ways = {"right": range(start + 1, start + PLACES), "left": range(start + PLACES - 1, start, -1)}
    places = [start] * rests[0]
    for turn, gone, frames, rest in zip(turns, hidden, stays, rests[1:], strict=True):
        for place, stay in zip(ways[turn], frames, strict=True):
            places += [HIDDEN if gone else place % PLACES] * stay
        places += [start] * rest
    return places


def paint(places_T: NDArray[np.int64], random: np.random.Generator) -> NDArray[np.uint8]:
    """frames_TSS of a dot at these places."""
    middle_2 = (SIZE - 1) / 2 + random.uniform(-SHIFT, SHIFT, 2)
    angles_T = 2 * np.pi * places_T / PLACES
    pixels_S = np.arange(SIZE)
    down_TS = pixels_S - (middle_2[0] + RADIUS * np.sin(angles_T))[:, None]
    across_TS = pixels_S - (middle_2[1] + RADIUS * np.cos(angles_T))[:, None]
    dot_TSS = np.exp(-(down_TS[:, :, None] ** 2 + across_TS[:, None, :] ** 2) / 2)
    height = random.uniform(*BRIGHT)
    noise_TSS = random.uniform(0, NOISE, dot_TSS.shape)
    seen_T11 = (places_T != HIDDEN)[:, None, None]
    return (BACKGROUND + noise_TSS + height * seen_T11 * dot_TSS).astype(np.uint8)


def best_class(turns: Sequence[str], hidden: Sequence[bool]) -> str:
    """The most probable class of those that agree with the turns that are not hidden."""
    seen = [None if gone else turn for turn, gone in zip(turns, hidden, strict=True)]
    agree = [label for label in CLASSES if all(s in (None, t) for s, t in zip(seen, label.split("_"), strict=True))]
    return max(agree, key=CLASSES.__getitem__)


def memoryless_class() -> str:
    """The most probable class, given nothing: the frames without their order say nothing about it."""
    return max(CLASSES, key=CLASSES.__getitem__)


def accuracy(found: Iterable[str], videos: Iterable[Video]) -> float:
    """Percent."""
    hits = [label == video.label for label, video in zip(found, videos, strict=True)]
    return 100 * sum(hits) / len(hits)


def generate(folder: Path) -> None:
    """Write `train`, `validation` and `test`, with a folder for each class, and `limits.json`."""
    random = np.random.Generator(np.random.Philox(key=SEED))
    for split, count in VIDEOS.items():
        videos = [draw(random) for _ in range(count)]
        for label in CLASSES:
            (folder / split / label).mkdir(parents=True)
        for number, video in enumerate(videos):
            sheet = Image.fromarray(video.frames_TSS.reshape(-1, SIZE))
            sheet.save(folder / split / video.label / f"{number:05d}.png", compress_level=6)
    limits = {
        "metric": "accuracy",
        "direction": "max",
        "best_possible": round(accuracy((best_class(v.turns, v.hidden) for v in videos), videos), 6),
        "best_memoryless": round(accuracy((memoryless_class() for _ in videos), videos), 6),
    }
    files.write_json(folder / "limits.json", limits)
