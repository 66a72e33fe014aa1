"""Part-of-speech tagging: one universal tag (UPOS) for each word of a sentence, from the words and their spelling.

Plank et al. 2016 (bidirectional LSTM over words and characters) report 95.2 % on UD English 1.2; gold tokens, as here.
With `model.head: crf` the tags of a sentence are chosen together (Lample et al. 2016).

Own data: CoNLL-U (https://universaldependencies.org/format.html): a word a line with ten columns, an empty line after
each sentence. Comments, multiword-token lines (ID 1-2) and empty nodes (ID 1.1) are skipped; FORM and UPOS are used.
"""

import itertools
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from pipelines.parsers import word_vectors
from pipelines.rivals.feature_tagger import FeatureTagger
from pipelines.tasks import BadRecord, Counts, Matrix, Row, Sidecar, Simple, Sums, Table, Where, by_count, split_files
from rnn_core import arrow, bptt
from rnn_core.errors import DataError
from rnn_core.lanes import Windows
from rnn_core.models import tagging
from rnn_core.networks import Network

KIND = "tagging"
METRICS: dict[str, Literal["max", "min"]] = {"accuracy": "max", "accuracy_unseen": "max"}
RAW: Literal["text"] = "text"
INPUT: Literal["text"] = "text"
SIMPLE: tuple[str, ...] = ("feature_tagger",)
REQUIREMENTS: tuple[str, ...] = ()
RECORD_END = b"\n\n"
STREAM = False
# The 17 of Universal Dependencies 2.
TAGS = ["ADJ", "ADP", "ADV", "AUX", "CCONJ", "DET", "INTJ", "NOUN", "NUM"]
TAGS += ["PART", "PRON", "PROPN", "PUNCT", "SCONJ", "SYM", "VERB", "X"]
PADDING, UNKNOWN = "<pad>", "<unk>"
"""Names of ids 0 and 1, of words and of characters; a word of the text that looks like them has an id of its own."""
COLUMNS = 10
ANSWER_LANES = 16
FILES = {
    "ud_english_ewt": {
        "train": "en_ewt-ud-train.conllu",
        "validation": "en_ewt-ud-dev.conllu",
        "test": "en_ewt-ud-test.conllu",
    },
    "sample": {"train": "train.conllu", "validation": "validation.conllu", "test": "test.conllu"},
}
_SKIPPED_ID = re.compile(r"\d+[-.]\d+")
_TYPED_WORD = re.compile(r"""(?P<before>["'“‘(\[{]*)(?P<word>.*?)(?P<after>(?:\.{2,}|[.,!?;:…"'”’)\]}])*)$""")
_MARK = re.compile(r"\.{2,}|.")


@dataclass(frozen=True, kw_only=True)
class Data:
    max_length: int
    """Words of a row at most."""
    too_long: Literal["split", "refuse"]
    """Longer sentences: cut into rows (none sees the other), or bad records."""

    def __post_init__(self) -> None:
        if self.max_length < 1:
            raise ValueError(f"max_length is {self.max_length}, at least 1 is wanted")


@dataclass(frozen=True)
class Sentence:
    """Words with their tags; no tags where a user typed it."""

    words: tuple[str, ...]
    tags: tuple[str, ...]
    records: int
    """1, or 0 where it goes on with the sentence before, which was too long."""


def raw_files(raw: Path, dataset: str) -> dict[str, Path]:
    return split_files(raw, FILES.get(dataset, FILES["sample"]))


def read(chunk: bytes, where: Where, data: Data) -> Iterator[Sentence | BadRecord]:
    for begin, lines in _blocks(chunk):
        try:
            words, tags = _parse(begin, lines, where)
            if data.too_long == "refuse" and len(words) > data.max_length:
                found = f"a sentence of {len(words)} words"
                raise DataError(where.at(begin), found, f"at most {data.max_length} (data.max_length)")
        except DataError as error:
            text = b"\n".join(lines).decode(errors="backslashreplace")
            yield BadRecord(error.where, error.found, error.allowed, text)
        else:
            for i in range(0, len(words), data.max_length):
                part = slice(i, i + data.max_length)
                yield Sentence(tuple(words[part]), tuple(tags[part]), int(i == 0))


def count(examples: Iterable[Sentence]) -> Counts:
    words: Counter[str] = Counter()
    for sentence in examples:
        words.update(sentence.words)
    characters: Counter[str] = Counter()
    for word, times in words.items():
        for character in word:
            characters[character] += times
    return {"words": words, "characters": characters}


def sidecar(counts: Counts, data: Data) -> dict[str, Any]:
    """words, word_counts, characters, tags: lists whose index is the id; 0 is padding, 1 unknown (none for tags).

    Every word of the training split is known, by falling count: a model that knows fewer takes the first ones.
    """
    words = by_count(counts["words"])
    return {
        "words": [PADDING, UNKNOWN, *words],
        "word_counts": [0, 0, *(counts["words"][word] for word in words)],
        "characters": [PADDING, UNKNOWN, *by_count(counts["characters"])],
        "tags": TAGS,
    }


def encoder(sidecar: Sidecar) -> Callable[[Sentence], Row]:
    words, characters = _ids(sidecar["words"]), _ids(sidecar["characters"])
    tags = {tag: index for index, tag in enumerate(sidecar["tags"])}

    def encode(sentence: Sentence) -> Row:
        # What a user typed has no tags: zeros keep the columns of equal length, and nothing reads them.
        known = [tags[tag] for tag in sentence.tags] or [0] * len(sentence.words)
        return {
            "words": np.array([words.get(word, 1) for word in sentence.words], np.int32),
            "tags": np.array(known, np.int32),
            "characters": np.array([characters.get(c, 1) for word in sentence.words for c in word], np.int32),
            "ends": np.cumsum([len(word) for word in sentence.words], dtype=np.int32),
        }

    return encode


def raw_example(given: str, sidecar: Sidecar) -> Sentence:
    """A typed sentence: apart by white space, then opening marks before a word and closing marks after it on their own.

    `("Wait..." he said)` gives ( " Wait ... " he said ). A full stop stays with a word that has one inside (U.S.);
    contractions are not taken apart, so `don't` is one word where UD has two: write `do n't`.

    Raises:
        DataError: no words.
    """
    words = [word for typed in given.split() for word in _apart(typed)]
    if not words:
        raise DataError("input", "a text without words", "at least one word")
    return Sentence(tuple(words), (), 1)


def example_input(columns: arrow.Columns, sidecar: Sidecar, raw: Path) -> str:
    return " ".join(sidecar["words"][word] for word in columns["words"][0])


def sizes(config: tagging.Config, sidecar: Sidecar) -> tagging.Sizes:
    known = sum(count >= config.min_count for count in sidecar["word_counts"][2:])
    return tagging.Sizes(words=2 + known, characters=len(sidecar["characters"]), tags=len(sidecar["tags"]))


def begin(network: Network, model: Mapping[str, Any], sidecar: Sidecar, root: Path) -> None:
    word_vectors.begin("pos_tagging", network.model.embedding.weight, sidecar["words"], model, root)


def simple(splits: Mapping[str, arrow.Columns], sidecar: Sidecar) -> dict[str, Simple]:
    """An averaged perceptron over a word's spelling and its neighbours; nothing is chosen."""
    train, test = splits["train"], splits["test"]
    tagger = FeatureTagger(_spelt(train, sidecar["characters"]), train["tags"].values.astype(np.int64))
    right_N, new_N = test["tags"].values.astype(np.int64), test["words"].values == tagging.UNKNOWN
    answered_N = torch.from_numpy(tagger(_spelt(test, sidecar["characters"])).astype(np.int64))
    counts = _counted(torch.from_numpy(right_N), answered_N, torch.from_numpy(new_N), len(sidecar["tags"]))
    return {"feature_tagger": Simple(_shares(*counts), "averaged perceptron over spelling and two neighbours a side")}


@torch.no_grad()
def measure(network: Network, windows: Windows, sidecar: Sidecar) -> Sums:
    """`right_answered_VV` of all words and of those that the training split does not have, and the loss."""
    size = len(sidecar["tags"])
    everything, unseen = torch.zeros(2, size, size, dtype=torch.float64)
    loss = torch.zeros((), dtype=torch.float64)
    for window, hidden_TBH in bptt.read(network, windows, network.initial_carry(windows.width)):
        loss += network.loss(window, hidden_TBH)[0].double().cpu()
        answered_TB = network.decide(window, hidden_TBH)
        valid_TB, new_TB = window.valid_TB, window.fields["words_TB"] == tagging.UNKNOWN
        of_all, of_new = _counted(window.fields["targets_TB"][valid_TB], answered_TB[valid_TB], new_TB[valid_TB], size)
        everything += of_all
        unseen += of_new
    return {"loss": loss, "all": everything, "unseen": unseen}


def metrics(sums: Sums, sidecar: Sidecar) -> dict[str, float]:
    return {"loss": float(sums["loss"] / sums["all"].sum())} | _shares(sums["all"], sums["unseen"])


def tables(sums: Sums, sidecar: Sidecar) -> dict[str, Table | Matrix]:
    """Accuracy of each tag (of the words that bear it), and which was taken for which."""
    rows = [
        {"tag": tag, "words": int(row.sum()), "accuracy": 100 * float(row[index] / row.sum())}
        for index, (tag, row) in enumerate(zip(sidecar["tags"], sums["all"], strict=True))
        if row.sum() > 0
    ]
    return {"accuracy_by_tag": rows, "confusion": Matrix(list(sidecar["tags"]), sums["all"])}


@torch.no_grad()
def answers(network: Network, inputs: list[str], sidecar: Sidecar) -> list[dict[str, Any]]:
    """`words` of the sentence as they were taken apart, and their `tags`."""
    if not inputs:
        return []
    encode = encoder(sidecar)
    sentences = [raw_example(text, sidecar) for text in inputs]
    columns = arrow.from_rows([encode(sentence) for sentence in sentences], KIND)
    longest = max(len(sentence.words) for sentence in sentences)
    lanes = min(len(sentences), ANSWER_LANES)
    filling = tagging.filling(columns, lanes=lanes, window=longest, seed=None, carries=False)
    windows = Windows(filling=filling, assemble=tagging.assemble(columns), lanes=slice(0, lanes))
    tags = np.zeros(len(columns["words"].values), np.int64)
    for step, (window, hidden_TBH) in enumerate(bptt.read(network, windows, ())):
        positions_TB, _ = filling.place(0, step, windows.lanes)
        answered_TB = network.decide(window, hidden_TBH).cpu().numpy()
        tags[positions_TB[positions_TB >= 0]] = answered_TB[positions_TB >= 0]
    offsets = columns["words"].offsets
    named = [[sidecar["tags"][tag] for tag in tags[a:b]] for a, b in itertools.pairwise(offsets)]
    return [{"words": list(s.words), "tags": t} for s, t in zip(sentences, named, strict=True)]


def _spelt(columns: arrow.Columns, characters: list[str]) -> list[list[str]]:
    """The words of each sentence from their characters; `<unk>` stands for one that the training data do not have."""
    names = np.array(characters, dtype=object)
    spelt = []
    for of_sentence, ends in zip(columns["characters"], columns["ends"], strict=True):
        begins = [0, *ends[:-1]]
        spelt.append(["".join(names[of_sentence[a:b]]) for a, b in zip(begins, ends, strict=True)])
    return spelt


def _counted(right_N: Tensor, answered_N: Tensor, new_N: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """right_answered_VV of all words, and of the new ones."""
    cells_N = right_N * size + answered_N
    everything, unseen = (torch.bincount(some.cpu(), minlength=size**2) for some in (cells_N, cells_N[new_N]))
    return everything.view(size, size), unseen.view(size, size)


def _shares(all_VV: Tensor, unseen_VV: Tensor) -> dict[str, float]:
    scores = {"accuracy": _share(all_VV)}
    return scores | ({"accuracy_unseen": _share(unseen_VV)} if unseen_VV.any() else {})


def _share(right_answered_VV: Tensor) -> float:
    return 100 * float(right_answered_VV.trace() / right_answered_VV.sum())


def _apart(typed: str) -> list[str]:
    match = _TYPED_WORD.fullmatch(typed)
    assert match is not None
    before, word, after = match["before"], match["word"], match["after"]
    if "." in word and after.startswith(".") and not after.startswith(".."):
        word, after = word + ".", after[1:]
    return [*before, *([word] if word else []), *_MARK.findall(after)]


def _blocks(chunk: bytes) -> Iterator[tuple[int, list[bytes]]]:
    """Lines between empty ones, with the place of their first line in the chunk."""
    lines: list[bytes] = []
    for number, line in enumerate(chunk.split(b"\n")):
        if line.strip():
            lines.append(line)
        elif lines:
            yield number - len(lines), lines
            lines = []
    if lines:
        yield number + 1 - len(lines), lines


def _parse(begin: int, lines: list[bytes], where: Where) -> tuple[list[str], list[str]]:
    """Words and tags of a sentence; empty where there are comments only. DataError names the line."""
    words: list[str] = []
    tags: list[str] = []
    for number, raw in enumerate(lines, begin):
        line = _text(raw, where.at(number))
        if line.startswith("#"):
            continue
        columns = line.split("\t")
        if len(columns) != COLUMNS:
            raise DataError(where.at(number), f"{len(columns)} columns", f"{COLUMNS}, apart by tabs")
        if not _SKIPPED_ID.fullmatch(columns[0]):
            _check(columns, len(words) + 1, where.at(number))
            words.append(columns[1])
            tags.append(columns[3])
    return words, tags


def _check(columns: list[str], expected: int, where: str) -> None:
    number, form, tag = columns[0], columns[1], columns[3]
    if number != str(expected):
        raise DataError(where, f"ID {number!r}", f"{expected}: words count from 1; only 1-2 and 1.1 are skipped")
    if not form.strip():
        raise DataError(where, "an empty FORM", "the word in column 2")
    if tag not in TAGS:
        raise DataError(where, f"UPOS {tag!r}", f"one of {', '.join(TAGS)}")


def _text(raw: bytes, where: str) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        found = f"byte 0x{raw[error.start]:02x} at column {error.start + 1} is no UTF-8"
        raise DataError(where, found, "UTF-8 text") from None


def _ids(names: list[str]) -> dict[str, int]:
    return {name: index for index, name in enumerate(names) if index > 1}
