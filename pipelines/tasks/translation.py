"""Translation of sentences, on raw text: as a user writes them, and as sacreBLEU scores them.

Multi30k task 1 (Elliott et al. 2016), test_2016_flickr, English to German: a gated recurrent encoder-decoder with
attention comes to a BLEU of about 36 to 38 when tuned.

Own data: two files of plain UTF-8 text, a sentence a line, line n of one the translation of line n of the other, named
`<stem>.<language>`, such as train.en and train.de (or with .gz). `data.source` and `data.target` are the endings,
`data.files` names the stem of each split. Runs of white space count as one blank, characters are composed (NFC).
"""

import functools
import json
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from sacrebleu.metrics.bleu import BLEU
from sacrebleu.metrics.chrf import CHRF
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from torch import Tensor

from pipelines.tasks import BadRecord, Counts, Matrix, Picture, Row, Sidecar, Simple, Sums, Table, Where, split_files
from rnn_core import arrow, bptt
from rnn_core.errors import DataError
from rnn_core.lanes import Window, Windows
from rnn_core.models import transduction
from rnn_core.models.transduction import END
from rnn_core.networks import Network
from rnn_core.text.lexicon import best_words

KIND = "transduction"
METRICS: dict[str, Literal["max", "min"]] = {"bleu": "max", "chrf": "max"}
RAW: Literal["aligned"] = "aligned"
INPUT: Literal["text"] = "text"
SIMPLE = ("word_by_word",)
REQUIREMENTS = ("tokenizers", "sacrebleu")
SPECIAL = ["<pad>", "<begin>", "<end>"]
"""Ids 0, 1, 2, as the kind has them."""
LEAST_VOCABULARY = len(SPECIAL) + 256
ROUNDS = (1, 2, 3, 5, 8)
"""Of the word-by-word translator; which one is chosen on validation data."""
ANSWER_LANES, EXAMPLES, PICTURES = 64, 25, 3
FILES = {
    "multi30k": {
        "train": "data/task1/raw/train",
        "validation": "data/task1/raw/val",
        "test": "data/task1/raw/test_2016_flickr",
    },
    "sample": {"train": "train", "validation": "validation", "test": "test"},
}
_PIECES = pre_tokenizers.ByteLevel(add_prefix_space=True)
# Of detokenised text, cased; sacreBLEU's defaults but for `force`, which only silences a warning.
_SCORERS: dict[str, Any] = {"bleu": BLEU(force=True), "chrf": CHRF()}


@dataclass(frozen=True, kw_only=True)
class Data:
    source: str
    """Ending of the files that are translated, a language."""
    target: str
    """Ending of the files with the translations."""
    vocabulary: int
    """Tokens of both languages together: parts of words, learnt from the training split (byte-pair encoding)."""
    max_length: int
    """Bytes of a sentence at most; longer ones are bad records. It never has more than two tokens more than bytes."""

    def __post_init__(self) -> None:
        if self.source == self.target:
            raise ValueError(f"source and target are both {self.source!r}, two languages are wanted")
        if self.vocabulary < LEAST_VOCABULARY:
            raise ValueError(f"vocabulary is {self.vocabulary}, at least {LEAST_VOCABULARY} is wanted: all bytes")
        if self.max_length < 1:
            raise ValueError(f"max_length is {self.max_length}, at least 1 is wanted")


@dataclass(frozen=True)
class Pair:
    source: str
    target: str
    """Empty where a user typed the source."""
    records: int = 1


def sides(data: Data) -> tuple[str, ...]:
    return data.source, data.target


def raw_files(raw: Path, dataset: str) -> dict[str, Path]:
    return split_files(raw, FILES.get(dataset, FILES["sample"]))


def read(chunk: tuple[bytes, ...], where: Where, data: Data) -> Iterator[Pair | BadRecord]:
    sources, targets = (side.removesuffix(b"\n").split(b"\n") for side in chunk)
    for number, both in enumerate(zip(sources, targets, strict=True)):
        try:
            named = zip(both, sides(data), strict=True)
            source, target = (_sentence(raw, side, data.max_length, where.at(number)) for raw, side in named)
            yield Pair(source, target)
        except DataError as error:
            text = b"\t".join(both).decode(errors="backslashreplace")
            yield BadRecord(error.where, error.found, error.allowed, text)


def count(examples: Iterable[Pair]) -> Counts:
    """Words with the blank before them, numbers, marks: what no token reaches across."""
    pieces: Counter[str] = Counter()
    for pair in examples:
        for text in (pair.source, pair.target):
            pieces.update(piece for piece, _ in _PIECES.pre_tokenize_str(text))
    return {"pieces": pieces}


def sidecar(counts: Counts, data: Data) -> dict[str, Any]:
    """tokenizer: as the `tokenizers` package writes it, byte-pair encoding over bytes (Sennrich et al. 2016: Neural
    machine translation of rare words with subword units), one for both languages; source, target, max_length."""
    tokenizer = Tokenizer(models.BPE())
    trainer = trainers.BpeTrainer(
        vocab_size=data.vocabulary,
        special_tokens=SPECIAL,
        initial_alphabet=_PIECES.alphabet(),
        show_progress=False,
    )
    # The pieces stand apart already, by blanks, and none has a blank inside.
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    pieces = sorted(counts["pieces"].items())
    tokenizer.train_from_iterator((" ".join([piece] * times) for piece, times in pieces), trainer)
    tokenizer.pre_tokenizer, tokenizer.decoder = _PIECES, decoders.ByteLevel()
    languages = {"source": data.source, "target": data.target, "max_length": data.max_length}
    return {"tokenizer": json.loads(tokenizer.to_str()), **languages}


def encoder(sidecar: Sidecar) -> Callable[[Pair], Row]:
    tokenizer = _tokenizer(sidecar)

    def encode(pair: Pair) -> Row:
        source, target = (tokenizer.encode(text).ids for text in (pair.source, pair.target))
        return {"target": np.array([*target, END], np.int32), "source": np.array([*source, END], np.int32)}

    return encode


def raw_example(given: str, sidecar: Sidecar) -> Pair:
    """A sentence to translate.

    Raises:
        DataError: nothing but white space, or longer than the training data were allowed to be.
    """
    return Pair(_sentence(given.encode(), sidecar["source"], sidecar["max_length"], "input"), "")


def example_input(columns: arrow.Columns, sidecar: Sidecar, raw: Path) -> str:
    return _text(_tokenizer(sidecar), columns["source"][0])


def sizes(config: transduction.Config, sidecar: Sidecar) -> transduction.Sizes:
    return transduction.Sizes(vocabulary=_tokenizer(sidecar).get_vocab_size())


@torch.no_grad()
def measure(network: Network, windows: Windows, sidecar: Sidecar) -> Sums:
    """The loss and its steps, and what sacreBLEU adds up for each metric."""
    sums = {"loss": torch.zeros(2, dtype=torch.float64)}
    sums |= {name: torch.tensor(_counted(name, [""], [""]), dtype=torch.float64) for name in METRICS}
    for window, hidden_TBO in bptt.read(network, windows, ()):
        loss, steps = network.loss(window, hidden_TBO)
        sums["loss"] += torch.tensor([float(loss), steps], dtype=torch.float64)
        _, targets, answered = _texts(network, window, _tokenizer(sidecar))
        for name in METRICS:
            if targets:
                sums[name] += torch.tensor(_counted(name, answered, targets), dtype=torch.float64)
    return sums


def metrics(sums: Sums, sidecar: Sidecar) -> dict[str, float]:
    loss, steps = sums["loss"].tolist()
    return {"loss": loss / steps} | {name: _score(name, sums[name]).score for name in METRICS}


def tables(sums: Sums, sidecar: Sidecar) -> dict[str, Table | Matrix]:
    """What BLEU is made of, and how each metric is reckoned, as sacreBLEU writes it."""
    bleu = _score("bleu", sums["bleu"])
    ngrams: Table = [
        {"n": n, "right": right, "said": said, "precision": 100 * right / max(1, said)}
        for n, (right, said) in enumerate(zip(bleu.counts, bleu.totals, strict=True), 1)
    ]
    lengths: Table = [{"words_said": bleu.sys_len, "words_right": bleu.ref_len, "brevity_penalty": bleu.bp}]
    signatures: Table = [{"metric": name, "signature": str(_SCORERS[name].get_signature())} for name in METRICS]
    return {"bleu_ngrams": ngrams, "bleu_lengths": lengths, "signatures": signatures}


@torch.no_grad()
def analysis(
    network: Network, windows: Windows, columns: arrow.Columns, sidecar: Sidecar
) -> Mapping[str, Table | Matrix | Picture]:
    """Examples, those with the largest loss of a token first in `worst`, and where the attention of some was."""
    tokenizer, rows, shown = _tokenizer(sidecar), [], []
    for window, hidden_TBO in bptt.read(network, windows, ()):
        losses_B = transduction.losses(network, window, hidden_TBO)
        for lane, (source, target, answered) in enumerate(zip(*_texts(network, window, tokenizer), strict=True)):
            chrf = _SCORERS["chrf"].sentence_score(answered, [target]).score
            texts = {"source": source, "right": target, "answered": answered}
            rows.append({"loss": losses_B[lane], "chrf": chrf} | texts)
        shown.append(window)
    every = max(1, len(rows) // EXAMPLES)
    worst = sorted(rows, key=lambda row: -row["loss"])[:EXAMPLES]
    pictures = _attention(network, shown[len(shown) // 2], tokenizer)
    return {"worst": worst, "examples": rows[::every][:EXAMPLES], **pictures}


@torch.no_grad()
def answers(network: Network, inputs: list[str], sidecar: Sidecar) -> list[dict[str, Any]]:
    """The `translation` of each sentence."""
    if not inputs:
        return []
    encode, found = encoder(sidecar), [""] * len(inputs)
    columns = arrow.from_rows([encode(raw_example(text, sidecar)) for text in inputs], KIND)
    lanes, longest = min(len(inputs), ANSWER_LANES), int(np.diff(columns["source"].offsets).max())
    filling = transduction.filling(columns, lanes=lanes, window=longest, seed=None, carries=False)
    windows = Windows(filling=filling, assemble=transduction.assemble(columns), lanes=slice(0, lanes))
    for step in range(windows.per_epoch):
        positions_TB, _ = filling.place(0, step, windows.lanes)
        _, _, answered = _texts(network, windows(step), _tokenizer(sidecar))
        # The target of what a user gave is its end alone: where that stands is which input it is.
        for row, text in zip(positions_TB[0][positions_TB[0] >= 0], answered, strict=True):
            found[row] = text
    return [{"translation": text} for text in found]


def simple(splits: Mapping[str, arrow.Columns], sidecar: Sidecar) -> Mapping[str, Simple]:
    """Each word by the one that it most probably becomes (IBM model 1), in its place; unknown ones stay as they are."""
    texts = {split: _both(columns, _tokenizer(sidecar)) for split, columns in splits.items()}
    pieces = [[[piece for piece, _ in _PIECES.pre_tokenize_str(text)] for text in side] for side in texts["train"]]
    names = sorted({piece for side in pieces for words in side for piece in words})
    numbers = {name: number for number, name in enumerate(names)}
    sources, targets = ([np.array([numbers[word] for word in words]) for words in side] for side in pieces)
    found = best_words(sources, targets, ROUNDS)
    said = {rounds: {names[s]: names[t] for s, t in best.items()} for rounds, best in found.items()}

    def score(split: str, rounds: int, name: str) -> float:
        answered = [_word_by_word(text, said[rounds]) for text in texts[split][0]]
        return float(_SCORERS[name].corpus_score(answered, [texts[split][1]]).score)

    chosen = max(ROUNDS, key=lambda rounds: score("validation", rounds, "bleu"))
    scores = {name: score("test", chosen, name) for name in METRICS}
    return {SIMPLE[0]: Simple(scores, f"IBM model 1, {chosen} of {ROUNDS} rounds")}


def _sentence(raw: bytes, side: str, max_length: int, where: str) -> str:
    """One line as text. DataError says which side of the record is bad."""
    try:
        text = unicodedata.normalize("NFC", " ".join(raw.decode().split()))
    except UnicodeDecodeError as error:
        found = f"{side}: byte 0x{raw[error.start]:02x} at column {error.start + 1} is no UTF-8"
        raise DataError(where, found, "UTF-8 text") from None
    if not text:
        raise DataError(where, f"{side}: an empty sentence", "at least one word")
    if (size := len(text.encode())) > max_length:
        raise DataError(where, f"{side}: a sentence of {size} bytes", f"at most {max_length} (data.max_length)")
    return text


def _tokenizer(sidecar: Sidecar) -> Tokenizer:
    return _parsed(json.dumps(sidecar["tokenizer"]))


@functools.lru_cache(maxsize=2)
def _parsed(text: str) -> Tokenizer:
    tokenizer = Tokenizer.from_str(text)
    # What looks like a special token in a text is letters.
    tokenizer.encode_special_tokens = True
    return tokenizer


def _text(tokenizer: Tokenizer, ids: Iterable[int]) -> str:
    text: str = tokenizer.decode([i for i in map(int, ids) if i >= len(SPECIAL)])
    return text.strip()


def _both(columns: arrow.Columns, tokenizer: Tokenizer) -> tuple[list[str], list[str]]:
    """All sources and all targets."""
    sources, targets = ([_text(tokenizer, ids) for ids in columns[side]] for side in ("source", "target"))
    return sources, targets


def _texts(network: Network, window: Window, tokenizer: Tokenizer) -> tuple[list[str], list[str], list[str]]:
    """Source, target and the network's answer of each lane that holds a pair."""
    found = transduction.answers(network, window)
    lanes = window.valid_TB[0].nonzero().squeeze(1).tolist()
    targets_TB = window.fields["targets_TB"].masked_fill(~window.valid_TB, END)
    both = (window.fields["source_SB"], targets_TB)
    sources, targets = ([_text(tokenizer, tokens_XB[:, lane]) for lane in lanes] for tokens_XB in both)
    return sources, targets, [_text(tokenizer, found[lane]) for lane in lanes]


def _attention(network: Network, window: Window, tokenizer: Tokenizer) -> dict[str, Picture]:
    """Of the first pairs of a window, while the right translation is said."""
    weights_BTS = network.model.attended(window)
    if weights_BTS is None:
        return {}
    pictures = {}
    for lane in window.valid_TB[0].nonzero().squeeze(1).tolist()[:PICTURES]:
        steps, places = int(window.valid_TB[:, lane].sum()), int(window.fields["source_valid_SB"][:, lane].sum())
        rows, columns = window.fields["targets_TB"][:steps, lane], window.fields["source_SB"][:places, lane]
        said, seen = (
            [SPECIAL[i] if i < len(SPECIAL) else _text(tokenizer, [i]) for i in ids] for ids in (rows, columns)
        )
        pictures[f"attention_{lane}"] = Picture(said, seen, weights_BTS[lane, :steps, :places].cpu())
    return pictures


def _word_by_word(text: str, said: Mapping[str, str]) -> str:
    words = [said.get(piece, piece) for piece, _ in _PIECES.pre_tokenize_str(text)]
    decoded: str = decoders.ByteLevel().decode(words)
    return decoded.strip()


def _counted(name: str, answered: list[str], targets: list[str]) -> list[float]:
    """What sacreBLEU counts in these sentences; its scores are functions of the sums. `[""]` counts nothing."""
    scorer = _SCORERS[name]
    return np.sum(scorer._extract_corpus_statistics(answered, [targets]), axis=0).tolist()


def _score(name: str, sums: Tensor) -> Any:
    return _SCORERS[name]._compute_score_from_stats([int(number) for number in sums.tolist()])
