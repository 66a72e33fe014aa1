"""BLEU-1 to BLEU-4, CIDEr-D and ROUGE-L of captions, each against all captions that people gave the image.

The tokenizer is `words`: lower case, punctuation removed, apart at white space (the field's own is a Java program that
also takes contractions apart). The scores are those of `pycocoevalcap` 1.2 on the same words. That package is not used:
its BLEU is licensed for non-commercial use only, and 60 MB of Java archives come with it. Here what is summed over
images is also apart from what is made of the sums, so that parts of a set add up.

    BLEU      Papineni et al. 2002, of a whole set, the nearest length of a reference counts
    CIDEr-D   Vedantam et al. 2015, with document frequencies from the references of the set
    ROUGE-L   Lin 2004, with the largest precision and the largest recall over the references
"""

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

SCORER = "BLEU, CIDEr-D, ROUGE-L of rnn_core/metrics/captions.py, equal to pycocoevalcap 1.2"
TOKENIZER = "lower case, punctuation removed, apart at white space"
ORDERS = 4
"""n-grams of 1 to 4 words."""
BLEU = [f"bleu_{order}" for order in range(1, ORDERS + 1)]
COUNTS = 2 * ORDERS + 5
SIGMA = 6.0
"""Words: how far the lengths may lie apart in CIDEr-D."""
BETA = 1.2
"""What recall weighs against precision in ROUGE-L."""
TINY, SMALL = 1e-15, 1e-9
"""Added to matches and to n-grams, so that a set without any has a score: the field's values, and in its places."""
_PUNCTUATION = re.compile(r"[^\w\s]|_")

Words = tuple[str, ...]
Grams = Counter[Words]


def words(caption: str) -> Words:
    """The words of a caption, as all scores see them."""
    return tuple(_PUNCTUATION.sub(" ", caption.lower().replace("'", "")).split())


def grams(caption: Words) -> Grams:
    """How often each n-gram occurs, all orders together."""
    return Counter(caption[i : i + order] for order in range(1, ORDERS + 1) for i in range(len(caption) - order + 1))


@dataclass(frozen=True)
class Bleu:
    """What BLEU needs of one caption or, added up, of a set."""

    matches: tuple[float, ...]
    """n-grams that are in a reference too, of each order."""
    grams: tuple[float, ...]
    length: float
    """Words."""
    reference_length: float
    """Of the reference nearest in length, the shorter of two."""

    def flat(self) -> list[float]:
        """The numbers in their order: counts of captions add up (`total`)."""
        return [*self.matches, *self.grams, self.length, self.reference_length]

    def scores(self) -> list[float]:
        """BLEU-1 to BLEU-4, percent."""
        precision, scores = 1.0, []
        ratio = (self.length + TINY) / (self.reference_length + SMALL)
        brevity = math.exp(1 - 1 / ratio) if ratio < 1 else 1.0
        for order, (matches, total) in enumerate(zip(self.matches, self.grams, strict=True), 1):
            precision *= (matches + TINY) / (total + SMALL)
            scores.append(100 * brevity * precision ** (1 / order))
        return scores


def from_flat(numbers: Sequence[float]) -> Bleu:
    """The counts of a set from the sums of `Bleu.flat`."""
    return Bleu(tuple(numbers[:ORDERS]), tuple(numbers[ORDERS : 2 * ORDERS]), numbers[-2], numbers[-1])


def total(parts: Iterable[Bleu]) -> Bleu:
    """The counts of a set of captions from those of each."""
    return from_flat([sum(numbers) for numbers in zip(*(part.flat() for part in parts), strict=True)])


def bleu(caption: Words, references: Sequence[Words]) -> Bleu:
    """The counts of one caption."""
    most: Grams = Counter()
    for reference in references:
        most |= grams(reference)
    matches = [0] * ORDERS
    for gram, times in (grams(caption) & most).items():
        matches[len(gram) - 1] += times
    totals = [max(0, len(caption) - order) for order in range(ORDERS)]
    nearest = min((abs(len(r) - len(caption)), len(r)) for r in references)[1]
    return Bleu(tuple(matches), tuple(totals), len(caption), nearest)


@dataclass(frozen=True)
class Documents:
    """In how many images' references each n-gram occurs."""

    frequencies: Mapping[Words, int]
    images: int

    def weights(self, caption: Words) -> list[dict[Words, float]]:
        """For each order the n-grams of a caption by how often they occur and how rare they are."""
        parts: list[dict[Words, float]] = [{} for _ in range(ORDERS)]
        for gram, times in grams(caption).items():
            rare = math.log(self.images) - math.log(max(1, self.frequencies.get(gram, 0)))
            parts[len(gram) - 1][gram] = times * rare
        return parts


def documents(references: Sequence[Sequence[Words]]) -> Documents:
    """Counted over the references of all images of a set."""
    frequencies: Grams = Counter()
    for one in references:
        frequencies.update({gram for reference in one for gram in grams(reference)})
    return Documents(frequencies, len(references))


def cider(caption: Words, references: Sequence[Words], documents: Documents) -> float:
    """CIDEr-D of one caption, 100 times the field's number, as tables print it; the mean over a set is its score."""
    mine = documents.weights(caption)
    total = 0.0
    for reference in references:
        # Lengths are counted in pairs of words, as the field's program does.
        apart = max(1, len(caption)) - max(1, len(reference))
        nearness = math.exp(-(apart**2) / (2 * SIGMA**2))
        total += nearness * sum(map(_likeness, mine, documents.weights(reference)))
    return 1000 * total / (ORDERS * len(references))


def rouge(caption: Words, references: Sequence[Words]) -> float:
    """ROUGE-L of one caption, percent; the mean over a set is its score."""
    common = [_common(caption, reference) for reference in references]
    if not any(common):
        return 0.0
    precision = max(common) / len(caption)
    recall = max(c / len(reference) for c, reference in zip(common, references, strict=True) if reference)
    return 100 * (1 + BETA**2) * precision * recall / (recall + BETA**2 * precision)


def scores(sums: Sequence[float]) -> dict[str, float]:
    """All scores of a set, percent, from the sums of `Against.counts`."""
    *of_bleu, cider_sum, rouge_sum, images = sums
    names = dict(zip(BLEU, from_flat(of_bleu).scores(), strict=True))
    return names | {"cider": cider_sum / images, "rouge": rouge_sum / images}


class Against:
    """The scores of answers about the images of a set, by the number of an image."""

    def __init__(self, references: Sequence[Sequence[Words]]):
        """
        Args:
            references: what people said of each image.
        """
        self.references = references

    @cached_property
    def _documents(self) -> Documents:
        return documents(self.references)

    def cider(self, image: int, answer: Words) -> float:
        return cider(answer, self.references[image], self._documents)

    def counts(self, image: int, answer: Words) -> list[float]:
        """COUNTS numbers, whose sums over images all scores are made of (`scores`)."""
        right = self.references[image]
        return [*bleu(answer, right).flat(), self.cider(image, answer), rouge(answer, right), 1]

    def typical(self, image: int) -> Words:
        """Of an image's captions the one most like its others."""
        captions = list(self.references[image])
        if len(captions) == 1:
            return captions[0]
        others = [captions[:n] + captions[n + 1 :] for n in range(len(captions))]
        likes = [cider(caption, rest, self._documents) for caption, rest in zip(captions, others, strict=True)]
        return captions[likes.index(max(likes))]


def _likeness(mine: dict[Words, float], other: dict[Words, float]) -> float:
    """The cosine, where what the caption has more often than the reference counts no more than there."""
    size = math.sqrt(sum(w * w for w in mine.values())) * math.sqrt(sum(w * w for w in other.values()))
    product = sum(min(weight, other.get(gram, 0.0)) * other.get(gram, 0.0) for gram, weight in mine.items())
    return product / size if size else product


def _common(first: Words, second: Words) -> int:
    """Words of the longest common subsequence."""
    row = [0] * (len(second) + 1)
    for word in first:
        before = row
        row = [0]
        for place, other in enumerate(second):
            row.append(before[place] + 1 if word == other else max(before[place + 1], row[-1]))
    return row[-1]
