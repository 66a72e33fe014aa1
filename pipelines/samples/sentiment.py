"""Made-up reviews for the sentiment task, with their exact best accuracies.

The process. A review has one to three clauses. A clause says something of a part of the film by an opinion word, good
or bad, and with probability `negation` a negator stands before it, some words away: "the plot in its second half was
never in any way touching". Its tone is the opinion's, turned round by the negator. Which clause decides the review's
label is said by how the clauses are joined, in `FORMS`: after `but`, the last one; with `although`, the other one,
whether that stands before it or behind; with `and`, both agree. With probability `noise` the label is the wrong one.
All else (parts, places, fillers, how many) is drawn without regard to any of this.

Why it is a sequence problem. A negator must be carried to the opinion word that it turns, and where the decisive clause
stands must be carried across the review: "although A , B" and "A , although B" have the same words.

The exact scores. The words determine the label up to the noise, so the best guess is the decisive tone. Without memory,
whatever pools the steps knows at most which words occur how often (a state read out at the end alone would see the full
stop). Of these only the joining words, the numbers of good and of bad opinions and of negators bear on the label: which
good word is which, and every filler, has a probability that is the same for all ways to arrange them. So

    P(label | bag) = sum over forms, opinions and negations of that kind of bag, and that label / the same, all labels

and its argmax is the best guess without memory; it bounds every network whose steps do not see each other.
"""

import itertools
import random
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from pipelines import files

SEED = 1
REVIEWS = {"train": 9_000, "validation": 900, "test": 1_500}
Clause = tuple[bool, bool]
"""Whether its opinion is good, and whether it is negated."""


def _listed(text: str) -> list[str]:
    return text.split(",")


FORMS = {
    "{0} .": (0.08, 0),
    "{0} , and {1} .": (0.15, None),
    "{0} , but {1} .": (0.27, 1),
    "although {0} , {1} .": (0.20, 1),
    "{0} , although {1} .": (0.20, 0),
    "although {0} , {1} , and {2} .": (0.10, None),
}
"""How clauses are joined: its probability, and the clause that decides; None: the last two (of two, both) agree."""
GOOD = _listed(
    "touching,clever,funny,warm,gripping,fresh,lovely,brilliant,moving,charming,witty,honest,elegant,vivid,tender,"
    "dazzling,superb,inventive,graceful,thrilling,subtle,sharp,radiant,engaging,delightful"
)
BAD = _listed(
    "dull,clumsy,tedious,stale,lifeless,bland,shallow,awful,boring,messy,hollow,silly,tired,crude,lazy,dreary,flat,"
    "painful,pointless,sloppy,wooden,hackneyed,forced,muddled,irritating"
)
NEGATORS = _listed("not,never,hardly,scarcely,nowhere")
PARTS = _listed("plot,script,cast,dialogue,music,camera,ending,story,humour,acting,editing,score,direction,pacing")
PLACES = _listed(
    "in its second half,of this long film,by a young director,from start to finish,for most of the evening,"
    "in the opening scenes,at the festival,with all its stars,on the big screen"
)
VERBS = _listed("is,was,seems,felt,looked,remains")
FILLERS = _listed("in any way,to my mind,all that,at this point,as such,for once,so to speak,even now,in the end")


@dataclass(frozen=True, kw_only=True)
class Reviews:
    """The process: everything that `generate` draws from and the scores are computed from."""

    forms: Mapping[str, tuple[float, int | None]]
    good: Sequence[str]
    bad: Sequence[str]
    negators: Sequence[str]
    negation: float
    """Probability that a clause has a negator."""
    noise: float
    """Probability that a label is wrong."""
    fillers: Sequence[str]
    most_fillers: int
    """Between negator and opinion, and as many places behind the clause's subject: 0 to so many, equally likely."""

    def draw(self, rng: random.Random) -> tuple[str, bool]:
        """A review and its label (True: good)."""
        weights = [probability for probability, _ in self.forms.values()]
        form = rng.choices(list(self.forms), weights)[0]
        while True:
            clauses = [(rng.random() < 0.5, rng.random() < self.negation) for _ in range(_count(form))]
            tone = self._tone(form, clauses)
            if tone is not None:
                break
        text = form.format(*(self._words(clause, rng) for clause in clauses))
        return text, tone != (rng.random() < self.noise)

    def best(self, text: str) -> bool:
        """The most probable label, given the review."""
        form, clauses = self.parse(text)
        tone = self._tone(form, clauses)
        assert tone is not None, text
        return tone

    def best_memoryless(self, text: str) -> bool:
        """The most probable label, given how often each word occurs."""
        good, bad = self._posterior[self._bag(*self.parse(text))]
        return good >= bad

    def parse(self, text: str) -> tuple[str, list[Clause]]:
        """The form of a review, and its clauses."""
        words = text.split()
        marks = [word for word in words if word in ("although", "but", "and")]
        inner = words[0] != "although"
        form = next(f for f in self.forms if _marks(f) == marks and f.startswith("although") != inner)
        clauses, negated = [], False
        for word in words:
            negated |= word in self.negators
            if word in self.good or word in self.bad:
                clauses.append((word in self.good, negated))
                negated = False
        return form, clauses

    def structures(self) -> Iterator[tuple[float, str, tuple[Clause, ...], bool]]:
        """All that bears on the label: (probability, form, clauses, their decisive tone)."""
        total = sum(probability for probability, _ in self.forms.values())
        for form, (probability, _) in self.forms.items():
            every = [(good, negated) for good in (False, True) for negated in (False, True)]
            kept = [c for c in itertools.product(every, repeat=_count(form)) if self._tone(form, c) is not None]
            weights = [self._weight(clauses) for clauses in kept]
            for clauses, weight in zip(kept, weights, strict=True):
                yield probability / total * weight / sum(weights), form, clauses, bool(self._tone(form, clauses))

    @cached_property
    def _posterior(self) -> dict[tuple[object, ...], tuple[float, float]]:
        """Bag: the joint probabilities of it and a good label, and of it and a bad one."""
        found: dict[tuple[object, ...], tuple[float, float]] = {}
        for probability, form, clauses, tone in self.structures():
            good, bad = found.get(bag := self._bag(form, clauses), (0.0, 0.0))
            wrong = probability * self.noise
            right = probability - wrong
            found[bag] = (good + (right if tone else wrong), bad + (wrong if tone else right))
        return found

    def _bag(self, form: str, clauses: Sequence[Clause]) -> tuple[object, ...]:
        """What of the bag of words bears on the label: joining words, good and bad opinions, negators."""
        goods = sum(good for good, _ in clauses)
        return (*sorted(_marks(form)), goods, len(clauses) - goods, sum(negated for _, negated in clauses))

    def _tone(self, form: str, clauses: Sequence[Clause]) -> bool | None:
        """The decisive tone; None where clauses that must agree do not."""
        tones, decisive = [good != negated for good, negated in clauses], self.forms[form][1]
        if decisive is not None:
            return tones[decisive]
        return tones[-1] if tones[-1] == tones[-2] else None

    def _weight(self, clauses: Sequence[Clause]) -> float:
        weight = 1.0
        for _, negated in clauses:
            weight *= 0.5 * (self.negation if negated else 1 - self.negation)
        return weight

    def _words(self, clause: Clause, rng: random.Random) -> str:
        good, negated = clause
        places = rng.choices(PLACES, k=rng.randint(0, min(2, self.most_fillers)))
        words = ["the", rng.choice(PARTS), *places, rng.choice(VERBS)]
        words += [rng.choice(self.negators)] if negated else []
        words += rng.choices(self.fillers, k=rng.randint(0, self.most_fillers))
        return " ".join([*words, rng.choice(self.good if good else self.bad)])


SAMPLE = Reviews(
    forms=FORMS, good=GOOD, bad=BAD, negators=NEGATORS, negation=0.4, noise=0.02, fillers=FILLERS, most_fillers=3
)


def _count(form: str) -> int:
    """Clauses of a form."""
    return form.count("{")


def _marks(form: str) -> list[str]:
    """The joining words of a form, in their order."""
    return [word for word in form.split() if word in ("although", "but", "and")]


def accuracy(found: Sequence[bool], labels: Sequence[bool]) -> float:
    """In percent."""
    return 100 * Counter(a == b for a, b in zip(found, labels, strict=True))[True] / len(labels)


def generate(folder: Path) -> None:
    """Write `train.tsv`, `validation.tsv`, `test.tsv` (review, tab, 1 for good or 0) and `limits.json`."""
    rng = random.Random(SEED)
    for split, count in REVIEWS.items():
        drawn = [SAMPLE.draw(rng) for _ in range(count)]
        (folder / f"{split}.tsv").write_text("".join(f"{text}\t{label:d}\n" for text, label in drawn), encoding="utf-8")
    texts, labels = zip(*drawn, strict=True)
    limits = {
        "metric": "accuracy",
        "direction": "max",
        "best_possible": round(accuracy([SAMPLE.best(text) for text in texts], labels), 6),
        "best_memoryless": round(accuracy([SAMPLE.best_memoryless(text) for text in texts], labels), 6),
    }
    files.write_json(folder / "limits.json", limits)
