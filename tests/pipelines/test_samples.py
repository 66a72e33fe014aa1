"""The sample corpora: their exact scores against brute force, the size of the gaps, formats, and equal bytes."""

import itertools
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from pipelines import files, samples
from pipelines.samples import language_model, pos_tagging
from pipelines.samples.language_model import EOS, STORIES, Stories
from pipelines.samples.pos_tagging import MARKS, Language
from pipelines.tasks.pos_tagging import TAGS
from rnn_core.errors import ConfigError

SPLITS = ("train", "validation", "test")
WINDOW = 20
"""Steps after which a network without carry forgets."""

TINY_STORIES = Stories(
    slots={"WHO": ["ann", "bob"], "FOOD": ["rice", "soup", "fish"]},
    templates={"once": (1.0, 2.0), "WHO ate FOOD": (3.0, 0.5), "FOOD": (0.5, 1.0), "WHO ate nothing": (1.0, 4.0)},
    keep_mood=0.7,
)
TINY_LANGUAGE = Language(
    chain={"NOUN": {"VERB": 0.8, "ADJ": 0.2}, "VERB": {"NOUN": 0.4, "ADJ": 0.6}, "ADJ": {"NOUN": 1.0}},
    lexicon={"NOUN": {"run": 0.5, "gold": 0.5}, "VERB": {"run": 0.7, "go": 0.3}, "ADJ": {"gold": 0.6, "run": 0.4}},
)


@pytest.fixture(scope="module")
def corpora(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("samples")
    for task in samples.names():
        (root / task).mkdir()
        samples.generate(task, root / task)
    return root


@pytest.fixture(scope="module")
def stream(corpora: Path) -> list[str]:
    return language_model.tokens_of((corpora / "language_model/test.txt").read_text(encoding="utf-8"))


def sentences_of(path: Path) -> list[list[tuple[str, str]]]:
    blocks = path.read_text(encoding="utf-8").removesuffix("\n\n").split("\n\n")
    rows = [[line.split("\t") for line in block.split("\n")[1:]] for block in blocks]
    assert {len(row) for sentence in rows for row in sentence} == {10}
    return [[(row[1], row[3]) for row in sentence] for sentence in rows]


# --- language model: every hidden path of the process, written a second time from its description


def all_stories(process: Stories) -> list[dict[str, str]]:
    return [dict(zip(process.slots, values, strict=True)) for values in itertools.product(*process.slots.values())]


def paths(process: Stories, length: int, mood: int, kind: int, place: int, story: dict[str, str]) -> Iterator:
    """(probability, string) of everything that can follow from a state whose story is given, `length` tokens long."""
    symbols = [*list(process.templates)[kind].split(), EOS][place:]
    here = tuple(story.get(symbol, symbol) for symbol in symbols)[:length]
    if len(here) == length:
        yield 1.0, here
        return
    moods, kinds = range(len(process.choice)), range(len(process.templates))
    for after, next_kind in itertools.product(moods, kinds):
        weights = [row[after] for row in process.templates.values()]
        keep = process.keep_mood if after == mood else (1 - process.keep_mood) / (len(moods) - 1)
        step = keep * weights[next_kind] / sum(weights)
        stories = all_stories(process) if next_kind == 0 else [story]
        for new in stories:
            for p, rest in paths(process, length - len(here), after, next_kind, 0, new):
                yield step / len(stories) * p, here + rest


def all_strings(process: Stories, length: int, start: np.ndarray) -> Counter:
    """P(string) of all strings of that length, where `start` is the distribution of the first state."""
    result: Counter = Counter()
    stories = all_stories(process)
    for weight, state in zip(start, process.states, strict=True):
        for story in stories if weight else []:
            for p, string in paths(process, length, *state, story):
                result[string] += weight / len(stories) * p
    return result


@pytest.mark.parametrize(("start", "length"), [("beginning", 8), ("stationary", 6)])
def test_filter_equals_the_sum_over_all_hidden_paths(start: str, length: int) -> None:
    distribution = getattr(TINY_STORIES, start)
    strings = all_strings(TINY_STORIES, length, distribution)
    assert sum(strings.values()) == pytest.approx(1, abs=1e-12)
    prefixes: Counter = Counter()
    for string, p in strings.items():
        for t in range(length + 1):
            prefixes[string[:t]] += p
    for string in strings:
        expected = [prefixes[string[: t + 1]] / prefixes[string[:t]] for t in range(length)]
        np.testing.assert_allclose(TINY_STORIES.filtered(string, distribution), expected, rtol=0, atol=1e-10)


def test_filter_excludes_another_value_than_the_known_one() -> None:
    string = ["once", EOS, "ann", "ate", "nothing", EOS, "bob"]
    assert TINY_STORIES.filtered(string, TINY_STORIES.beginning)[-1] == 0


@pytest.mark.parametrize("process", [TINY_STORIES, STORIES])
def test_stationary_distribution_stays(process: Stories) -> None:
    np.testing.assert_allclose(process.stationary @ process.transitions, process.stationary, rtol=0, atol=1e-14)
    np.testing.assert_allclose(process.transitions.sum(axis=1), 1, rtol=0, atol=1e-12)


def test_memoryless_prediction_equals_the_marginal_of_all_paths() -> None:
    """Definition: P(x_t+1 | x_t) of the endless stream. It is the same at any place, so the third and fourth token of
    strings that begin in the stationary distribution show it."""
    pairs: Counter = Counter()
    for string, p in all_strings(TINY_STORIES, 4, TINY_STORIES.stationary).items():
        pairs[string[2:]] += p
    words = TINY_STORIES.words
    joint = np.array([[pairs[a, b] for b in words] for a in words])
    np.testing.assert_allclose(joint.sum(), 1, rtol=0, atol=1e-12)
    np.testing.assert_allclose(TINY_STORIES.memoryless, joint / joint.sum(axis=1, keepdims=True), rtol=0, atol=1e-10)


def test_shipped_stories_keep_what_the_equations_assume() -> None:
    values = [value for slot in STORIES.slots.values() for value in slot]
    fixed = {symbol for line in STORIES.lines for symbol in line} - set(STORIES.slots)
    assert len(set(values)) == len(values)
    assert not fixed & set(values)
    assert sum(line.count(STORIES.lines[0][0]) for line in STORIES.lines) == 1
    assert not any(a == b for line in STORIES.lines for a, b in itertools.pairwise(line))


def test_language_model_limits_agree_with_the_test_file(corpora: Path, stream: list[str]) -> None:
    limits = files.read_json(corpora / "language_model/limits.json")
    assert (limits["metric"], limits["direction"]) == ("perplexity", "min")
    assert limits["best_possible"] == pytest.approx(language_model.best_possible(STORIES, stream), abs=1e-6)
    assert limits["best_memoryless"] == pytest.approx(language_model.best_memoryless(STORIES, stream), abs=1e-6)


def test_language_model_gap_is_wide_and_mostly_beyond_the_window(corpora: Path, stream: list[str]) -> None:
    """Even exact filtering closes at most 65 % of the gap in nats when it forgets all at each window."""
    limits = files.read_json(corpora / "language_model/limits.json")
    best, memoryless = np.log(limits["best_possible"]), np.log(limits["best_memoryless"])
    starts = range(0, len(stream) - 1, WINDOW)
    pieces = (STORIES.filtered(stream[i : i + WINDOW + 1], STORIES.stationary)[1:] for i in starts)
    cut = -np.log(np.concatenate(list(pieces))).mean()
    assert np.exp(memoryless - best) >= 1.5
    assert (memoryless - cut) / (memoryless - best) <= 0.65


# --- tagging: every sequence of tags


def all_taggings(language: Language, length: int) -> Iterator[tuple[float, int, tuple[int, ...]]]:
    """(probability, mode, tags) of all pieces of that length. A question is a statement read backwards, literally."""
    for tags in itertools.product(range(len(language.tags)), repeat=length):
        p = language.stationary[tags[0]] * np.prod([language.forwards[a, b] for a, b in itertools.pairwise(tags)])
        if p:
            yield p / 2, 0, tags
            yield p / 2, 1, tags[::-1]


def brute_posterior(language: Language, words: list[str]) -> np.ndarray:
    ids = [language.words[word] for word in words[:-1]]
    result = np.zeros((len(ids), len(language.tags)))
    for p, mode, tags in all_taggings(language, len(ids)):
        if MARKS[mode] == words[-1]:
            result[range(len(ids)), tags] += p * np.prod(language.emissions[tags, ids])
    return result / result.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("mark", MARKS)
def test_forward_backward_equals_the_sum_over_all_taggings(mark: str) -> None:
    for words in itertools.product(TINY_LANGUAGE.words, repeat=4):
        if ("go", "go") not in itertools.pairwise(words):  # no verb follows a verb: an impossible sentence
            sentence = [*words, mark]
            expected = brute_posterior(TINY_LANGUAGE, sentence)
            np.testing.assert_allclose(TINY_LANGUAGE.posterior(sentence), expected, rtol=0, atol=1e-10)


def test_forward_backward_on_shipped_sentences(corpora: Path) -> None:
    language = pos_tagging.sample_language()
    short = [s for s in sentences_of(corpora / "pos_tagging/test.conllu") if len(s) == 5][:6]
    for sentence in short:
        words = [word for word, _ in sentence]
        np.testing.assert_allclose(language.posterior(words), brute_posterior(language, words), rtol=0, atol=1e-10)


def test_memoryless_tagging_equals_the_marginal_at_each_place() -> None:
    """P(tag | word) is the same at all places and in both modes, so no average over places hides anything."""
    language, length = TINY_LANGUAGE, 4
    joint = np.zeros((2, length, len(language.words), len(language.tags)))
    for p, mode, tags in all_taggings(language, length):
        for place, tag in enumerate(tags):
            joint[mode, place, :, tag] += p * language.emissions[tag]
    marginal = joint / joint.sum(axis=-1, keepdims=True)
    np.testing.assert_allclose(marginal, np.broadcast_to(language.memoryless, joint.shape), rtol=0, atol=1e-10)


def test_lexicon_and_chain_are_distributions() -> None:
    language = pos_tagging.sample_language()
    np.testing.assert_allclose(language.emissions.sum(axis=1), 1, rtol=0, atol=1e-12)
    np.testing.assert_allclose(language.transitions.sum(axis=-1), 1, rtol=0, atol=1e-12)


def test_tagging_limits_agree_with_the_test_file_and_lie_far_apart(corpora: Path) -> None:
    language, sentences = pos_tagging.sample_language(), sentences_of(corpora / "pos_tagging/test.conllu")
    hits: Counter = Counter()
    for sentence in sentences:
        words, tags = zip(*sentence, strict=True)
        hits["words"] += len(words)
        hits["best"] += sum(a == b for a, b in zip(language.best_tags(words), tags, strict=True))
        hits["memoryless"] += sum(a == b for a, b in zip(language.memoryless_tags(words), tags, strict=True))
    limits = files.read_json(corpora / "pos_tagging/limits.json")
    assert (limits["metric"], limits["direction"]) == ("accuracy", "max")
    assert limits["best_possible"] == pytest.approx(100 * hits["best"] / hits["words"], abs=1e-6)
    assert limits["best_memoryless"] == pytest.approx(100 * hits["memoryless"] / hits["words"], abs=1e-6)
    assert limits["best_possible"] - limits["best_memoryless"] >= 15


# --- the files


def test_tagging_files_are_conllu(corpora: Path) -> None:
    seen: dict[str, set[str]] = {}
    for split in SPLITS:
        path = corpora / f"pos_tagging/{split}.conllu"
        sentences = sentences_of(path)
        assert len(sentences) == pos_tagging.SENTENCES[split]
        assert {tag for sentence in sentences for _, tag in sentence} <= set(TAGS)
        assert all(5 <= len(sentence) <= 30 and sentence[-1][1] == "PUNCT" for sentence in sentences)
        first = " ".join(word for word, _ in sentences[0])
        assert path.read_text(encoding="utf-8").startswith(f"# text = {first}\n1\t{sentences[0][0][0]}\t_\t")
        seen[split] = {word for sentence in sentences for word, _ in sentence}
    unseen = seen["test"] - seen["train"]
    assert len(unseen) > 100
    assert all(word.endswith(("ness", "ize", "ous", "ly")) for word in unseen)


def test_stories_are_lines_of_known_words_and_differ_between_splits(corpora: Path) -> None:
    texts = {split: (corpora / f"language_model/{split}.txt").read_text(encoding="utf-8") for split in SPLITS}
    for split, text in texts.items():
        assert text.startswith(language_model.NEW_STORY + "\n")
        assert text.count("\n") == language_model.SENTENCES[split]
        assert set(language_model.tokens_of(text)) == set(STORIES.words)
    assert texts["validation"][:2000] not in texts["train"]
    assert texts["test"][:2000] not in texts["train"]


@pytest.mark.parametrize("task", samples.names())
def test_another_process_writes_the_same_bytes(task: str, corpora: Path, tmp_path: Path) -> None:
    code = "import sys, pathlib, pipelines.samples as s; s.generate(sys.argv[1], pathlib.Path(sys.argv[2]))"
    environment = os.environ | {
        "PYTHONHASHSEED": "7",
        "PYTHONPATH": os.pathsep.join(sys.path),
    }
    subprocess.run([sys.executable, "-c", code, task, str(tmp_path)], check=True, env=environment)
    assert files.sha256_folder(tmp_path) == files.sha256_folder(corpora / task)


def test_a_task_without_a_sample_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="language_model"):
        samples.generate("chess", tmp_path)
