"""A made-up language for the tagger, with its exact best accuracies.

The process. A statement (it ends in `.`) is a piece of an endless Markov chain of tags: determiner, adjective, noun,
verb, ... A question (it ends in `?`) is such a piece read backwards, so that nouns come before their adjectives and
verbs before their subjects. Each tag then draws a word. Most words may be one of two or three things: a plain stem is
a noun or a verb, one in `-al` an adjective or a noun, `this` a determiner or a pronoun, `over` a preposition or an
adverb. Rare words tell their tag by the ending (`-ness`, `-ize`, `-ous`, `-ly`), also those that
training never showed.

Why it is a sequence problem. The word alone leaves the tag open. Its neighbours on both sides narrow it down, because
the chain has an order; but which order, forwards or backwards, is said by the last mark only, up to 30 words later. So
information must travel through the sentence in both directions.

The exact scores. With mode z (statement or question), start pi (stationary: every piece is cut from an endless chain),
transitions M_z and emissions e, the posterior of a tag is proportional to alpha_t * beta_t (forward-backward), where

    alpha_1 = P(z) pi e(w_1),    alpha_t+1 = (alpha_t M_z) e(w_t+1)
    beta_T = P(mark | z),        beta_t = M_z (e(w_t+1) beta_t+1)

for the T words before the mark. Its argmax, summed over z, is the best guess for each word: the length tells nothing,
as it is drawn first. Without memory the best guess is the argmax of P(tag | w) = pi(tag) e(w | tag) / sum: it is the
same at all places of both modes, because a stationary chain read backwards has the same pi.
"""

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipelines import files

Array = NDArray[np.float64]
SEED = 1
SENTENCES = {"train": 8_000, "validation": 600, "test": 1_000}
LENGTHS = (5, 30)
"""Words of a sentence with its mark, all lengths between equally likely."""
MARKS = (".", "?")
"""Statement, question: equally likely."""

CHAIN = {
    "NOUN": {"VERB": 0.70, "ADP": 0.25, "ADV": 0.05},
    "VERB": {"DET": 0.45, "NOUN": 0.15, "PRON": 0.10, "ADP": 0.10, "ADJ": 0.10, "ADV": 0.10},
    "ADJ": {"NOUN": 1.0},
    "ADV": {"VERB": 0.70, "ADJ": 0.30},
    "DET": {"NOUN": 0.55, "ADJ": 0.45},
    "PRON": {"VERB": 0.90, "ADV": 0.10},
    "ADP": {"DET": 0.70, "NOUN": 0.20, "PRON": 0.10},
}
"""P(next tag | tag) of a statement."""


@dataclass(frozen=True, kw_only=True)
class WordClass:
    """Words that may bear the same tags."""

    share: Mapping[str, float]
    """Tag: share of its words that are drawn from this class."""
    closed: Sequence[str] = ()
    """The words; without them `size` words are made from syllables and the ending."""
    size: int = 0
    ending: str = ""


CLASSES = (
    WordClass(share={"NOUN": 0.55, "VERB": 0.60}, size=40),
    WordClass(share={"NOUN": 0.20, "ADJ": 0.50}, size=20, ending="al"),
    WordClass(share={"VERB": 0.15, "ADJ": 0.20}, size=20, ending="ed"),
    WordClass(share={"NOUN": 0.05, "VERB": 0.05, "ADJ": 0.05}, size=10, ending="er"),
    WordClass(share={"DET": 0.5, "PRON": 0.5}, closed=("this", "that", "some", "both", "each", "any")),
    WordClass(share={"ADP": 0.6, "ADV": 0.6}, closed=("over", "in", "up", "past", "by", "near", "on", "down")),
    WordClass(share={"NOUN": 0.20}, size=3000, ending="ness"),
    WordClass(share={"VERB": 0.20}, size=3000, ending="ize"),
    WordClass(share={"ADJ": 0.25}, size=1500, ending="ous"),
    WordClass(share={"ADV": 0.40}, size=1000, ending="ly"),
    WordClass(share={"DET": 0.50}, closed=("the", "a", "every")),
    WordClass(share={"PRON": 0.50}, closed=("she", "they", "we")),
    WordClass(share={"ADP": 0.40}, closed=("of", "with", "from")),
)


@dataclass(frozen=True, kw_only=True)
class Language:
    """The process: everything that `generate` draws from and the scores are computed from."""

    chain: Mapping[str, Mapping[str, float]]
    """P(next tag | tag) of a statement."""
    lexicon: Mapping[str, Mapping[str, float]]
    """P(word | tag)."""

    @cached_property
    def tags(self) -> list[str]:
        return sorted(self.chain)

    @cached_property
    def words(self) -> dict[str, int]:
        """Word: its column in `emissions`."""
        return {word: i for i, word in enumerate(sorted({word for words in self.lexicon.values() for word in words}))}

    @cached_property
    def forwards(self) -> Array:
        """M of a statement, shape (tags, tags)."""
        return np.array([[self.chain[tag].get(after, 0.0) for after in self.tags] for tag in self.tags])

    @cached_property
    def stationary(self) -> Array:
        """pi, shape (tags,): pi M = pi."""
        equations = np.vstack([self.forwards.T - np.eye(len(self.tags)), np.ones(len(self.tags))])
        return np.linalg.lstsq(equations, np.append(np.zeros(len(self.tags)), 1.0), rcond=None)[0]

    @cached_property
    def transitions(self) -> Array:
        """M_z, shape (modes, tags, tags). Backwards: P(tag before = j | tag = i) = pi_j M_ji / pi_i."""
        backwards = (self.stationary[:, None] * self.forwards).T / self.stationary[:, None]
        return np.stack([self.forwards, backwards])

    @cached_property
    def emissions(self) -> Array:
        """e, shape (tags, words)."""
        return np.array([[self.lexicon[tag].get(word, 0.0) for word in self.words] for tag in self.tags])

    @cached_property
    def _cumulative(self) -> list[tuple[list[str], list[float]]]:
        """For each tag its words and their cumulative probabilities."""
        lexicon = [self.lexicon[tag] for tag in self.tags]
        return [(list(words), list(accumulate(words.values()))) for words in lexicon]

    def draw(self, rng: random.Random) -> list[tuple[str, str]]:
        """A sentence: (word, tag) pairs, the mark at the end."""
        length, mode = rng.randint(*LENGTHS), rng.randrange(len(MARKS))
        p, pairs = self.stationary, []
        for _ in range(length - 1):
            tag = rng.choices(range(len(self.tags)), p.tolist())[0]
            words, cumulative = self._cumulative[tag]
            pairs.append((rng.choices(words, cum_weights=cumulative)[0], self.tags[tag]))
            p = self.transitions[mode, tag]
        return [*pairs, (MARKS[mode], "PUNCT")]

    def posterior(self, words: Sequence[str]) -> Array:
        """P(tag_t | all words) for the words before the mark, shape (words - 1, tags): forward-backward."""
        likelihood = self.emissions[:, [self.words[word] for word in words[:-1]]].T
        alpha = np.empty((len(likelihood), len(MARKS), len(self.tags)))
        beta = np.empty_like(alpha)
        alpha[0] = self.stationary * likelihood[0] / len(MARKS)
        for t in range(1, len(alpha)):
            alpha[t] = (alpha[t - 1][:, None] @ self.transitions)[:, 0] * likelihood[t]
            alpha[t] /= alpha[t].sum()
        beta[-1] = np.array([[float(words[-1] == mark)] for mark in MARKS])
        for t in range(len(alpha) - 2, -1, -1):
            beta[t] = (self.transitions @ (likelihood[t + 1] * beta[t + 1])[..., None])[..., 0]
            beta[t] /= beta[t].sum()
        joint = (alpha * beta).sum(axis=1)
        return joint / joint.sum(axis=1, keepdims=True)

    @cached_property
    def memoryless(self) -> Array:
        """P(tag | word) at any place, shape (words, tags)."""
        joint = (self.stationary[:, None] * self.emissions).T
        return joint / joint.sum(axis=1, keepdims=True)

    def best_tags(self, words: Sequence[str]) -> list[str]:
        """The most probable tag of each word, given the whole sentence."""
        return [*(self.tags[i] for i in self.posterior(words).argmax(axis=1)), "PUNCT"]

    def memoryless_tags(self, words: Sequence[str]) -> list[str]:
        """The most probable tag of each word, given nothing but the word."""
        ids = [self.words[word] for word in words[:-1]]
        return [*(self.tags[i] for i in self.memoryless[ids].argmax(axis=1)), "PUNCT"]


def lexicon(classes: Iterable[WordClass], rng: random.Random) -> dict[str, dict[str, float]]:
    """P(word | tag): Zipf's law in each class, and each word leans a little to one of its tags."""
    words: dict[str, dict[str, float]] = {}
    taken: set[str] = set()
    for one in classes:
        members = [*one.closed] or [_new_word(one.ending, taken, rng) for _ in range(one.size)]
        for tag, share in one.share.items():
            weights = [rng.uniform(0.7, 1.3) / (rank + 20) for rank in range(len(members))]
            total = sum(weights) / share
            words.setdefault(tag, {}).update({word: w / total for word, w in zip(members, weights, strict=True)})
    return words


def _new_word(ending: str, taken: set[str], rng: random.Random) -> str:
    """Two syllables and the ending, never given before."""
    while True:
        stem = "".join(rng.choice("bdfgklmnprstvz") + rng.choice("aeiou") for _ in range(2)) + rng.choice("klmnprst")
        word = stem + ending
        if word not in taken:
            taken.add(word)
            return word


def sample_language() -> Language:
    """The language of the shipped corpus."""
    return Language(chain=CHAIN, lexicon=lexicon(CLASSES, random.Random(f"words {SEED}")))


def conllu(sentence: Sequence[tuple[str, str]]) -> str:
    """A sentence in CoNLL-U: comment, a word a line with ten columns, an empty line."""
    lines = [f"# text = {' '.join(word for word, _ in sentence)}"]
    lines += [f"{n}\t{word}\t_\t{tag}" + "\t_" * 6 for n, (word, tag) in enumerate(sentence, 1)]
    return "\n".join(lines) + "\n\n"


def accuracy(found: Iterable[Sequence[str]], sentences: Iterable[Sequence[tuple[str, str]]]) -> float:
    """Percent of all words, marks included."""
    hits = [a == b for tags, pairs in zip(found, sentences, strict=True) for a, (_, b) in zip(tags, pairs, strict=True)]
    return 100 * sum(hits) / len(hits)


def generate(folder: Path) -> None:
    """Write `train.conllu`, `validation.conllu`, `test.conllu` and `limits.json`."""
    language, rng = sample_language(), random.Random(SEED)
    for split, count in SENTENCES.items():
        sentences = [language.draw(rng) for _ in range(count)]
        (folder / f"{split}.conllu").write_text("".join(map(conllu, sentences)), encoding="utf-8")
    words = [[word for word, _ in sentence] for sentence in sentences]
    limits = {
        "metric": "accuracy",
        "direction": "max",
        "best_possible": round(accuracy(map(language.best_tags, words), sentences), 6),
        "best_memoryless": round(accuracy(map(language.memoryless_tags, words), sentences), 6),
    }
    files.write_json(folder / "limits.json", limits)
