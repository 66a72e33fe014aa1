"""Image captioning: a sentence that says what a picture shows, from the picture alone.

Xu et al. 2015 (Show, attend and tell) report BLEU-4 19.5 to 21.3 on Flickr8k, with an encoder trained on ImageNet and
three times the images that there are here. Scores: `rnn_core/metrics/captions.py`, against all captions of a picture.

Own data: a folder with `train.txt`, `validation.txt` and `test.txt`, lists of captions with a line
`<image>[#<number>]<TAB><caption>` each (or one, `captions.txt`, split by image), and the images below `images/`. A
picture may have any number of captions, and each is an example; letters become small and punctuation is dropped, in
training as in the scores. Images: see `pipelines/parsers/image.py`. Vectors of an outside encoder, where
`data.features` says so (`model.encoder` is null then): a file `<features.folder>/<image>.f32` for each image, 32-bit
floats (little-endian) of one vector or several of `features.width` numbers, the same number for all images.

Flickr8k's own files are read as they are: tars of images for each split, one list for all.
"""

import functools
import itertools
import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
import torch
from numpy.typing import NDArray

from pipelines.parsers import captions as lists
from pipelines.parsers import image as images
from pipelines.parsers import vectors
from pipelines.tasks import BadRecord, Counts, Item, Matrix, Picture, Row, Sidecar, Simple, Sums, Table, Where, by_count
from rnn_core import arrow, bptt
from rnn_core.arrow import SPLITS, Columns
from rnn_core.errors import DataError
from rnn_core.images import likeness
from rnn_core.images.illustrated import END, UNKNOWN, Assembly
from rnn_core.images.pixels import COLOURS
from rnn_core.lanes import Windows
from rnn_core.metrics import captions as scorer
from rnn_core.models import captioning
from rnn_core.networks import Network

KIND = "captioning"
METRIC = scorer.BLEU[-1]
METRICS: dict[str, Literal["max", "min"]] = dict.fromkeys([METRIC, *scorer.BLEU[:-1], "cider", "rouge"], "max")
RAW: Literal["items"] = "items"
INPUT: Literal["file"] = "file"
SIMPLE = ("nearest_image",)
REQUIREMENTS = ("Pillow",)
MARKS = ["<end>", "<unk>"]
"""Names of END and UNKNOWN; a caption has no such words, as punctuation is dropped."""
TARS = {"flickr8k": {split: f"flickr8k_224_{split.replace('validation', 'dev')}.tar" for split in SPLITS}}
TAR_LIST = "text/Flickr8k.token.txt"
ONE_LIST = "captions.txt"
PIECE = 100
"""Images of a tar that are read at a time."""
SHOWN = 20
"""Best and worst answers in a table."""
MAPS = 4
"""Answers whose attention is shown."""
WEIGHTS = (0.0, 0.25, 0.5, 0.75, 1.0)
"""Of edges against colours, among which the simple baseline chooses."""


@dataclass(frozen=True, kw_only=True)
class Features:
    """Vectors of an outside encoder."""

    folder: str
    """In the raw folder."""
    width: int


@dataclass(frozen=True, kw_only=True)
class Data:
    image_size: int
    """Pixels of a side, to which all images are brought."""
    min_count: int
    """Rarer words of the training split are one unknown word, which answers never say."""
    max_length: int
    """Words of a caption at most; longer ones are bad records."""
    features: Features | None

    def __post_init__(self) -> None:
        for name in ("image_size", "min_count", "max_length"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}, at least 1 is wanted")
        if self.features is not None and self.features.width < 1:
            raise ValueError(f"features.width is {self.features.width}, at least 1 is wanted")


@dataclass(frozen=True)
class Captioned:
    """An image with its captions as words; none where a user gives an image."""

    picture_YXC: NDArray[np.uint8]
    captions: tuple[tuple[str, ...], ...]
    features_F: NDArray[np.float32]
    changes: tuple[str, ...]
    """What was done to the file's pixels."""
    records: int
    """Its captions."""


def items(raw: Path, dataset: str, files: Mapping[str, Path] | None, data: Data) -> Iterator[Item | BadRecord]:
    if files is None and dataset in TARS:
        captions = lists.read(raw / TAR_LIST)
        for tar_split, name in TARS[dataset].items():
            yield from _of_tar(raw / name, tar_split, captions.of)
        return
    named: list[tuple[str | None, Path]] = [*(files or {split: raw / f"{split}.txt" for split in SPLITS}).items()]
    if files is None and (raw / ONE_LIST).is_file():
        named = [(None, raw / ONE_LIST)]
    known: set[Path] = set()
    for split, path in named:
        captions = lists.read(path)
        yield from (BadRecord(bad.where, bad.found, bad.allowed, bad.text, split) for bad in captions.bad)
        for name, texts in captions.of.items():
            image = path.parent / "images" / name
            known.add(image)
            paths = (image,) if data.features is None else (image, raw / data.features.folder / f"{name}.f32")
            yield Item(f"images/{name}", paths, split, [{"captions": texts}])
    for folder in sorted({path.parent / "images" for _, path in named}):
        for image in sorted(set(folder.rglob("*")) - known):
            if image.is_file():
                allowed = f"a line {lists.LINE} in a list"
                yield BadRecord(f"images/{image.name}", "an image without captions", allowed, image.name)


def read(item: Item, where: Where, data: Data) -> Iterator[Captioned | BadRecord]:
    """The image of a file, or those of a piece of a tar."""
    for about in item.about:
        name = about.get("name", item.name)
        with item.paths[0].open("rb") as file:
            file.seek(about.get("offset", 0))
            content = file.read(about.get("size", -1))
        try:
            picture = images.read(content, name, side=data.image_size)
            features_F = np.empty(0, np.float32)
            if data.features is not None:
                features_F = vectors.read(item.paths[1].read_bytes(), item.paths[1].name, data.features.width)
        except DataError as error:
            yield BadRecord(error.where, error.found, error.allowed, "\n".join(about["captions"]))
            continue
        good = []
        for text in about["captions"]:
            words = scorer.words(text)
            if 0 < len(words) <= data.max_length:
                good.append(words)
            else:
                allowed = f"1 to {data.max_length} words (data.max_length)"
                yield BadRecord(name, f"a caption of {len(words)} words", allowed, text)
        if good:
            yield Captioned(picture.colours_YXC, tuple(good), features_F, picture.changes, len(good))
        elif not about["captions"]:
            yield BadRecord(name, "an image without captions", "at least one caption", name)


def count(examples: Iterable[Captioned]) -> Counts:
    words: Counter[str] = Counter()
    changes: Counter[str] = Counter()
    for example in examples:
        words.update(itertools.chain.from_iterable(example.captions))
        changes.update(example.changes)
    return {"words": words, "changes": changes}


def sidecar(counts: Counts, data: Data) -> dict[str, Any]:
    """words: a list whose index is the id; image_size; features: width of an outside vector, 0 without;
    changes: how often what was done to an image of the training split."""
    words = [word for word in by_count(counts["words"]) if counts["words"][word] >= data.min_count]
    return {
        "words": [*MARKS, *words],
        "image_size": data.image_size,
        "features": data.features.width if data.features else 0,
        "changes": dict(sorted(counts["changes"].items())),
    }


def encoder(sidecar: Sidecar) -> Callable[[Captioned], Row]:
    ids = {word: index for index, word in enumerate(sidecar["words"])}

    def encode(example: Captioned) -> Row:
        tokens = [[ids.get(word, UNKNOWN) for word in words] + [END] for words in example.captions]
        return {
            "tokens": np.array([*itertools.chain.from_iterable(tokens)], np.int32),
            "ends": np.cumsum([len(words) for words in tokens], dtype=np.int32),
            "texts": "\n".join(" ".join(words) for words in example.captions).encode(),
            "image": example.picture_YXC,
            "features": example.features_F,
        }

    return encode


def raw_example(given: bytes, sidecar: Sidecar) -> Captioned:
    """The image of a file's content; with `data.features`, the outside vectors that stand in a file.

    Raises:
        DataError: it is no such file.
    """
    size, width = sidecar["image_size"], sidecar["features"]
    if width:
        nothing_YXC = np.zeros((size, size, COLOURS), np.uint8)
        return Captioned(nothing_YXC, (), vectors.read(given, "input", width), (), 0)
    picture = images.read(given, "input", side=size)
    return Captioned(picture.colours_YXC, (), np.empty(0, np.float32), picture.changes, 0)


def example_input(columns: Columns, sidecar: Sidecar, raw: Path) -> bytes:
    if sidecar["features"]:
        return cast(bytes, columns["features"][0].astype("<f4").tobytes())
    return images.png(next(_pictures(columns)))


def sizes(config: captioning.Config, sidecar: Sidecar) -> captioning.Sizes:
    return captioning.Sizes(words=len(sidecar["words"]), image=sidecar["image_size"], features=sidecar["features"])


@torch.no_grad()
def measure(network: Network, windows: Windows, sidecar: Sidecar) -> Sums:
    """Of all images: the loss of their captions, and what the scores of the answers to them are made of."""
    against = _against(cast(Assembly, windows.assemble).columns)
    sums = {"loss": torch.zeros(2).double(), "scores": torch.zeros(scorer.COUNTS).double()}
    for window, hidden_TBH in bptt.read(network, windows, ()):
        loss, steps = network.loss(window, hidden_TBH)
        sums["loss"] += torch.tensor([loss.item(), steps]).double()
        if steps:
            said = _said(captioning.answers(network, network.model.look(window.fields)), sidecar)
            for image, answer in zip(window.fields["examples_N"].tolist(), said, strict=True):
                sums["scores"] += torch.tensor(against.counts(image, answer)).double()
    return sums


def metrics(sums: Sums, sidecar: Sidecar) -> dict[str, float]:
    loss, steps = sums["loss"].tolist()
    return {"loss": loss / steps, **scorer.scores(sums["scores"].tolist())}


def tables(sums: Sums, sidecar: Sidecar) -> dict[str, Table | Matrix]:
    """What BLEU is made of, and by what the scores were made."""
    counts = scorer.from_flat(sums["scores"].tolist()[: 2 * scorer.ORDERS + 2])
    rows = [
        {"n": n, "n-grams said": int(said), "right ones": int(right), "precision": 100 * right / max(1, said)}
        for n, (right, said) in enumerate(zip(counts.matches, counts.grams, strict=True), 1)
    ]
    return {"precision": rows, "scorer": [{"scorer": scorer.SCORER, "tokenizer": scorer.TOKENIZER}]}


@torch.no_grad()
def analysis(
    network: Network, windows: Windows, columns: Columns, sidecar: Sidecar
) -> Mapping[str, Table | Matrix | Picture]:
    """The answers with the highest and the lowest CIDEr-D beside what people said, and where attention was."""
    against, assembly, network = _against(columns), Assembly(columns), network.eval()
    rows: Table = []
    for begin in range(0, columns.num_rows, PIECE):
        examples_N = np.arange(begin, min(begin + PIECE, columns.num_rows))
        seen = _look(network, assembly, examples_N)
        for example, answer in zip(examples_N.tolist(), _said(captioning.answers(network, seen), sidecar), strict=True):
            right = " / ".join(" ".join(words) for words in against.references[example])
            cider = against.cider(example, answer)
            rows.append({"image": example, "cider": cider, "said": " ".join(answer), "right": right})
    rows.sort(key=lambda row: -row["cider"])
    found: dict[str, Table | Matrix | Picture] = {"best": rows[:SHOWN], "worst": rows[: -SHOWN - 1 : -1]}
    for row in [*rows[: MAPS // 2], *rows[-(MAPS // 2) :]]:
        picture = _attention(network, assembly, row["image"], sidecar)
        if picture is not None:
            found[f"attention_{row['image']}"] = picture
    return found


def simple(splits: Mapping[str, Columns], sidecar: Sidecar) -> Mapping[str, Simple]:
    """What was said of the training image that looks most like it: of its captions the one most like the others."""
    known = likeness.looks(_pictures(splits["train"]))
    typical = functools.cache(_against(splits["train"]).typical)

    def scores(split: str) -> list[dict[str, float]]:
        """By weight."""
        against, looks = _against(splits[split]), likeness.looks(_pictures(splits[split]))
        colours_NM, edges_NM = (likeness.distances(of, to) for of, to in zip(looks, known, strict=True))
        nearest = [((1 - weight) * colours_NM + weight * edges_NM).argmin(1).tolist() for weight in WEIGHTS]
        counts = [[against.counts(n, typical(image)) for n, image in enumerate(images)] for images in nearest]
        return [scorer.scores(np.sum(one, 0).tolist()) for one in counts]

    validation = [found[METRIC] for found in scores("validation")]
    best = validation.index(max(validation))
    chosen = (
        f"nearest by histograms, {1 - WEIGHTS[best]:g} colour and {WEIGHTS[best]:g} edges; its most typical caption"
    )
    return {SIMPLE[0]: Simple(scores("test")[best], chosen)}


@torch.no_grad()
def answers(network: Network, inputs: list[bytes], sidecar: Sidecar) -> list[dict[str, Any]]:
    """The `caption` of each image, and the `changes` that were made to its pixels before it was read."""
    if not inputs:
        return []
    given = [raw_example(content, sidecar) for content in inputs]
    columns = arrow.from_rows([encoder(sidecar)(example) for example in given], KIND)
    seen = _look(network.eval(), Assembly(columns), np.arange(len(given)))
    said = _said(captioning.answers(network, seen), sidecar)
    return [{"caption": " ".join(c), "changes": list(g.changes)} for c, g in zip(said, given, strict=True)]


def _against(columns: Columns) -> scorer.Against:
    """Scores by number of an image of a split."""
    texts = columns["texts"]
    lines = [texts[example].tobytes().decode().split("\n") for example in range(columns.num_rows)]
    return scorer.Against([[tuple(line.split()) for line in some] for some in lines])


def _look(network: Network, assembly: Assembly, examples_N: NDArray[np.int64]) -> captioning.Seen:
    device = next(network.parameters()).device
    fields = {name: field.to(device) for name, field in assembly.images(examples_N).items()}
    return cast(captioning.Seen, network.model.look(fields))


def _said(tokens: list[list[int]], sidecar: Sidecar) -> list[scorer.Words]:
    return [tuple(sidecar["words"][token] for token in answer) for answer in tokens]


def _attention(network: Network, assembly: Assembly, example: int, sidecar: Sidecar) -> Picture | None:
    """Words by places, each named `row column`."""
    seen = _look(network, assembly, np.array([example]))
    (tokens,) = captioning.answers(network, seen)
    weights_TS = captioning.attended(network, seen, tokens)
    if weights_TS is None:
        return None
    side = math.isqrt(weights_TS.shape[1])
    # A grid of places row by row; else the vectors of an outside encoder in their order.
    square = side * side == weights_TS.shape[1]
    places = [f"{n // side + 1} {n % side + 1}" if square else f"{n + 1}" for n in range(weights_TS.shape[1])]
    return Picture([*_said([tokens], sidecar)[0], MARKS[END]], places, weights_TS.cpu())


def _pictures(columns: Columns) -> Iterator[NDArray[np.uint8]]:
    for colours in map(columns["image"].__getitem__, range(columns.num_rows)):
        side = math.isqrt(len(colours) // COLOURS)
        yield colours.reshape(side, side, COLOURS)


def _of_tar(tar: Path, split: str, captions: Mapping[str, list[str]]) -> Iterator[Item]:
    """The images of a tar, some at a time, so that they are read by as many processes as there are."""
    about: list[dict[str, Any]] = [
        {"name": member.name, "offset": member.offset, "size": member.size, "captions": captions.get(member.name, [])}
        for member in lists.members(tar)
    ]
    for begin in range(0, len(about), PIECE):
        piece = about[begin : begin + PIECE]
        size = sum(image["size"] for image in piece)
        yield Item(f"{tar.name}, images from {begin + 1} on", (tar,), split, piece, size)
