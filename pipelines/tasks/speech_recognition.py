"""Speech recognition: the characters of an utterance from its sound, nobody saying which stands where.

Log-mel frames, a bidirectional recurrent stack, CTC (Graves et al. 2006, 2013). On CMU AN4, five layers of 800 GRU
units are known to reach a word error rate of 9.6 to 12.4 %; on the Free Spoken Digit Dataset an LSTM 93.3 % of the
digits.

Own data: wav files and an index for each split, lines `path of a wav file <tab> transcript`, the path relative to the
index; the layouts of the two data sets above are known too (`pipelines/parsers/speech_corpora.py`). Any rate, width and
number of channels: `pipelines/parsers/wav.py` says what is converted. A transcript has characters of `data.alphabet`
only, words apart by a blank.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from pipelines.parsers import speech_corpora, utterances
from pipelines.parsers.speech_corpora import Flaw
from pipelines.parsers.utterances import Data, Utterance, labels_of
from pipelines.tasks import BadRecord, Counts, Item, Matrix, Picture, Row, Sidecar, Simple, Sums, Table, Where
from rnn_core import arrow, bptt
from rnn_core.config import from_mapping
from rnn_core.errors import DataError
from rnn_core.lanes import Windows
from rnn_core.metrics import transcripts
from rnn_core.models import recognition
from rnn_core.networks import Network
from rnn_core.speech.ctc_alignment import align, steps_needed
from rnn_core.speech.ctc_decoding import Search, best_path
from rnn_core.speech.log_mel import stacked
from rnn_core.speech.ngrams import NGrams, grams
from rnn_core.speech.warping import Templates

KIND = "recognition"
METRICS: dict[str, Literal["max", "min"]] = {"word_error_rate": "min", "character_error_rate": "min", "accuracy": "max"}
RAW: Literal["items"] = "items"
INPUT: Literal["file"] = "file"
SIMPLE = ("nearest_template",)
REQUIREMENTS = ("scipy", "soundfile")
BLANK, NOTHING = "<blank>", "<none>"
"""Names of class 0, and of the side of an alignment that has no character."""
UNIT = 1 << 16
"""Sums of features are counted in whole units of 1 / UNIT."""
LEAST_DEVIATION = 1e-3
ANSWER_LANES = 8
WORST = 20
"""Utterances of the table of those with most errors."""


def items(raw: Path, dataset: str, files: Mapping[str, Path] | None, data: Data) -> Iterator[Item | BadRecord]:
    for entry in speech_corpora.entries(raw, files):
        if isinstance(entry, Flaw):
            yield BadRecord(entry.where, entry.found, entry.allowed, entry.text, entry.split)
        else:
            name = entry.path.relative_to(raw).as_posix()
            yield Item(name, (entry.path,), entry.split, {"transcript": entry.transcript})


def read(chunk: Item, where: Where, data: Data) -> Iterator[Utterance | BadRecord]:
    transcript = " ".join(chunk.about["transcript"].split())
    try:
        utterances.check_transcript(transcript, where.file, data)
        utterance = utterances.hear(chunk.paths[0].read_bytes(), transcript, where.file, data)
        labels, steps = labels_of(transcript, data.alphabet), utterances.steps(len(utterance.frames_TM), data)
        if steps < steps_needed(labels):
            found = f"{steps} steps for the {len(labels)} characters of {transcript!r}"
            raise DataError(where.file, found, f"at least {steps_needed(labels)} steps: is the transcript its own?")
    except DataError as error:
        yield BadRecord(error.where, error.found, error.allowed, transcript, chunk.split)
    else:
        yield utterance


def count(examples: Iterable[Utterance]) -> Counts:
    """Sums and squares of each band in whole units, transcripts, what was converted."""
    sums: Counter[str] = Counter()
    transcripts: Counter[str] = Counter()
    changes: Counter[str] = Counter()
    for utterance in examples:
        frames_TM = utterance.frames_TM.astype(np.float64)
        for power, values_TM in (("sum", frames_TM), ("square", frames_TM**2)):
            totals_M = np.rint(values_TM * UNIT).astype(np.int64).sum(0)
            sums.update({f"{power} {band}": int(total) for band, total in enumerate(totals_M)})
        sums["frames"] += len(frames_TM)
        transcripts[utterance.transcript] += 1
        changes.update(utterance.changes)
    return {"sums": sums, "transcripts": transcripts, "changes": changes}


def sidecar(counts: Counts, data: Data) -> dict[str, Any]:
    """classes (the blank first), data, mean and deviation of each band, what was converted, grams of the transcripts.

    `lengths`: the fewest and the most characters of a training transcript.
    """
    sums, bands = counts["sums"], range(data.front_end.bands)
    mean_M, square_M = (
        np.array([sums[f"{power} {band}"] for band in bands]) / (UNIT * sums["frames"]) for power in ("sum", "square")
    )
    deviation_M = np.sqrt(np.maximum(square_M - mean_M**2, LEAST_DEVIATION**2))
    lengths = [len(transcript) for transcript in counts["transcripts"]]
    found: Counter[str] = Counter()
    if data.language_model:
        for transcript, times in counts["transcripts"].items():
            for gram in grams(transcript, data.language_model.order):
                found[gram] += times
    return {
        "classes": [BLANK, *data.alphabet],
        "data": asdict(data),
        "mean": mean_M.tolist(),
        "deviation": deviation_M.tolist(),
        "lengths": [min(lengths), max(lengths)],
        "changes": dict(sorted(counts["changes"].items())),
        "grams": dict(sorted(found.items())),
    }


def encoder(sidecar: Sidecar) -> Callable[[Utterance], Row]:
    data = _data(sidecar)
    mean_M, deviation_M = np.array(sidecar["mean"]), np.array(sidecar["deviation"])

    def encode(utterance: Utterance) -> Row:
        frames_TM, mean, deviation = utterance.frames_TM.astype(np.float64), mean_M, deviation_M
        if data.normalise == "utterance":
            mean, deviation = frames_TM.mean(0), np.maximum(frames_TM.std(0), LEAST_DEVIATION)
        normal_TM = ((frames_TM - mean) / deviation).astype(np.float32)
        features = stacked(normal_TM, stack=data.stack, skip=data.skip)
        return {"features": features, "steps": len(features), "labels": labels_of(utterance.transcript, data.alphabet)}

    return encode


def raw_example(given: bytes, sidecar: Sidecar) -> Utterance:
    """The contents of a sound file. DataError: it is none, or too short or too long."""
    return utterances.hear(given, "", "input", _data(sidecar))


def example_input(columns: arrow.Columns, sidecar: Sidecar, raw: Path) -> bytes:
    """The smallest recording of the raw folder."""
    return min(raw.rglob("*.wav"), key=lambda path: (path.stat().st_size, path)).read_bytes()


def sizes(config: recognition.Config, sidecar: Sidecar) -> recognition.Sizes:
    data = _data(sidecar)
    return recognition.Sizes(bands=data.front_end.bands, stack=data.stack, classes=len(sidecar["classes"]))


@torch.no_grad()
def measure(network: Network, windows: Windows, sidecar: Sidecar) -> Sums:
    """`edits` by `transcripts.SUMS`, the loss, and `confusion` of characters."""
    decode, classes = decoder(sidecar), sidecar["classes"]
    loss = torch.zeros((), dtype=torch.float64)
    edits = torch.zeros(len(transcripts.SUMS), dtype=torch.float64)
    confusion = torch.zeros(len(classes) + 1, len(classes) + 1, dtype=torch.float64)
    for window, hidden_TBH in bptt.read(network, windows, network.initial_carry(windows.width)):
        loss += network.loss(window, hidden_TBH)[0].double().cpu()
        for _, log_p_TV, labels in recognition.heard(network, window, hidden_TBH):
            found = decode(log_p_TV)
            edits += torch.from_numpy(transcripts.edits(_text(labels, classes), _text(found, classes)))
            confusion += torch.from_numpy(transcripts.confusion(labels.tolist(), found, len(classes)))
    return {"loss": loss, "edits": edits, "confusion": confusion}


def metrics(sums: Sums, sidecar: Sidecar) -> dict[str, float]:
    """Rates in percent; the loss in nats a character."""
    scores = dict(zip(transcripts.SUMS, sums["edits"].tolist(), strict=True))
    return {"loss": float(sums["loss"]) / scores["characters"]} | transcripts.rates(sums["edits"].tolist())


def tables(sums: Sums, sidecar: Sidecar) -> dict[str, Table | Matrix]:
    """Which character was taken for which; for none: left out; none for it: put in."""
    names = [*sidecar["classes"], NOTHING]
    return {"confusion": Matrix([_shown(name) for name in names], sums["confusion"])}


@torch.no_grad()
def analysis(
    network: Network, windows: Windows, columns: arrow.Columns, sidecar: Sidecar
) -> Mapping[str, Table | Matrix | Picture]:
    """The utterances with most errors; where the characters of the first utterance and of the worst one stand."""
    decode, classes = decoder(sidecar), sidecar["classes"]
    rows: list[tuple[int, float, int, str, str, float]] = []
    kept: dict[int, tuple[NDArray[np.float32], NDArray[np.int64]]] = {}
    for window, hidden_TBH in bptt.read(network, windows, network.initial_carry(windows.width)):
        for example, log_p_TV, labels in recognition.heard(network, window, hidden_TBH):
            right, found = _text(labels, classes), _text(decode(log_p_TV), classes)
            edits = dict(zip(transcripts.SUMS, transcripts.edits(right, found), strict=True))
            seconds = len(log_p_TV) * _step_seconds(sidecar)
            rows.append((int(edits["word_edits"]), edits["character_edits"], example, right, found, seconds))
            kept[example] = log_p_TV, labels
    rows.sort(key=lambda row: (-row[0], -row[1], row[2]))
    names = ("word_edits", "character_edits", "utterance", "right", "found", "seconds")
    worst: Table = [dict(zip(names, row, strict=True)) for row in rows[:WORST] if row[1]]
    shown = {"alignment_first": min(kept), "alignment_worst": rows[0][2]}
    return {"worst": worst} | {name: _picture(*kept[example], sidecar) for name, example in shown.items()}


def simple(splits: Mapping[str, arrow.Columns], sidecar: Sidecar) -> Mapping[str, Simple]:
    """The transcript of the training utterance that is nearest when time may be warped; nothing is chosen."""
    width, classes = len(sidecar["mean"]) * sidecar["data"]["stack"], sidecar["classes"]
    train, test = splits["train"], splits["test"]
    known = Templates([row.reshape(-1, width) for row in map(train["features"].__getitem__, range(train.num_rows))])
    sums = np.zeros(len(transcripts.SUMS))
    for row in range(test.num_rows):
        nearest = int(known.costs(test["features"][row].reshape(-1, width)).argmin())
        found, right = train["labels"][nearest], test["labels"][row]
        sums += transcripts.edits(_text(right, classes), _text(found, classes))
    chosen = f"the nearest of {train.num_rows} whole utterances"
    return {SIMPLE[0]: Simple(transcripts.rates(sums.tolist()), chosen)}


@torch.no_grad()
def answers(network: Network, inputs: list[bytes], sidecar: Sidecar) -> list[dict[str, Any]]:
    """`text`; `words` with the seconds at which each begins and ends; `changes`, what was done to the samples."""
    if not inputs:
        return []
    encode, decode, classes = encoder(sidecar), decoder(sidecar), sidecar["classes"]
    given = [raw_example(content, sidecar) for content in inputs]
    columns = arrow.from_rows([encode(utterance) for utterance in given], KIND)
    lanes = min(len(given), ANSWER_LANES)
    longest = int(columns.steps().max())
    filling = recognition.filling(columns, lanes=lanes, window=longest, seed=None, carries=False)
    windows = Windows(filling=filling, assemble=recognition.assemble(columns), lanes=slice(0, lanes))
    found: dict[int, dict[str, Any]] = {}
    for window, hidden_TBH in bptt.read(network, windows, network.initial_carry(lanes)):
        for example, log_p_TV, _ in recognition.heard(network, window, hidden_TBH):
            labels = np.array(decode(log_p_TV), np.int64)
            characters = "".join(classes[label] for label in labels)
            words = _words(align(log_p_TV, labels), characters, _step_seconds(sidecar))
            found[example] = {"text": _text(labels, classes), "words": words}
    return [found[i] | {"changes": list(utterance.changes)} for i, utterance in enumerate(given)]


def decoder(sidecar: Sidecar) -> Callable[[NDArray[np.floating]], list[int]]:
    """log_p_TV of an utterance -> its labels. Where all training transcripts are of one length, so are those found."""
    data = _data(sidecar)
    if data.beam is None:
        return lambda log_p_TV: best_path(log_p_TV)[0]
    fewest, most = sidecar["lengths"]
    fixed = most if fewest == most else None
    search = Search(width=data.beam, most=fixed, fewest=fixed or 0)
    if (settings := data.language_model) is None:
        return search
    counted = NGrams(sidecar["grams"], order=settings.order, labels=data.alphabet)
    return replace(search, language_model=counted, weight=settings.weight, bonus=settings.bonus)


def _step_seconds(sidecar: Sidecar) -> float:
    return sidecar["data"]["skip"] * sidecar["data"]["front_end"]["hop_ms"] / 1000


def _data(sidecar: Sidecar) -> Data:
    return from_mapping(Data, sidecar["data"], "sidecar.data")


def _text(labels: Iterable[int], classes: list[str]) -> str:
    return " ".join("".join(classes[label] for label in labels).split())


def _shown(name: str) -> str:
    return "<space>" if name == " " else name


def _words(place_T: NDArray[np.int64], characters: str, step: float) -> list[dict[str, Any]]:
    """The words of a string, with the seconds at which its path says them."""
    words = []
    for match in re.finditer(r"\S+", characters):
        steps = np.flatnonzero((place_T >= match.start()) & (place_T < match.end()))
        begin, end = float(steps[0] * step), float((steps[-1] + 1) * step)
        words.append({"word": match[0], "begin": round(begin, 3), "end": round(end, 3)})
    return words


def _picture(log_p_TV: NDArray[np.floating], labels: NDArray[np.int64], sidecar: Sidecar) -> Picture:
    """How probable each character of the right transcript is at each step, and the blank."""
    rows = [_shown(sidecar["classes"][label]) for label in (*labels, 0)]
    columns = [f"{t * _step_seconds(sidecar):.2f}" for t in range(len(log_p_TV))]
    return Picture(rows, columns, torch.from_numpy(np.exp(log_p_TV[:, [*labels, 0]]).T.astype(np.float64)))
