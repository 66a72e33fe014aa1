"""Scores of captions: the field's numbers on a fixed set, worked examples, and what must hold of any set."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rnn_core.metrics import captions as scorer
from rnn_core.metrics.captions import Bleu, Words

WORDS = ["a", "dog", "runs", "the", "on", "grass", "man", "in", "red"]
# pycocoevalcap 1.2 on `made(200)`, times 100.
FIELD = {
    "bleu": [60.962243105259574, 29.728571884879006, 10.71648028194825, 4.328546256119766],
    "cider": 70.41918942285842,
    "rouge": 37.76370705238458,
}

sentences = st.lists(st.sampled_from(WORDS), min_size=1, max_size=9).map(tuple)
sets = st.lists(st.tuples(sentences, st.lists(sentences, min_size=1, max_size=3)), min_size=1, max_size=6)


def made(count: int) -> tuple[list[Words], list[list[Words]]]:
    """Captions (empty ones too), and for each one to five references."""
    rng = random.Random(0)

    def caption(least: int) -> Words:
        return tuple(rng.choice(WORDS) for _ in range(rng.randint(least, 12)))

    answers = [caption(0) for _ in range(count)]
    return answers, [[caption(1) for _ in range(rng.randint(1, 5))] for _ in range(count)]


def scores(answers: list[Words], references: list[list[Words]]) -> dict[str, object]:
    pairs = list(zip(answers, references, strict=True))
    known = scorer.documents(references)
    return {
        "bleu": scorer.total([scorer.bleu(a, r) for a, r in pairs]).scores(),
        "cider": sum(scorer.cider(a, r, known) for a, r in pairs) / len(pairs),
        "rouge": sum(scorer.rouge(a, r) for a, r in pairs) / len(pairs),
    }


def test_the_numbers_are_the_field_s() -> None:
    found = scores(*made(200))
    assert found == {name: pytest.approx(value, rel=1e-9) for name, value in FIELD.items()}


def test_words_are_lower_case_without_punctuation() -> None:
    assert scorer.words(" A man's dog, in T-shirt_no. 3 !") == ("a", "mans", "dog", "in", "t", "shirt", "no", "3")
    assert scorer.words("Zwei Hunde – über") == ("zwei", "hunde", "über")
    assert scorer.words("... !") == ()


def test_bleu_clips_by_the_reference_that_has_most_and_takes_the_nearest_length() -> None:
    found = scorer.bleu(("the", "the", "the", "cat"), [("the", "cat"), ("the", "x", "the"), ("a",) * 5])
    assert found == Bleu((3, 1, 0, 0), (4, 3, 2, 1), 4, 3)
    assert found.scores()[0] == pytest.approx(75)
    assert found.scores()[1] == pytest.approx(50)  # sqrt(3/4 * 1/3)


def test_a_short_answer_is_punished_by_its_length() -> None:
    assert scorer.bleu(("a", "dog"), [("a", "dog", "runs")]).scores()[0] == pytest.approx(100 * 2.718281828459**-0.5)


def test_rouge_takes_the_best_precision_and_the_best_recall() -> None:
    # Common subsequences of 2 and 1 words: precision 2/3 of the first, recall 1/1 of the second.
    found = scorer.rouge(("a", "x", "dog"), [("a", "red", "y", "dog"), ("dog",)])
    assert found == pytest.approx(100 * 2.44 * (2 / 3) / (1 + 1.44 * 2 / 3))


@given(sets)
def test_what_everybody_says_is_worth_nothing_to_cider_and_an_answer_that_is_a_reference_all_to_bleu(pairs) -> None:
    answers = [references[0] for _, references in pairs]
    references = [references for _, references in pairs]
    assert scores(answers, references)["bleu"][0] == pytest.approx(100, rel=1e-6)
    alike = scorer.documents([references[0]] * 3)
    assert scorer.cider(answers[0], references[0], alike) == pytest.approx(0, abs=1e-9)


@given(sets)
def test_scores_lie_between_none_and_all_and_the_order_of_references_does_not_matter(pairs) -> None:
    answers, references = [answer for answer, _ in pairs], [r for _, r in pairs]
    found = scores(answers, references)
    assert found == {
        name: pytest.approx(value, rel=1e-9, abs=1e-9)
        for name, value in scores(answers, [r[::-1] for r in references]).items()
    }
    assert all(-1e-9 <= value <= 100 + 1e-9 for value in [*found["bleu"], found["rouge"]])
    assert -1e-9 <= found["cider"] <= 1000 + 1e-6


def test_cider_weighs_what_is_rare_and_what_is_as_long() -> None:
    references = [[("a", "dog")], [("a", "cat")], [("a", "man")]]
    known = scorer.documents(references)
    assert known.frequencies["a",] == 3
    assert scorer.cider(("a", "dog"), references[0], known) == pytest.approx(500)  # of four orders two are there
    # Of the one word that counts: alike in orders 1 and 2; one word longer.
    longer = scorer.cider(("a", "dog", "a"), references[0], known)
    assert 0 < longer < 500
    assert scorer.cider(("a", "man"), references[0], known) == 0
