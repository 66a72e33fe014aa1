"""The sample corpus of translation: translated a second time from its description; the best scores; the gap."""

import itertools
import random
from pathlib import Path

import pytest
import sacrebleu

from pipelines import files, samples
from pipelines.samples import translation as sample

SPLITS = tuple(sample.SENTENCES)
PLURALS = {word + "s" for word in (*itertools.chain(*sample.NOUNS.values()), *sample.AMBIGUOUS)}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("translation")
    samples.generate("translation", folder)
    return folder


def pairs_of(corpus: Path, split: str) -> list[tuple[str, str]]:
    sides = [(corpus / f"{split}.{end}").read_text(encoding="utf-8").splitlines() for end in sample.LANGUAGES]
    return list(zip(*sides, strict=True))


def translate(text: str) -> str:
    """The right translation, from the text alone: a parser of its own, by the rules of the module's docstring."""
    words = text.removesuffix(".").split()
    time = next(word for word in words if word in sample.TIMES)
    main, _, reason = (part.split() for part in " ".join(words).partition(" because "))
    before, after = main[: (at := next(i for i, w in enumerate(main) if verb_of(w)))], main[at + 1 :]
    place = next(i for i, word in enumerate(after) if word in sample.PREPOSITIONS)
    domain = next(name for name, nouns in sample.PLACES.items() if after[place + 2] in nouns)
    negated = before[-1] == "not"
    subject, gender = phrase(before[: len(before) - negated], domain, 0)
    thing, things = phrase(after[:place], domain, 1)
    form, particle = said(main[at], time, gender)
    stem, where = sample.PLACES[domain][after[place + 2]]
    there = [sample.PREPOSITIONS[after[place]], sample.DETERMINERS["the"][where][1], stem]
    target = [sample.TIMES[time][0], form, *subject, *there, *thing, *["nek"] * negated, *particle]
    if reason:
        form, particle = said(reason[1], time, things)
        target += ["kar", *phrase(reason[2:], domain, 1)[0], sample.PRONOUNS[things], *particle, form]
    return " ".join(target) + "."


def verb_of(word: str) -> str | None:
    return next((verb for verb in sample.VERBS if word in (verb, verb + "s")), None)


def said(word: str, time: str, agrees: str) -> tuple[str, list[str]]:
    stem, particle = sample.VERBS[verb_of(word)]
    return stem + sample.TIMES[time][1] + "t" * (agrees == "p"), [particle] if particle else []


def phrase(words: list[str], domain: str, case: int) -> tuple[list[str], str]:
    determiner, *adjectives, noun = words
    singular = noun.removesuffix("s") if noun in PLURALS else noun
    if singular in sample.AMBIGUOUS:
        stem, agrees = sample.AMBIGUOUS[singular][domain]
    else:
        agrees = next(gender for gender, nouns in sample.NOUNS.items() if singular in nouns)
        stem = sample.NOUNS[agrees][singular]
    if noun in PLURALS:
        stem, agrees = stem + "en", "p"
    adjectives = [sample.ADJECTIVES[word] + sample.ENDINGS[agrees] for word in adjectives]
    return [sample.DETERMINERS[determiner][agrees][case], stem, *adjectives], agrees


@pytest.mark.parametrize("split", SPLITS)
def test_each_sentence_decides_its_translation(corpus: Path, split: str) -> None:
    pairs = pairs_of(corpus, split)
    assert len(pairs) == sample.SENTENCES[split]
    assert [translate(source) for source, _ in pairs] == [target for _, target in pairs]


def test_words_mean_one_thing_each() -> None:
    """No word of the first language belongs to two kinds, and no plural is another word."""
    kinds = [
        *(nouns.keys() for nouns in sample.NOUNS.values()),
        *(nouns.keys() for nouns in sample.PLACES.values()),
        *(sample.AMBIGUOUS, sample.ADJECTIVES, sample.TIMES, sample.DETERMINERS, sample.PREPOSITIONS, PLURALS),
        *(sample.VERBS, {verb + "s" for verb in sample.VERBS}, {"not", "because", "it", "they"}),
    ]
    everything = [word for kind in kinds for word in kind]
    assert len(set(everything)) == len(everything)


def test_bleu_is_sacrebleus() -> None:
    rng = random.Random(0)
    pairs = [sample.draw(rng) for _ in range(400)]
    table = sample.most_frequent(pairs)
    answers, targets = [sample.word_by_word(p, table) for p in pairs], [p.target for p in pairs]
    theirs = sacrebleu.corpus_bleu([" ".join(a) for a in answers], [[" ".join(t) for t in targets]])
    assert sample.bleu(answers, targets) == pytest.approx(theirs.score)
    assert sample.bleu(targets, targets) == pytest.approx(100)
    short = [words[:-2] for words in targets]
    theirs = sacrebleu.corpus_bleu([" ".join(s) for s in short], [[" ".join(t) for t in targets]])
    assert sample.bleu(short, targets) == pytest.approx(theirs.score)


def test_the_table_gives_each_word_what_it_most_often_is() -> None:
    pairs = [
        sample.Pair(source=("a", "b"), target=(), alone=(("a", ("x",)), ("b", words))) for words in (("y",), ("z",))
    ]
    assert sample.most_frequent([*pairs, pairs[1]]) == {"a": ("x",), "b": ("z",)}
    assert sample.most_frequent(pairs)["b"] == ("y",)


def test_limits_lie_far_apart(corpus: Path) -> None:
    limits = files.read_json(corpus / "limits.json")
    assert (limits["metric"], limits["direction"], limits["best_possible"]) == ("bleu", "max", 100.0)
    assert limits["best_memoryless"] < 15


def test_the_test_split_is_hardly_in_the_training_split(corpus: Path) -> None:
    train = {source for source, _ in pairs_of(corpus, "train")}
    test = [source for source, _ in pairs_of(corpus, "test")]
    assert sum(source in train for source in test) < 0.02 * len(test)
    assert {word for source in test for word in source.split()} <= {w for source in train for w in source.split()}
