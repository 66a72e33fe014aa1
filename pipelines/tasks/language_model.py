"""Language model: at each step of an endless stream, the next word (or character) from all before it.

Mikolov et al. 2010; on Penn Treebank Zaremba et al. 2014 report test perplexity 115 without dropout (2 layers of 200),
82.7 with it (2 of 650); Merity et al. 2017 58.8 (3 of 1150, regularised throughout, 500 epochs).

Own data: UTF-8 text. Word level: words apart by white space, a line (a sentence) ends in `<eos>`; `<unk>` in the text
is the unknown word. Character level: every character counts, line ends too. One file without split is cut by position.
"""

import io
import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from pipelines.parsers import word_vectors
from pipelines.rivals.kneser_ney import KneserNey
from pipelines.tasks import BadRecord, Counts, Matrix, Row, Sidecar, Simple, Sums, Table, Where, by_count, split_files
from rnn_core import bptt
from rnn_core.arrow import Columns
from rnn_core.lanes import Window, Windows
from rnn_core.models.language_model import Config, Sizes
from rnn_core.networks import Network

KIND = "language_model"
METRICS: dict[str, Literal["max", "min"]] = {"perplexity": "min", "bits_per_character": "min"}
RAW: Literal["text"] = "text"
INPUT: Literal["text"] = "text"
SIMPLE: tuple[str, ...] = ("kneser_ney",)
REQUIREMENTS: tuple[str, ...] = ()
RECORD_END = b"\n"
STREAM = True
EOS, UNKNOWN = "<eos>", "<unk>"
EXAMPLE_TOKENS = 12
ORDERS = {"word": (2, 3, 4, 5), "character": (4, 6, 8, 10)}
"""Lengths of grams that the simple baseline chooses from."""
CONTINUATION = 30
"""Elements that an answer goes on for."""
ROW_STEPS = 1 << 16
"""Tokens of a row at most; a row is no sequence, the stream goes on in the next one."""
FILES = {
    "ptb": {"train": "ptb.train.txt", "validation": "ptb.valid.txt", "test": "ptb.test.txt"},
    "sample": {"train": "train.txt", "validation": "validation.txt", "test": "test.txt"},
}


@dataclass(frozen=True, kw_only=True)
class Data:
    level: Literal["word", "character"]
    min_count: int
    """What is rarer in training becomes `<unk>`."""

    def __post_init__(self) -> None:
        if self.min_count < 1:
            raise ValueError(f"min_count is {self.min_count}, at least 1 is wanted")


@dataclass(frozen=True)
class Piece:
    """Tokens of the stream, in order."""

    tokens: Sequence[str]
    first: bool
    """It begins the stream."""
    records: int
    """Lines that end in it."""


def raw_files(raw: Path, dataset: str) -> dict[str, Path]:
    return split_files(raw, FILES.get(dataset, FILES["sample"]))


def read(chunk: bytes, where: Where, data: Data) -> Iterator[Piece | BadRecord]:
    text, bad = _decode(chunk, where)
    yield from bad
    if text and where.last and not text.endswith("\n") and data.level == "word":
        text += "\n"
    tokens: Sequence[str] = text if data.level == "character" else text.replace("\n", f" {EOS} ").split()
    end = "\n" if data.level == "character" else EOS
    # The row that begins the stream must be there, even where the first chunk has nothing to put in it.
    for begin in range(0, max(len(tokens), int(where.first)), ROW_STEPS):
        piece = tokens[begin : begin + ROW_STEPS]
        unended = where.last and begin + ROW_STEPS >= len(tokens) and len(piece) > 0 and piece[-1] != end
        yield Piece(piece, where.first and begin == 0, piece.count(end) + unended)


def count(examples: Iterable[Piece]) -> Counts:
    counter: Counter[str] = Counter()
    for piece in examples:
        counter.update(piece.tokens)
    return {"words": counter}


def sidecar(counts: Counts, data: Data) -> dict[str, Any]:
    """words (index = id; by falling count), their counts, level, eos (id of the end mark; null: no line ends), unk.

    One `<unk>` stands for the rare ones and for those that the text itself calls so. At character level the end mark
    is the line end.
    """
    counter = counts["words"]
    end = EOS if data.level == "word" else "\n"
    kept = Counter({w: n for w, n in counter.items() if n >= data.min_count or w == end})
    kept[UNKNOWN] = counter.total() - sum(n for w, n in kept.items() if w != UNKNOWN)
    words = by_count(kept)
    return {
        "level": data.level,
        "words": words,
        "counts": [kept[word] for word in words],
        "eos": words.index(end) if end in kept else None,
        "unk": words.index(UNKNOWN),
    }


def encoder(sidecar: Sidecar) -> Callable[[Piece], Row]:
    ids = {word: index for index, word in enumerate(sidecar["words"])}
    unknown = sidecar["unk"]

    def encode(piece: Piece) -> Row:
        return {"tokens": np.array([ids.get(t, unknown) for t in piece.tokens], np.int32), "first": piece.first}

    return encode


def raw_example(given: str, sidecar: Sidecar) -> Piece:
    """A prefix to go on with. It begins a line: the end of the line before comes first, and no end is added."""
    if sidecar["level"] == "character":
        return Piece("\n" + given, True, 1)
    return Piece([EOS, *given.replace("\n", f" {EOS} ").split()], True, 1)


def example_input(columns: Columns, sidecar: Sidecar, raw: Path) -> str:
    tokens = columns.values_of("tokens")
    words = [sidecar["words"][token] for token in tokens[np.arange(min(EXAMPLE_TOKENS, len(tokens)))]]
    return "".join(words) if sidecar["level"] == "character" else " ".join(words).split(EOS)[0].strip()


def sizes(config: Config, sidecar: Sidecar) -> Sizes:
    return Sizes(vocabulary=len(sidecar["words"]))


def begin(network: Network, model: Mapping[str, Any], sidecar: Sidecar, root: Path) -> None:
    word_vectors.begin("language_model", network.model.embedding.weight, sidecar["words"], model, root)


def simple(splits: Mapping[str, Columns], sidecar: Sidecar) -> dict[str, Simple]:
    """Interpolated modified Kneser-Ney; as of the network, the first word of a split is read and not asked for."""
    text = {split: columns["tokens"].values.astype(np.int64) for split, columns in splits.items()}
    orders, vocabulary = ORDERS[sidecar["level"]], len(sidecar["words"])
    fitted = {order: KneserNey(text["train"], order=order, vocabulary=vocabulary) for order in orders}
    best = max(orders, key=lambda order: float(fitted[order](text["validation"])[1:].mean()))
    log_p_N = fitted[best](text["test"])[1:]
    sums = {"loss": torch.tensor(-log_p_N.sum()), "count": torch.tensor(len(log_p_N))}
    return {"kneser_ney": Simple(metrics(sums, sidecar), f"on validation data, of grams of {orders}: {best}")}


@torch.no_grad()
def measure(network: Network, windows: Windows, sidecar: Sidecar) -> Sums:
    sums = torch.zeros(2, dtype=torch.float64)
    for window, hidden_TBH in bptt.read(network, windows, network.initial_carry(windows.width)):
        loss, count = network.loss(window, hidden_TBH)
        sums += torch.tensor([float(loss), count], dtype=torch.float64)
    return {"loss": sums[0], "count": sums[1]}


def metrics(sums: Sums, sidecar: Sidecar) -> dict[str, float]:
    loss = float(sums["loss"] / sums["count"])
    scores = {"loss": loss, "perplexity": math.exp(min(loss, 700.0))}
    return scores | ({"bits_per_character": loss / math.log(2)} if sidecar["level"] == "character" else {})


def tables(sums: Sums, sidecar: Sidecar) -> dict[str, Table | Matrix]:
    return {}


@torch.no_grad()
def answers(network: Network, inputs: list[str], sidecar: Sidecar) -> list[dict[str, Any]]:
    """`continuation`: drawn from the model, by the same random numbers each time; at word level it ends with a line."""
    encode = encoder(sidecar)
    return [{"continuation": _go_on(network, encode(raw_example(text, sidecar))["tokens"], sidecar)} for text in inputs]


def _go_on(network: Network, prefix: Any, sidecar: Sidecar) -> str:
    random = torch.Generator().manual_seed(0)
    carry = network.initial_carry(1)
    tokens_TB = torch.from_numpy(prefix.astype(np.int64))[:, None]
    drawn: list[int] = []
    while len(drawn) < CONTINUATION:
        no_start_TB = torch.zeros(tokens_TB.shape, dtype=torch.bool)
        window = Window(fields={"tokens_TB": tokens_TB}, starts_TB=no_start_TB, valid_TB=~no_start_TB, epoch=0)
        hidden_TBH, carry = network(window, carry)
        probabilities_V = network.head.predict(hidden_TBH)[-1, 0].double().softmax(0)
        probabilities_V[sidecar["unk"]] = 0
        drawn.append(int(torch.multinomial(probabilities_V, 1, generator=random)))
        if sidecar["level"] == "word" and drawn[-1] == sidecar["eos"]:
            break
        tokens_TB = torch.tensor([[drawn[-1]]])
    words = [sidecar["words"][token] for token in drawn]
    return "".join(words) if sidecar["level"] == "character" else " ".join(w for w in words if w != EOS)


def _decode(chunk: bytes, where: Where) -> tuple[str, list[BadRecord]]:
    """The text of a chunk without the lines that are no UTF-8."""
    try:
        return chunk.decode(), []
    except UnicodeDecodeError:
        good, bad = [], []
    for number, line in enumerate(io.BytesIO(chunk)):
        try:
            good.append(line.decode())
        except UnicodeDecodeError as error:
            found = f"byte 0x{line[error.start]:02x} at column {error.start + 1} is no UTF-8"
            bad.append(BadRecord(where.at(number), found, "UTF-8 text", line.decode(errors="backslashreplace")))
    return "".join(good), bad
