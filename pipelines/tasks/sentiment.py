"""Sentiment: what a sentence thinks of its subject, one class for the whole of it.

Tai et al. 2015 report 84.9 % for a bidirectional LSTM on the two-class sentences of the Stanford Sentiment Treebank,
with GloVe vectors and the labels of all phrases; from the sentences alone, a bag of words reaches 80.2 to 80.7 %.

Own data: UTF-8 text, a sentence a line, a tab, its label as `data.labels` names it. Words are apart by white space,
marks on their own, contractions taken apart as in the Penn Treebank (`wo n't`).
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
import torch

from pipelines.parsers import word_vectors
from pipelines.tasks import BadRecord, Counts, Matrix, Row, Sidecar, Simple, Sums, Table, Where, by_count, split_files
from rnn_core import arrow, classes
from rnn_core.errors import DataError
from rnn_core.lanes import Windows
from rnn_core.metrics.classified import Classified
from rnn_core.models import classification
from rnn_core.models.classification import UNKNOWN
from rnn_core.networks import Network
from rnn_core.text import transfer

KIND = "classification"
METRICS: dict[str, Literal["max", "min"]] = {"accuracy": "max", "f1": "max", "calibration_error": "min"}
RAW: Literal["text"] = "text"
INPUT: Literal["text"] = "text"
SIMPLE: tuple[str, ...] = ("bag_of_words",)
REQUIREMENTS: tuple[str, ...] = ()
RECORD_END = b"\n"
STREAM = False
NAMES = ["<pad>", "<unk>"]
"""Of ids 0 and 1; a word of the text that looks like them has an id of its own."""
FILES = {
    "sst2": {"train": "train.tsv", "validation": "dev.tsv", "test": "test.tsv"},
    "sample": {"train": "train.tsv", "validation": "validation.tsv", "test": "test.tsv"},
}
WORST = 50
"""Examples with the largest loss that are shown."""
STRENGTHS = (0.03, 0.1, 0.3, 1.0, 3.0)
"""Inverse regularisation of the bag of words; the best on validation data is taken."""
_TYPED = re.compile(r"\w+(?=n't\b)|n't\b|'(?:s|re|ve|ll|d|m)\b|\w+(?:[.-]\w+)*|\.{2,}|[^\w\s]")


@dataclass(frozen=True, kw_only=True)
class Data:
    labels: dict[str, str]
    """The label in the raw file: its name, in the order of the classes."""
    lowercase: bool
    max_length: int
    too_long: Literal["cut", "refuse"]
    """Longer sentences: what is beyond is not read, or they are bad records."""

    def __post_init__(self) -> None:
        if len(self.labels) < 2:
            raise ValueError(f"labels has {len(self.labels)} classes, at least 2 are wanted")
        if self.max_length < 1:
            raise ValueError(f"max_length is {self.max_length}, at least 1 is wanted")


@dataclass(frozen=True)
class Sentence:
    words: tuple[str, ...]
    label: str
    """As in the raw file; empty where a user typed it."""
    records: int = 1


def raw_files(raw: Path, dataset: str) -> dict[str, Path]:
    return split_files(raw, FILES.get(dataset, FILES["sample"]))


def read(chunk: bytes, where: Where, data: Data) -> Iterator[Sentence | BadRecord]:
    for number, line in enumerate(chunk.split(b"\n")):
        if line.strip():
            try:
                yield _parse(line, data)
            except _Bad as bad:
                yield BadRecord(where.at(number), bad.found, bad.allowed, line.decode(errors="backslashreplace"))


def count(examples: Iterable[Sentence]) -> Counts:
    words: Counter[str] = Counter()
    for sentence in examples:
        words.update(sentence.words)
    return {"words": words}


def sidecar(counts: Counts, data: Data) -> dict[str, Any]:
    """words, word_counts: lists whose index is the id; labels, label_names, in the order of the classes; lowercase.

    Every word of the training split is known, by falling count: a model that knows fewer takes the first ones.
    """
    words = by_count(counts["words"])
    return {
        "words": [*NAMES, *words],
        "word_counts": [0, 0, *(counts["words"][word] for word in words)],
        "labels": list(data.labels),
        "label_names": list(data.labels.values()),
        "lowercase": data.lowercase,
    }


def encoder(sidecar: Sidecar) -> Callable[[Sentence], Row]:
    ids = {word: index for index, word in enumerate(sidecar["words"]) if index > UNKNOWN}
    # What a user typed has no label: 0 fills its place, and nothing reads it.
    ids_of_labels = {label: index for index, label in enumerate(sidecar["labels"])} | {"": 0}

    def encode(sentence: Sentence) -> Row:
        tokens = np.array([ids.get(word, UNKNOWN) for word in sentence.words], np.int32)
        return {"tokens": tokens, "features": [], "steps": len(tokens), "label": ids_of_labels[sentence.label]}

    return encode


def raw_example(given: str, sidecar: Sidecar) -> Sentence:
    """A typed sentence: marks and contractions are taken apart (`don't!` is `do n't !`).

    Raises:
        DataError: no words.
    """
    words = _TYPED.findall(given.lower() if sidecar["lowercase"] else given)
    if not words:
        raise DataError("input", "a text without words", "at least one word")
    return Sentence(tuple(words), "")


def example_input(columns: arrow.Columns, sidecar: Sidecar, raw: Path) -> str:
    return _text(columns["tokens"][0], sidecar)


def sizes(config: classification.Config, sidecar: Sidecar) -> classification.Sizes:
    known = sum(count >= config.min_count for count in sidecar["word_counts"][2:])
    return classification.Sizes(input="tokens", size=2 + known, classes=len(sidecar["labels"]))


def begin(network: Network, model: Mapping[str, Any], sidecar: Sidecar, root: Path) -> None:
    """A language model, then word vectors, where the block names them; how many words were found is printed."""
    weight, words = network.model.encoder.embedding.weight, sidecar["words"]
    if model.get("start") is not None:
        common = transfer.fill(weight, words, network.model.stack, transfer.Start(**model["start"]), root)
        print(f"sentiment: {common} of {len(weight)} words begin with a language model's vectors", flush=True)
    word_vectors.begin("sentiment", weight, words, model, root)


def measure(network: Network, windows: Windows, sidecar: Sidecar) -> Sums:
    return classes.measure(network, windows, len(sidecar["labels"]))


def metrics(sums: Sums, sidecar: Sidecar) -> dict[str, float]:
    return Classified(len(sidecar["labels"]), sums).metrics()


def tables(sums: Sums, sidecar: Sidecar) -> dict[str, Table | Matrix]:
    """Which was taken for which, and how often what was said with some confidence was right."""
    reliability = Classified(len(sidecar["labels"]), sums).reliability()
    return {"confusion": Matrix(sidecar["label_names"], sums["confusion"]), "reliability": reliability}


def analysis(network: Network, windows: Windows, columns: arrow.Columns, sidecar: Sidecar) -> dict[str, Table | Matrix]:
    """The sentences with the largest loss, and the accuracy by length."""
    losses, answered = np.zeros(columns.num_rows), np.zeros(columns.num_rows, np.int64)
    for rows_N, log_p_NV, labels_N in classes.judged(network, windows):
        losses[rows_N] = -log_p_NV.gather(1, labels_N[:, None])[:, 0].numpy()
        answered[rows_N] = log_p_NV.argmax(1).numpy()
    names, labels = sidecar["label_names"], columns["label"]
    right = answered == labels
    worst = [
        {"loss": round(losses[row], 3), "right": names[labels[row]], "answered": names[answered[row]]}
        | {"text": _text(columns["tokens"][row], sidecar)}
        for row in losses.argsort()[::-1][:WORST]
    ]
    # Lengths by powers of two: 1, 2-3, 4-7, ...
    bands = np.log2(columns.steps()).astype(int)
    by_length: Table = [
        {"words from": 2**band, "to": 2 ** (band + 1) - 1, "sentences": int((bands == band).sum())}
        | {"accuracy": 100 * float(right[bands == band].mean())}
        for band in np.unique(bands).tolist()
    ]
    return {"largest_loss": worst, "accuracy_by_length": by_length}


def answers(network: Network, inputs: list[str], sidecar: Sidecar) -> list[dict[str, Any]]:
    """The `label` and its `probability`, and those of all classes."""
    if not inputs:
        return []
    encode, names = encoder(sidecar), sidecar["label_names"]
    columns = arrow.from_rows([encode(raw_example(text, sidecar)) for text in inputs], KIND)
    return [
        {"label": names[np.argmax(p_V)], "probability": max(p_V), "probabilities": dict(zip(names, p_V, strict=True))}
        for p_V in classes.probabilities(network, columns)
    ]


def simple(splits: Mapping[str, arrow.Columns], sidecar: Sidecar) -> dict[str, Simple]:
    """Which words occur, and logistic regression on them (Pang et al. 2002: Thumbs up?)."""
    from sklearn.linear_model import LogisticRegression

    x, y = {}, {}
    for split, columns in splits.items():
        x[split] = _occurrences(columns, len(sidecar["words"]))
        y[split] = columns["label"]
    fitted = [LogisticRegression(C=strength, max_iter=1000).fit(x["train"], y["train"]) for strength in STRENGTHS]
    best = max(fitted, key=lambda one: float(one.score(x["validation"], y["validation"])))
    classified = Classified(len(sidecar["labels"]))
    logits_NV = torch.from_numpy(best.predict_log_proba(x["test"]))
    classified.add(logits_NV, torch.from_numpy(y["test"].astype(np.int64)))
    chosen = f"logistic regression on the words that occur; on validation data, of C in {STRENGTHS}: {best.C}"
    return {"bag_of_words": Simple(classified.metrics(), chosen)}


class _Bad(Exception):
    """A line that is no example."""

    def __init__(self, found: str, allowed: str):
        self.found, self.allowed = found, allowed


def _parse(line: bytes, data: Data) -> Sentence:
    try:
        text, *rest = line.decode().rstrip("\r").split("\t")
    except UnicodeDecodeError as error:
        raise _Bad(f"byte 0x{line[error.start]:02x} at column {error.start + 1} is no UTF-8", "UTF-8 text") from None
    if len(rest) != 1:
        raise _Bad(f"{1 + len(rest)} columns", "2, apart by a tab: sentence and label")
    label, words = rest[0].strip(), (text.lower() if data.lowercase else text).split()
    if label not in data.labels:
        raise _Bad(f"label {label!r}", f"one of {', '.join(data.labels)} (data.labels)")
    if not words:
        raise _Bad("an empty sentence", "at least one word")
    if data.too_long == "refuse" and len(words) > data.max_length:
        raise _Bad(f"a sentence of {len(words)} words", f"at most {data.max_length} (data.max_length)")
    return Sentence(tuple(words[: data.max_length]), label)


def _occurrences(columns: arrow.Columns, words: int) -> Any:
    """A sparse matrix: 1 where a row has a word."""
    from scipy.sparse import csr_matrix

    tokens, rows_S = columns["tokens"], np.repeat(np.arange(columns.num_rows), columns.steps())
    places = np.unique(rows_S * words + tokens.values)
    return csr_matrix((np.ones(len(places)), np.divmod(places, words)), (columns.num_rows, words))


def _text(tokens: Any, sidecar: Sidecar) -> str:
    return " ".join(cast(str, sidecar["words"][token]) for token in tokens)
