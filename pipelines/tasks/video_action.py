"""Actions in videos: one class for a sequence of frames, whose order matters.

MSR Action3D, the 557 listed sequences, trained on odd subjects and tested on even ones: Wang et al. 2012 (Mining
actionlet ensemble for action recognition with depth cameras) report 88.2 %.

Own data: `data.files` names a folder for each split, with a folder for each class; without it the folders are `train`,
`validation` and `test`. What lies there is said by `data.format`:
    skeletons  `*.txt`, a point a line, `x y z confidence`, 20 lines a frame, the points in the order of MSR Action3D; a
               point is missing where x, y and z are 0 or `nan`, and is then taken from the frames around
    sheets     `*.png` (or another format that Pillow reads): frames one below the other, each as high as it is wide;
               colours become grey, other sizes are scaled to `data.frame_size`
    paths      no folders but a CSV file for each split, a sequence a line: its class, then x and y in each frame
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from pipelines.parsers import msr_action3d, paths, videos
from pipelines.parsers.videos import Data, Sequence
from pipelines.tasks import BadRecord, Counts, Item, Matrix, Row, Sidecar, Simple, Sums, Table, Where
from rnn_core import arrow, classes
from rnn_core.arrow import SPLITS
from rnn_core.config import from_mapping, to_mapping
from rnn_core.errors import DataError
from rnn_core.lanes import Windows
from rnn_core.metrics.classified import Classified
from rnn_core.models import classification
from rnn_core.networks import Network

KIND = "classification"
METRICS: dict[str, Literal["max", "min"]] = {"accuracy": "max", "f1": "max", "calibration_error": "min"}
RAW: Literal["items"] = "items"
INPUT: Literal["file"] = "file"
SIMPLE = ("time_average",)
REQUIREMENTS = ("Pillow",)
ENDINGS = {"skeletons": ("txt",), "sheets": ("png", "bmp", "tif", "webp", "jpg"), "paths": ("csv",)}
HELD_OUT = 9
"""The subject of MSR Action3D that validates (`data.validation`); the other odd ones train, the even ones test."""
PATHS, PATH_CLASSES = "point_history.csv", "point_history_classifier_label.csv"
WORST = 20
STRENGTHS = (0.001, 0.01, 0.1, 1.0, 10.0)
"""Of the simple baseline: the inverse of its regularisation is chosen among these."""


def items(raw: Path, dataset: str, files: Mapping[str, Path] | None, data: Data) -> Iterator[Item | BadRecord]:
    if dataset == "msr_action3d":
        for path in sorted(raw.glob("*.txt")):
            action, subject = msr_action3d.action_and_subject(path.name)
            for split in _splits(subject, data):
                yield Item(path.name, (path,), split, {"label": action})
    elif dataset == "hand_gesture_point_history":
        names = (raw / PATH_CLASSES).read_text(encoding="utf-8-sig").split("\n")
        yield Item(PATHS, (raw / PATHS,), None, {"names": [name.strip() for name in names if name.strip()]})
    else:
        for split, place in (files or {split: raw / split for split in SPLITS}).items():
            yield from _own_items(raw, split, place, data)


def read(chunk: Item, where: Where, data: Data) -> Iterator[Sequence | BadRecord]:
    content = chunk.paths[0].read_bytes()
    if data.format == "paths":
        yield from _paths(content, chunk, data)
        return
    try:
        yield Sequence(chunk.name, chunk.about["label"], videos.frames_of(content, chunk.name, data))
    except DataError as error:
        yield BadRecord(error.where, error.found, error.allowed, "")


def count(examples: Iterable[Sequence]) -> Counts:
    return {"classes": Counter(sequence.label for sequence in examples)}


def sidecar(counts: Counts, data: Data) -> dict[str, Any]:
    """classes: in the order of their names; and what is wanted to read a raw input as the training data were read."""
    return {"classes": sorted(counts["classes"]), "data": to_mapping(data)}


def encoder(sidecar: Sidecar) -> Callable[[Sequence], Row]:
    ids = {name: index for index, name in enumerate(sidecar["classes"])}

    def encode(sequence: Sequence) -> Row:
        # What a user gave has no class: 0 stands for it, and nothing reads it.
        if sequence.label and sequence.label not in ids:
            allowed = f"one of the training split's: {', '.join(ids)}"
            raise DataError(sequence.name, f"the class {sequence.label}", allowed)
        column = "pixels" if sequence.frames_TD.dtype == np.uint8 else "features"
        return {
            column: sequence.frames_TD,
            "steps": len(sequence.frames_TD),
            "label": ids.get(sequence.label, 0),
            "name": sequence.name.encode(),
        }

    return encode


def raw_example(given: bytes, sidecar: Sidecar) -> Sequence:
    """The contents of a file as in the training data; of a file of paths the first line, whose class is not read."""
    data = from_mapping(Data, sidecar["data"], "sidecar.data")
    if data.format == "paths":
        return Sequence("input", "", videos.path_of(given.split(b"\n")[0], "input", data)[1])
    return Sequence("input", "", videos.frames_of(given, "input", data))


def _splits(subject: int, data: Data) -> list[str]:
    """Those that a subject's videos of MSR Action3D belong to."""
    if subject % 2 == 0:
        return ["test"]
    if subject != HELD_OUT:
        return ["train"]
    return ["validation"] if data.validation == "apart" else ["train", "validation"]


def _own_items(raw: Path, split: str, place: Path, data: Data) -> Iterator[Item]:
    """The files of a split in the order of their names."""
    if data.format == "paths":
        path = place.with_suffix(".csv") if place.suffix == "" else place
        yield Item(path.relative_to(raw).as_posix(), (path,), split, {"names": None})
        return
    for path in sorted(place.glob("*/*")):
        if path.suffix.lower().removeprefix(".") in ENDINGS[data.format]:
            yield Item(path.relative_to(raw).as_posix(), (path,), split, {"label": path.parent.name})


def _paths(content: bytes, item: Item, data: Data) -> Iterator[Sequence | BadRecord]:
    """A sequence a line. Where all splits stand in one file, each class is cut into blocks."""
    lines = [(f"{item.name}:{number}", line) for number, line in enumerate(content.split(b"\n"), 1) if line.strip()]
    blocks = paths.blocks([line for _, line in lines]) if item.split is None else [item.split] * len(lines)
    for (where, line), split in zip(lines, blocks, strict=True):
        if split is None:
            continue
        try:
            label, frames_TD = videos.path_of(line, where, data)
            if item.about["names"] is not None:
                label = _named(label, item.about["names"], where)
            yield Sequence(where, label, frames_TD, split)
        except DataError as error:
            yield BadRecord(error.where, error.found, error.allowed, line.decode(errors="backslashreplace"), split)


def _named(label: str, names: list[str], where: str) -> str:
    if not label.isdecimal() or int(label) >= len(names):
        raise DataError(where, f"the class {label}", f"0 to {len(names) - 1}, the lines of {PATH_CLASSES}")
    return names[int(label)]


def example_input(columns: arrow.Columns, sidecar: Sidecar, raw: Path) -> bytes:
    """The smallest file of the training split; of a file of paths its first line there."""
    names = [bytes(name).decode() for name in columns["name"]]
    if sidecar["data"]["format"] == "paths":
        file, _, line = names[0].rpartition(":")
        return (raw / file).read_bytes().split(b"\n")[int(line) - 1]
    return min((raw / name for name in names), key=lambda path: (path.stat().st_size, path.as_posix())).read_bytes()


def sizes(config: classification.Config, sidecar: Sidecar) -> classification.Sizes:
    data, num_classes = from_mapping(Data, sidecar["data"], "sidecar.data"), len(sidecar["classes"])
    if data.frame_size is not None:
        return classification.Sizes(input="images", size=data.frame_size**2, classes=num_classes)
    coordinates, values = videos.VALUES[data.format]
    return classification.Sizes(input="points", size=values, classes=num_classes, coordinates=coordinates)


def measure(network: Network, windows: Windows, sidecar: Sidecar) -> Sums:
    return classes.measure(network, windows, len(sidecar["classes"]))


def metrics(sums: Sums, sidecar: Sidecar) -> dict[str, float]:
    return Classified(len(sidecar["classes"]), sums).metrics()


def tables(sums: Sums, sidecar: Sidecar) -> dict[str, Table | Matrix]:
    """What share of each class was found, which was taken for which, and how sure was how often right."""
    confusion_VV = sums["confusion"]
    found: Table = [
        {"class": name, "videos": int(row_V.sum()), "found": 100 * float(row_V[index] / row_V.sum())}
        for index, (name, row_V) in enumerate(zip(sidecar["classes"], confusion_VV, strict=True))
        if row_V.sum() > 0
    ]
    reliability = Classified(len(sidecar["classes"]), sums).reliability()
    confusion = Matrix(list(sidecar["classes"]), confusion_VV)
    return {"found_by_class": found, "confusion": confusion, "reliability": reliability}


def analysis(network: Network, windows: Windows, columns: arrow.Columns, sidecar: Sidecar) -> dict[str, Table | Matrix]:
    """The videos with the largest loss."""
    judged: dict[int, tuple[float, int]] = {}
    for rows_N, log_p_NV, labels_N in classes.judged(network, windows):
        losses_N = -log_p_NV.gather(1, labels_N[:, None])[:, 0]
        pairs = zip(losses_N.tolist(), log_p_NV.argmax(1).tolist(), strict=True)
        judged |= dict(zip(rows_N.tolist(), pairs, strict=True))
    names, labels, frames_N, videos_N = sidecar["classes"], columns["label"], columns.steps(), columns["name"]
    worst: Table = [
        {"loss": round(loss, 4), "right": names[labels[row]], "answered": names[answered]}
        | {"frames": int(frames_N[row]), "video": bytes(videos_N[row]).decode()}
        for row, (loss, answered) in sorted(judged.items(), key=lambda item: -item[1][0])[:WORST]
    ]
    return {"largest_loss": worst}


def answers(network: Network, inputs: list[bytes], sidecar: Sidecar) -> list[dict[str, Any]]:
    """The most probable `class`, and the `probabilities` of all."""
    if not inputs:
        return []
    encode, names = encoder(sidecar), sidecar["classes"]
    columns = arrow.from_rows([encode(raw_example(given, sidecar)) for given in inputs], KIND)
    return [
        {"class": names[np.argmax(p_V)], "probabilities": dict(zip(names, p_V, strict=True))}
        for p_V in classes.probabilities(network, columns)
    ]


def simple(splits: Mapping[str, arrow.Columns], sidecar: Sidecar) -> dict[str, Simple]:
    """Logistic regression on what does not know the order: the mean over time of the frames, and of how much each
    value changes from frame to frame."""
    # It takes two seconds to import, which an answer need not wait for.
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    x = {split: _time_average(columns) for split, columns in splits.items()}
    y = {split: columns["label"].astype(np.int64) for split, columns in splits.items()}
    names = {split: [bytes(name) for name in columns["name"]] for split, columns in splits.items()}
    # The choice is made without the validation data, also where they train in the end (`data.validation: seen`).
    apart = ~np.isin(names["train"], names["validation"])
    reached = {}
    for strength in STRENGTHS:
        fitted = make_pipeline(StandardScaler(), LogisticRegression(C=strength, max_iter=2000))
        fitted.fit(x["train"][apart], y["train"][apart])
        reached[strength] = fitted.score(x["validation"], y["validation"])
    best = max(reached, key=reached.__getitem__)
    fitted = make_pipeline(StandardScaler(), LogisticRegression(C=best, max_iter=2000)).fit(x["train"], y["train"])
    classified = Classified(len(sidecar["classes"]))
    log_p_NV = torch.from_numpy(fitted.predict_log_proba(x["test"]))
    classified.add(log_p_NV, torch.from_numpy(y["test"]))
    chosen = f"logistic regression on means over time; on validation data, of C in {STRENGTHS}: {best}"
    return {"time_average": Simple(classified.metrics(), chosen)}


def _time_average(columns: arrow.Columns) -> NDArray[Any]:
    """features_NF of all sequences."""
    frames_N = columns["pixels"] if len(columns.values_of("pixels")) else columns["features"]
    rows = []
    for row, steps in enumerate(columns.steps()):
        frames_TD = frames_N[row].reshape(steps, -1).astype(float)
        changes_TD = np.abs(np.diff(frames_TD, axis=0, prepend=frames_TD[:1]))
        rows.append(np.concatenate([frames_TD.mean(axis=0), changes_TD.mean(axis=0)]))
    return np.array(rows)
