"""Two made-up languages for the translator: each sentence of the first has exactly one right translation.

The first language has the words of English and says subject, (not), verb, object, place and time. Half of the sentences
go on with a reason: `the old kings not see a crane near the river now because it opens some doors.` The second one

    agrees     determiners and adjectives with the noun's gender, number and case; verbs with tense and number
    reorders   time, verb, subject, place, object, (not), (particle); adjectives after their nouns; in a reason the
               object comes first, the verb last
    resolves   tense by the time, at the sentence's other end; `crane`, `bank`, ... by the place (in nature, in town);
               `it` by the gender of the object that it stands for; some verbs leave a particle at the clause's end

so that hardly a word can be translated, let alone placed, without others far away from it.

The scores. BLEU of the right translation is 100: a sentence decides it. Without memory each word is translated alone,
in its place. The best that can be done so is to give each word the translation that it has most often, counted on the
test file itself: no table fixed beforehand gets more words right.
"""

import math
import random
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from pipelines import files

SEED = 1
SENTENCES = {"train": 8_000, "validation": 500, "test": 1_000}
LANGUAGES = ("en", "xx")
"""Ends of the files' names: source, target."""
REASONS, NEGATIONS, ADJECTIVES_SHARE, PLURALS = 0.5, 0.25, 0.5, 0.4

GENDERS = "mfn"
NOUNS = {
    "m": {"king": "regor", "horse": "balod", "road": "vilem", "letter": "osk", "hunter": "jagot", "boat": "naub"},
    "f": {"queen": "domisa", "door": "portla", "lamp": "lusa", "teacher": "magda", "song": "kanta", "spoon": "sarpa"},
    "n": {"bird": "piku", "house": "kaslu", "bridge": "pondu", "table": "mensu", "stone": "litu", "dog": "huntu"},
}
AMBIGUOUS = {
    "crane": {"nature": ("gruvod", "m"), "town": ("levka", "f")},
    "bank": {"nature": ("rivla", "f"), "town": ("montu", "n")},
    "bat": {"nature": ("noktu", "n"), "town": ("klubor", "m")},
    "trunk": {"nature": ("stamor", "m"), "town": ("kofru", "n")},
}
PLACES = {
    "nature": {"river": ("flom", "m"), "forest": ("silva", "f"), "hill": ("kolu", "n"), "lake": ("lagor", "m")},
    "town": {"market": ("bazor", "m"), "church": ("templa", "f"), "school": ("lernu", "n"), "station": ("gara", "f")},
}
PREPOSITIONS = {"near": "apud", "behind": "retu", "beyond": "trans"}
VERBS = {
    "see": ("vid", None), "find": ("trov", None), "paint": ("pikt", None), "sell": ("vend", None),
    "carry": ("port", "for"), "open": ("klav", "ap"), "clean": ("lav", "ab"), "follow": ("sekv", "po"),
}  # fmt: skip
"""Stem and the particle that stands apart."""
ADJECTIVES = {"old": "senik", "small": "petit", "red": "ruz", "heavy": "grav", "quiet": "silen", "new": "nov"}
TIMES = {"yesterday": ("iros", "ovi"), "now": ("nuk", "an"), "tomorrow": ("morgas", "ura")}
"""Word and the ending of verbs."""
DETERMINERS = {
    "the": {"m": ("lo", "lon"), "f": ("la", "las"), "n": ("le", "lem"), "p": ("li", "lir")},
    "a": {"m": ("un", "unon"), "f": ("una", "unas"), "n": ("ume", "umem")},
    "this": {"m": ("tis", "tison"), "f": ("tisa", "tisas"), "n": ("tise", "tisem")},
    "some": {"p": ("alki", "alkir")},
    "these": {"p": ("tisi", "tisir")},
}
"""As subject and as object, by gender, or p for plural."""
ENDINGS = {"m": "o", "f": "a", "n": "e", "p": "i"}
"""Of adjectives."""
PRONOUNS = {"m": "eli", "f": "ela", "n": "elu", "p": "elis"}
NOT, BECAUSE = ("not", "nek"), ("because", "kar")

Words = tuple[str, ...]
Part = list[tuple[str, Words]]
"""Words of the source, each with its translation: one word, or a verb with its particle."""


@dataclass(frozen=True, kw_only=True)
class Pair:
    source: Words
    target: Words
    alone: tuple[tuple[str, Words], ...]
    """Each word of the source with what stands for it in the target."""


@dataclass(frozen=True)
class Phrase:
    """A noun with what belongs to it: determiner, adjectives and noun, in the source's order."""

    words: Part
    agrees: str
    """Gender, or p for plural."""

    def target(self) -> list[str]:
        """Adjectives after the noun."""
        first, *adjectives, noun = (word for _, (word,) in self.words)
        return [first, noun, *adjectives]


def draw(rng: random.Random) -> Pair:
    """A sentence with its translation, without full stops."""
    domain, time = rng.choice(sorted(PLACES)), rng.choice(sorted(TIMES))
    subject, thing = _phrase(rng, domain, case=0), _phrase(rng, domain, case=1)
    verb, negated = _verb(rng, time, subject.agrees), rng.random() < NEGATIONS
    preposition, place = rng.choice(sorted(PREPOSITIONS)), rng.choice(sorted(PLACES[domain]))
    stem, gender = PLACES[domain][place]
    there: Part = [
        (preposition, (PREPOSITIONS[preposition],)),
        ("the", (DETERMINERS["the"][gender][1],)),
        (place, (stem,)),
    ]
    negation: Part = [(NOT[0], (NOT[1],))] if negated else []
    then: Part = [(time, (TIMES[time][0],))]
    source = [*subject.words, *negation, verb, *thing.words, *there, *then]
    first, *particle = verb[1]
    target = [TIMES[time][0], first, *subject.target(), *_said(there), *thing.target(), *_said(negation), *particle]
    if rng.random() < REASONS:
        reason, said = _reason(rng, domain, time, thing.agrees)
        source, target = source + reason, target + said
    return Pair(source=tuple(word for word, _ in source), target=tuple(target), alone=tuple(source))


def _reason(rng: random.Random, domain: str, time: str, agrees: str) -> tuple[Part, list[str]]:
    """Because it (the object before) does something: source and target."""
    verb, thing = _verb(rng, time, agrees), _phrase(rng, domain, case=1)
    pronoun = ("they" if agrees == "p" else "it", (PRONOUNS[agrees],))
    source = [(BECAUSE[0], (BECAUSE[1],)), pronoun, verb, *thing.words]
    first, *particle = verb[1]
    return source, [BECAUSE[1], *thing.target(), PRONOUNS[agrees], *particle, first]


def _phrase(rng: random.Random, domain: str, case: int) -> Phrase:
    nouns = {word: (stem, gender) for gender in GENDERS for word, stem in NOUNS[gender].items()}
    nouns |= {word: meanings[domain] for word, meanings in AMBIGUOUS.items()}
    # The ambiguous ones are as frequent as all others together.
    word = rng.choice(sorted(AMBIGUOUS)) if rng.random() < 0.5 else rng.choice(sorted(set(nouns) - set(AMBIGUOUS)))
    stem, gender = nouns[word]
    agrees = "p" if rng.random() < PLURALS else gender
    determiner = rng.choice([name for name, forms in DETERMINERS.items() if agrees in forms])
    words: Part = [(determiner, (DETERMINERS[determiner][agrees][case],))]
    if rng.random() < ADJECTIVES_SHARE:
        adjective = rng.choice(sorted(ADJECTIVES))
        words.append((adjective, (ADJECTIVES[adjective] + ENDINGS[agrees],)))
    return Phrase([*words, (word + "s", (stem + "en",)) if agrees == "p" else (word, (stem,))], agrees)


def _verb(rng: random.Random, time: str, agrees: str) -> tuple[str, Words]:
    word = rng.choice(sorted(VERBS))
    stem, particle = VERBS[word]
    form = stem + TIMES[time][1] + ("t" if agrees == "p" else "")
    return word if agrees == "p" else word + "s", (form, particle) if particle else (form,)


def _said(part: Part) -> list[str]:
    return [word for _, words in part for word in words]


def most_frequent(pairs: Iterable[Pair]) -> dict[str, Words]:
    """The translation that each word has most often, ties by the text."""
    counts: dict[str, Counter[Words]] = {}
    for pair in pairs:
        for word, translation in pair.alone:
            counts.setdefault(word, Counter())[translation] += 1
    return {word: min(found, key=lambda words: (-found[words], words)) for word, found in counts.items()}


def word_by_word(pair: Pair, table: Mapping[str, Words]) -> Words:
    return tuple(chain.from_iterable(table[word] for word in pair.source))


def bleu(answers: Sequence[Words], targets: Sequence[Words]) -> float:
    """BLEU of a corpus (Papineni et al. 2002) whose tokens are the words, 0 to 100."""
    logs, said = 0.0, sum(map(len, answers))
    for n in range(1, 5):
        pairs = [(_ngrams(a, n), _ngrams(t, n)) for a, t in zip(answers, targets, strict=True)]
        hits, total = sum((a & t).total() for a, t in pairs), sum(a.total() for a, _ in pairs)
        if not hits:
            return 0.0
        logs += math.log(hits / total) / 4
    return 100 * math.exp(logs + min(0.0, 1 - sum(map(len, targets)) / said))


def _ngrams(words: Words, n: int) -> Counter[Words]:
    return Counter(words[i : i + n] for i in range(len(words) - n + 1))


def generate(folder: Path) -> None:
    """Write `train.en`, `train.xx` and so on (a sentence a line, as in Multi30k) and `limits.json`."""
    rng = random.Random(SEED)
    for split, count in SENTENCES.items():
        pairs = [draw(rng) for _ in range(count)]
        for language, side in zip(LANGUAGES, ("source", "target"), strict=True):
            text = "".join(" ".join(getattr(pair, side)) + ".\n" for pair in pairs)
            (folder / f"{split}.{language}").write_text(text, encoding="utf-8")
    table = most_frequent(pairs)
    alone = [(*word_by_word(pair, table), ".") for pair in pairs]
    limits = {
        "metric": "bleu",
        "direction": "max",
        "best_possible": 100.0,
        "best_memoryless": round(bleu(alone, [(*pair.target, ".") for pair in pairs]), 6),
    }
    files.write_json(folder / "limits.json", limits)
