"""The sample reviews: their exact best guesses against a sum over every review of a small process, and the files."""

import itertools
import random
from collections import Counter, defaultdict

import pytest

from pipelines import files
from pipelines.samples import sentiment
from pipelines.samples.sentiment import SAMPLE, Reviews

TINY = Reviews(
    forms={
        "{0} .": (0.1, 0),
        "{0} , but {1} .": (0.3, 1),
        "although {0} , {1} .": (0.25, 1),
        "{0} , although {1} .": (0.15, 0),
        "{0} , and {1} .": (0.2, None),
    },
    good=["fine", "fun"],
    bad=["poor"],
    negators=["not"],
    negation=0.3,
    noise=0.1,
    fillers=["so"],
    most_fillers=1,
)
AGREE = "{0} , and {1} ."


def clauses():
    """(probability, words, tone) of every clause, written a second time from the description."""
    for place, negator, filler in itertools.product(("", "here"), ("", "not"), ("", "so")):
        for word in ("fine", "fun", "poor"):
            probability = 0.25 * (0.3 if negator else 0.7) * (0.5 if word == "poor" else 0.25)
            words = ["the", "plot", place, "is", negator, filler, word]
            yield probability, " ".join(filter(None, words)), (word != "poor") != bool(negator)


def reviews():
    """(probability, text, label) of every review."""
    for form, (chance, decisive) in TINY.forms.items():
        found = []
        for chosen in itertools.product(list(clauses()), repeat=form.count("{")):
            tones = [tone for _, _, tone in chosen]
            if form != AGREE or tones[0] == tones[1]:
                probability = 1.0
                for one, _, _ in chosen:
                    probability *= one
                found.append((probability, form.format(*(text for _, text, _ in chosen)), tones[decisive or 0]))
        total = sum(probability for probability, _, _ in found)
        for probability, text, tone in found:
            yield chance * probability / total * 0.9, text, tone
            yield chance * probability / total * 0.1, text, not tone


@pytest.fixture
def tiny(monkeypatch):
    for name, words in (("PARTS", ["plot"]), ("PLACES", ["here"]), ("VERBS", ["is"])):
        monkeypatch.setattr(sentiment, name, words)
    return list(reviews())


def test_the_best_guesses_equal_those_of_the_sum_over_every_review(tiny):
    assert sum(probability for probability, _, _ in tiny) == pytest.approx(1)
    by_text, by_bag = defaultdict(Counter), defaultdict(Counter)
    for probability, text, label in tiny:
        by_text[text][label] += probability
        by_bag[frozenset(Counter(text.split()).items())][label] += probability
    for _, text, _ in tiny:
        assert TINY.best(text) == (by_text[text][True] > by_text[text][False])
        bag = by_bag[frozenset(Counter(text.split()).items())]
        if bag[True] != pytest.approx(bag[False]):
            assert TINY.best_memoryless(text) == (bag[True] > bag[False]), text
    assert sum(TINY.best(text) == label for _, text, label in tiny) < len(tiny)


def test_reviews_are_drawn_as_often_as_the_process_says(tiny):
    wanted, rng = Counter(), random.Random(0)
    for probability, text, label in tiny:
        wanted[text, label] += probability
    drawn = Counter(TINY.draw(rng) for _ in range(20_000))
    assert set(drawn) <= set(wanted)
    for review, probability in wanted.most_common(20):
        assert abs(drawn[review] / 20_000 - probability) < 5 * (probability / 20_000) ** 0.5


def test_the_structures_are_a_distribution():
    assert sum(probability for probability, *_ in SAMPLE.structures()) == pytest.approx(1)


def test_the_files_and_their_limits(tmp_path):
    sentiment.generate(tmp_path)
    limits = files.read_json(tmp_path / "limits.json")
    seen = {}
    for split, count in sentiment.REVIEWS.items():
        rows = [line.split("\t") for line in (tmp_path / f"{split}.tsv").read_text().splitlines()]
        assert len(rows) == count
        assert {label for _, label in rows} == {"0", "1"}
        assert max(len(text.split()) for text, _ in rows) <= 80
        seen[split] = rows
    assert seen["validation"][:50] != seen["train"][:50]
    hits = Counter()
    for text, label in seen["test"]:
        hits["best"] += SAMPLE.best(text) == bool(int(label))
        hits["memoryless"] += SAMPLE.best_memoryless(text) == bool(int(label))
    assert limits["best_possible"] == pytest.approx(100 * hits["best"] / len(seen["test"]), abs=1e-6)
    assert limits["best_memoryless"] == pytest.approx(100 * hits["memoryless"] / len(seen["test"]), abs=1e-6)
    assert limits["best_possible"] - limits["best_memoryless"] >= 25
