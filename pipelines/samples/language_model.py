"""A made-up corpus of short stories for the language model, with its exact best perplexities.

The process. A story draws one value for each of its slots (who, where, with whom, against whom, ...) and keeps it to
its end. Each sentence is a template that names some slots, always by the story's values: `ENEMY came to TOWN through
WEATHER` is "wolves came to oslo through fog" in one story and never anything else there. A hidden mood, calm or
tense, moves from sentence to sentence and tilts the choice of template. Now and then the template is `once upon a
time`: a new story begins, and all slots are drawn anew.

Why it is a sequence problem. Once a story has named its hero, each later mention can be foreseen, but only by a memory
that reaches back to the last mention, often far more than a window of 20 steps. Inside a sentence the choice of a
subject decides its verb three words later (`was`, `were`); over sentences the mood can be filtered from the templates.
A network that sees the present word only knows which slot comes next at most, never its value.

The exact scores. State s = (mood, template, place in it) is a Markov chain with transitions T; it emits a fixed word or
a value of a slot. Let A[s, x] be the probability of word x in state s when no value is known. What is known of the
values changes only one factor, because a value belongs to one slot: with K values,

    P(x_t | x_<t) = c_t sum_s p_t(s) A[s, x_t],     c_t = K if x_t is the known value of its slot, 0 if another one is,
                                                    1 if none is known or x_t is no value
    p_t+1 = (p_t * A[:, x_t] / normalised) T        (the forward algorithm; c_t cancels)

The best predictor that sees x_t only is P(x_t+1 | x_t) of the endless stream. With the stationary distribution pi of T,
P(x_t = a, x_t+1 = b) = (A' diag(pi) T A)[a, b]: values are uniform and those of two slots independent, and no slot
stands beside itself. The same algorithm, begun at pi with nothing known, is all that a network can know whose memory
is cut there.
"""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipelines import files

Array = NDArray[np.float64]
EOS = "<eos>"
SEED = 1
SENTENCES = {"train": 60_000, "validation": 3_000, "test": 4_000}
NEW_STORY = "once upon a time"

SLOTS = {
    "HERO": ["anna", "boris", "clara", "david", "elena", "felix", "greta", "hugo"],
    "FRIEND": ["ivan", "julia", "karl", "laura", "marco", "nina", "oscar", "paula"],
    "TOWN": ["athens", "bergen", "cairo", "delhi", "geneva", "lisbon", "oslo", "rome"],
    "FOOD": ["bread", "cheese", "fish", "honey", "rice", "soup", "cake", "plums"],
    "WEATHER": ["fog", "frost", "hail", "rain", "sleet", "snow", "thunder", "wind"],
    "ENEMY": ["bears", "dragons", "ghosts", "giants", "pirates", "thieves", "trolls", "wolves"],
    "COLOUR": ["black", "blue", "brown", "green", "grey", "red", "white", "yellow"],
}
TEMPLATES = {
    NEW_STORY: (0.8, 0.8),
    "HERO walked to TOWN with FRIEND": (3.0, 0.5),
    "HERO shared FOOD with FRIEND": (3.0, 0.5),
    "the girl from TOWN was drawing ENEMY": (1.5, 0.5),
    "the girls from TOWN were drawing ENEMY": (1.5, 0.5),
    "FRIEND sang through WEATHER while wearing COLOUR": (3.0, 0.5),
    "HERO bought COLOUR boots and FOOD": (3.0, 0.5),
    "either WEATHER or FOOD came from TOWN": (3.0, 0.5),
    "ENEMY came to TOWN through WEATHER": (0.5, 3.0),
    "neither HERO nor FRIEND feared WEATHER": (0.5, 3.0),
    "HERO fought ENEMY near TOWN": (0.5, 3.0),
    "the guard in COLOUR was hiding FOOD": (0.5, 1.5),
    "the guards in COLOUR were hiding FOOD": (0.5, 1.5),
    "COLOUR flags warned FRIEND about ENEMY": (0.5, 3.0),
    "FRIEND lost COLOUR boots and FOOD": (0.5, 3.0),
}
"""Template: its weight in each mood."""
KEEP_MOOD = 0.85


@dataclass(frozen=True, kw_only=True)
class Stories:
    """The process: everything that `generate` draws from and the scores are computed from."""

    slots: Mapping[str, Sequence[str]]
    """Values of each slot, equally likely; no word belongs to two slots."""
    templates: Mapping[str, Sequence[float]]
    """Sentence without its end: weight in each mood. The first one begins a new story; its first word is found nowhere
    else."""
    keep_mood: float
    """Probability that the next sentence has the same mood; the others share the rest."""

    @cached_property
    def lines(self) -> list[list[str]]:
        """Templates as symbols: words and names of slots, with the end of the sentence."""
        return [[*text.split(), EOS] for text in self.templates]

    @cached_property
    def slot_of(self) -> dict[str, str]:
        return {value: slot for slot, values in self.slots.items() for value in values}

    @cached_property
    def words(self) -> list[str]:
        fixed = {symbol for line in self.lines for symbol in line} - set(self.slots)
        return sorted(fixed | set(self.slot_of))

    @cached_property
    def choice(self) -> Array:
        """P(template | mood), shape (moods, templates)."""
        weights = np.array(list(self.templates.values())).T
        return weights / weights.sum(axis=1, keepdims=True)

    @cached_property
    def moods(self) -> Array:
        """P(next mood | mood), shape (moods, moods); its stationary distribution is uniform."""
        count = len(self.choice)
        off = (1 - self.keep_mood) / max(count - 1, 1)
        return np.full((count, count), off) + np.eye(count) * (self.keep_mood - off)

    @cached_property
    def states(self) -> list[tuple[int, int, int]]:
        """(mood, template, place in it)."""
        places = [(k, i) for k, line in enumerate(self.lines) for i in range(len(line))]
        return [(mood, k, i) for mood in range(len(self.choice)) for k, i in places]

    @cached_property
    def transitions(self) -> Array:
        """T, shape (states, states): on in the template; from its end to the begin of one of the next mood's."""
        index = {state: number for number, state in enumerate(self.states)}
        matrix = np.zeros((len(index), len(index)))
        for (mood, k, i), number in index.items():
            if i + 1 < len(self.lines[k]):
                matrix[number, index[mood, k, i + 1]] = 1
            else:
                for (after, template), p in np.ndenumerate(self.moods[mood][:, None] * self.choice):
                    matrix[number, index[after, template, 0]] = p
        return matrix

    @cached_property
    def emissions(self) -> Array:
        """A, shape (states, words): fixed words, and values as long as none is known."""
        index = {word: number for number, word in enumerate(self.words)}
        matrix = np.zeros((len(self.states), len(index)))
        for number, (_, k, i) in enumerate(self.states):
            choices = self.slots.get(self.lines[k][i], [self.lines[k][i]])
            matrix[number, [index[word] for word in choices]] = 1 / len(choices)
        return matrix

    @cached_property
    def stationary(self) -> Array:
        """pi, shape (states,): pi T = pi, the share of time in each state. Moods are equally frequent, so a state is
        as frequent as its template is in its mood, at each place of the template."""
        share = np.array([self.choice[mood, k] for mood, k, _ in self.states])
        return share / share.sum()

    @cached_property
    def beginning(self) -> Array:
        """Distribution of the stream's first state, shape (states,): a new story, in any mood."""
        first = np.array([float((k, i) == (0, 0)) for _, k, i in self.states])
        return first / first.sum()

    def draw(self, sentences: int, rng: random.Random) -> list[str]:
        """Sentences (without their ends), the first of which begins a story."""
        moods, kinds = range(len(self.choice)), range(len(self.lines))
        mood, text = rng.choice(moods), []
        for number in range(sentences):
            kind = rng.choices(kinds, self.choice[mood].tolist())[0] if number else 0
            if kind == 0:
                story = {slot: rng.choice(values) for slot, values in self.slots.items()}
            text.append(" ".join(story.get(symbol, symbol) for symbol in self.lines[kind][:-1]))
            mood = rng.choices(moods, self.moods[mood].tolist())[0]
        return text

    def filtered(self, tokens: Sequence[str], start: Array) -> Array:
        """P(x_t | x_<t) of each token, shape (tokens,), where `start` is the distribution of the first state and no
        value is known (the forward algorithm of the module's docstring)."""
        index = {word: number for number, word in enumerate(self.words)}
        new_story = self.lines[0][0]
        p, known, result = start, dict[str, str](), np.empty(len(tokens))
        for t, word in enumerate(tokens):
            joint = p * self.emissions[:, index[word]]
            total = joint.sum()
            result[t] = total * self._told(word, known)
            p = joint / total @ self.transitions
            if word == new_story:
                known = {}
            elif word in self.slot_of:
                known[self.slot_of[word]] = word
        return result

    def _told(self, word: str, known: Mapping[str, str]) -> float:
        """c_t: how what is known of the values changes the probability of a word."""
        slot = self.slot_of.get(word)
        if slot is None or slot not in known:
            return 1.0
        return float(len(self.slots[slot])) if known[slot] == word else 0.0

    @cached_property
    def memoryless(self) -> Array:
        """P(x_t+1 | x_t) of the endless stream, shape (words, words)."""
        joint = self.emissions.T @ (self.stationary[:, None] * self.transitions) @ self.emissions
        return joint / joint.sum(axis=1, keepdims=True)


STORIES = Stories(slots=SLOTS, templates=TEMPLATES, keep_mood=KEEP_MOOD)


def tokens_of(text: str) -> list[str]:
    """The stream of a file: words, and `<eos>` for each line end."""
    return text.replace("\n", f" {EOS} ").split()


def perplexity(probabilities: Array) -> float:
    return float(np.exp(-np.log(probabilities).mean()))


def best_possible(process: Stories, tokens: Sequence[str]) -> float:
    """Perplexity of exact filtering, over all tokens but the first."""
    return perplexity(process.filtered(tokens, process.beginning)[1:])


def best_memoryless(process: Stories, tokens: Sequence[str]) -> float:
    """Perplexity of the best predictor that sees the present token only, over all tokens but the first."""
    index = {word: number for number, word in enumerate(process.words)}
    ids = [index[token] for token in tokens]
    return perplexity(process.memoryless[ids[:-1], ids[1:]])


def generate(folder: Path) -> None:
    """Write `train.txt`, `validation.txt`, `test.txt` (a sentence a line, as in PTB) and `limits.json`."""
    rng = random.Random(SEED)
    for split, sentences in SENTENCES.items():
        text = "".join(f"{line}\n" for line in STORIES.draw(sentences, rng))
        (folder / f"{split}.txt").write_text(text, encoding="utf-8")
    tokens = tokens_of(text)
    limits = {
        "metric": "perplexity",
        "direction": "min",
        "best_possible": round(best_possible(STORIES, tokens), 6),
        "best_memoryless": round(best_memoryless(STORIES, tokens), 6),
    }
    files.write_json(folder / "limits.json", limits)
