"""Image captions from raw files to answers: a user's folder, Flickr8k's own files, bad input, scores."""

import io
import json
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from pipelines import preprocess, tasks
from pipelines.parsers import image as images
from rnn_core import networks
from rnn_core.arrow import read_split
from rnn_core.config import from_mapping
from rnn_core.errors import ConfigError, DataError
from rnn_core.lanes import Windows, lane_slice
from rnn_core.metrics import captions as scorer
from rnn_core.models import captioning

TASK = tasks.load("image_caption")
DATA = {"max_bad_share": 0.0, "image_size": 8, "min_count": 1, "max_length": 6, "features": None}
OWN = {name: value for name, value in DATA.items() if name != "max_bad_share"}
MODEL = {
    "cell": "gru",
    "hidden_size": 8,
    "num_layers": 1,
    "input_dropout": 0.0,
    "dropout": 0.0,
    "embedding_size": 8,
    "encoder": {"channels": (8,)},
    "attention": {"score": "multiplicative"},
    "whole": "mean",
    "image_dropout": 0.0,
    "augment": None,
    "search": {"width": 2, "length_penalty": 1.0, "coverage_penalty": 0.0},
    "longest": 5,
}


def png(colour: object = "red", mode: str = "RGB") -> bytes:
    out = io.BytesIO()
    Image.new(mode, (8, 8), colour).save(out, "PNG")
    return out.getvalue()


def folder(root: Path, **lists: str) -> Path:
    """Lists by name; each image that they mention is there, in a colour of its own."""
    (root / "images").mkdir(parents=True)
    for name, text in lists.items():
        (root / f"{name}.txt").write_text(text, encoding="utf-8")
        for line in text.splitlines():
            image = line.split("\t")[0].split("#")[0]
            (root / "images" / image).write_bytes(png((len(image) * 9, sum(image.encode()) % 256, 7)))
    return root


def small(root: Path) -> Path:
    return folder(
        root,
        train="a.png#0\tA dog, runs!\na.png#1\tthe dog\nbb.png\tA cat\n",
        validation="c.png#0\ta dog\n",
        test="d.png#0\ta cat\nd.png#1\tA rare Zebra\ne.png\tthe dog runs\n",
    )


def made(raw: Path, out: Path, dataset: str = "mine", **data: object) -> dict:
    return preprocess.preprocess(raw, out, "image_caption", DATA | data, suite="sample", dataset=dataset)


def sidecar_of(out: Path) -> dict:
    return json.loads((out / "sidecar.json").read_text())


def network(out: Path, **changes: object) -> networks.Network:
    torch.manual_seed(0)
    config = from_mapping(captioning.Config, MODEL | changes, "model")
    return networks.network("captioning", config, TASK.sizes(config, sidecar_of(out)))


def test_a_users_folder(tmp_path: Path) -> None:
    summary = made(small(tmp_path / "raw"), tmp_path / "out")
    assert [summary["splits"][s]["records"] for s in ("train", "validation", "test")] == [3, 1, 3]
    words = sidecar_of(tmp_path / "out")["words"]
    assert words == ["<end>", "<unk>", "a", "dog", "cat", "runs", "the"]
    train = read_split(tmp_path / "out", "train", "captioning")
    assert [words[token] for token in train["tokens"][0]] == ["a", "dog", "runs", "<end>", "the", "dog", "<end>"]
    assert train["ends"][0].tolist() == [4, 7]
    assert train["image"][0].reshape(8, 8, 3)[3, 5].tolist() == [45, sum(b"a.png") % 256, 7]
    test = read_split(tmp_path / "out", "test", "captioning")
    assert test["texts"][0].tobytes().decode() == "a cat\na rare zebra"  # what the vocabulary lacks is scored too
    assert [words[token] for token in test["tokens"][0]][3:] == ["a", "<unk>", "<unk>", "<end>"]


def test_one_list_is_split_by_image(tmp_path: Path) -> None:
    text = "".join(f"{number:03d}.png#{k}\tnumber {number} {k}\n" for number in range(100) for k in range(2))
    summary = made(folder(tmp_path / "raw", captions=text), tmp_path / "out")
    assert sum(split["rows"] for split in summary["splits"].values()) == 100
    assert summary["splits"]["train"]["records"] == 2 * summary["splits"]["train"]["rows"] > 160


def test_flickr8k_s_own_files(tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    (raw / "text").mkdir(parents=True)
    names = {"train": ["1.png", "2.png"], "dev": ["3.png"], "test": ["4.png"]}
    for split, some in names.items():
        with tarfile.open(raw / f"flickr8k_224_{split}.tar", "w") as tar:
            for name in some:
                member = tarfile.TarInfo(f"data/images/{name}")
                member.size = len(png(int(name[0])))
                tar.addfile(member, io.BytesIO(png(int(name[0]))))
    lines = [f"{n}.png#{k}\tA dog number{n} .\n" for n in (4, 3, 2, 1, 9) for k in range(5)]
    (raw / "text/Flickr8k.token.txt").write_text("".join(lines))
    summary = made(raw, tmp_path / "out", "flickr8k")
    assert [summary["splits"][s]["records"] for s in ("train", "validation", "test")] == [10, 5, 5]
    listed = list(TASK.items(raw, "flickr8k", None, from_mapping(TASK.Data, OWN, "data")))
    assert [item.size for item in listed] == [len(png(1)) + len(png(2)), len(png(3)), len(png(4))]
    train = read_split(tmp_path / "out", "train", "captioning")
    assert [train["image"][n][0] for n in range(2)] == [1, 2]
    assert train["texts"][1].tobytes().decode() == "\n".join(["a dog number2"] * 5)


BAD = {
    "cut.png": ("no image that can be read", png()[:45]),
    "text.png": ("no image that can be read", b"hello"),
    "empty.png": ("an empty file", b""),
    "missing.png": ("no file missing.png", None),
}


@pytest.mark.parametrize("name", BAD)
def test_an_image_that_cannot_be_read_is_put_aside(name: str, tmp_path: Path) -> None:
    raw = small(tmp_path / "raw")
    (raw / "train.txt").write_text((raw / "train.txt").read_text() + f"{name}#0\ta dog\n")
    if BAD[name][1] is not None:
        (raw / "images" / name).write_bytes(BAD[name][1])
    with pytest.raises(DataError, match=BAD[name][0]):
        made(raw, tmp_path / "strict")
    summary = made(raw, tmp_path / "out", max_bad_share=0.5)
    assert (summary["splits"]["train"]["bad_records"], summary["splits"]["train"]["rows"]) == (1, 2)
    quarantined = json.loads((tmp_path / "out/quarantine.jsonl").read_text())
    assert quarantined["where"] == f"images/{name}"
    assert "a dog" in quarantined["text"]


@pytest.mark.parametrize(
    ("line", "where", "found"),
    [
        ("a.png#2\tone two three four five six seven", "images/a.png", "a caption of 7 words"),
        ("a.png#2\t . ! ", "images/a.png", "a caption of 0 words"),
        ("a.png a dog", "train.txt:4", "no image with a caption"),
        ("\ta dog", "train.txt:4", "no image with a caption"),
        ("../a.png\ta dog", "train.txt:4", "an image '../a.png'"),
        ("a.png\tcaf\udce9", "train.txt:4", "byte 0xe9 is no UTF-8"),
    ],
)
def test_a_bad_line_is_named_and_the_others_stay(line: str, where: str, found: str, tmp_path: Path) -> None:
    raw = small(tmp_path / "raw")
    content = (raw / "train.txt").read_bytes() + line.encode(errors="surrogateescape") + b"\n"
    (raw / "train.txt").write_bytes(content.replace(b"\n", b"\r\n"))
    summary = made(raw, tmp_path / "out", max_bad_share=0.5)
    assert [summary["splits"]["train"][key] for key in ("records", "bad_records", "rows")] == [4, 1, 2]
    quarantined = json.loads((tmp_path / "out/quarantine.jsonl").read_text())
    assert (quarantined["where"], quarantined["found"]) == (where, found)


def test_an_image_without_captions_is_put_aside(tmp_path: Path) -> None:
    raw = small(tmp_path / "raw")
    (raw / "images/more.png").write_bytes(png())
    made(raw, tmp_path / "out", max_bad_share=1.0)
    quarantined = json.loads((tmp_path / "out/quarantine.jsonl").read_text())
    assert (quarantined["where"], quarantined["found"]) == ("images/more.png", "an image without captions")


def test_another_mode_is_converted_and_counted(tmp_path: Path) -> None:
    raw = small(tmp_path / "raw")
    (raw / "images/a.png").write_bytes(png(100, "L"))
    made(raw, tmp_path / "out")
    assert sidecar_of(tmp_path / "out")["changes"] == {"mode L converted to RGB": 1}
    assert set(read_split(tmp_path / "out", "train", "captioning")["image"][0]) == {100}


def test_outside_vectors_take_the_place_of_the_encoder(tmp_path: Path) -> None:
    raw = small(tmp_path / "raw")
    (raw / "vectors").mkdir()
    for image in (raw / "images").iterdir():
        np.arange(6, dtype="<f4").tofile(raw / "vectors" / f"{image.name}.f32")
    made(raw, tmp_path / "out", features={"folder": "vectors", "width": 3})
    columns = read_split(tmp_path / "out", "train", "captioning")
    assert columns["features"][1].tolist() == [0, 1, 2, 3, 4, 5]
    given = TASK.example_input(columns, sidecar_of(tmp_path / "out"), raw)
    net = network(tmp_path / "out", encoder=None)
    assert TASK.answers(net, [given], sidecar_of(tmp_path / "out"))[0]["changes"] == []
    with pytest.raises(DataError, match="input: 5 bytes; vectors of 3 numbers"):
        TASK.answers(net, [b"12345"], sidecar_of(tmp_path / "out"))
    (raw / "vectors/a.png.f32").unlink()
    with pytest.raises(DataError, match="no file a.png.f32"):
        made(raw, tmp_path / "out", features={"folder": "vectors", "width": 3})


def test_answers_to_files_and_what_was_done_to_them(tmp_path: Path) -> None:
    made(small(tmp_path / "raw"), tmp_path / "out")
    net, sidecar = network(tmp_path / "out"), sidecar_of(tmp_path / "out")
    example = TASK.example_input(read_split(tmp_path / "out", "train", "captioning"), sidecar, tmp_path)
    assert images.read(example, "input", side=8).colours_YXC.shape == (8, 8, 3)
    first, second = TASK.answers(net, [example, png(9, "L")], sidecar)
    assert (first["changes"], second["changes"]) == ([], ["mode L converted to RGB"])
    assert set(first["caption"].split()) <= set(sidecar["words"][2:])
    assert TASK.answers(net, [], sidecar) == []
    with pytest.raises(DataError, match="input: no image that can be read"):
        TASK.answers(net, [b"text"], sidecar)


def test_scores_of_two_workers_add_up_to_those_of_the_answers(tmp_path: Path) -> None:
    made(small(tmp_path / "raw"), tmp_path / "out")
    net, sidecar = network(tmp_path / "out"), sidecar_of(tmp_path / "out")
    columns = read_split(tmp_path / "out", "test", "captioning")
    filling = captioning.filling(columns, lanes=2, window=12, seed=None, carries=False)
    assemble = captioning.assemble(columns)
    parts = [
        TASK.measure(net, Windows(filling=filling, assemble=assemble, lanes=lane_slice(2, rank, 2)), sidecar)
        for rank in range(2)
    ]
    sums = {name: parts[0][name] + parts[1][name] for name in parts[0]}
    found = TASK.metrics(sums, sidecar)
    answers = TASK.answers(net, [images.png(columns["image"][n].reshape(8, 8, 3)) for n in range(2)], sidecar)
    said = [scorer.words(answer["caption"]) for answer in answers]
    against = scorer.Against([[("a", "cat"), ("a", "rare", "zebra")], [("the", "dog", "runs")]])
    bleu = scorer.total([scorer.bleu(words, right) for words, right in zip(said, against.references, strict=True)])
    assert [found[f"bleu_{n}"] for n in range(1, 5)] == pytest.approx(bleu.scores())
    assert found["cider"] == pytest.approx(np.mean([against.cider(n, words) for n, words in enumerate(said)]))
    assert set(found) == {"loss", *TASK.METRICS}
    assert sums["loss"][1] == len(columns["tokens"].values)
    shown = TASK.analysis(net, Windows(filling=filling, assemble=assemble, lanes=slice(0, 2)), columns, sidecar)
    assert [row["right"] for row in shown["worst"]] == [row["right"] for row in shown["best"]][::-1]
    maps = [picture for name, picture in shown.items() if name.startswith("attention")]
    assert maps[0].values_RC.shape == (len(maps[0].rows), len(maps[0].columns)) == (len(maps[0].rows), 16)


def test_the_nearest_image_and_its_most_typical_caption(tmp_path: Path) -> None:
    raw = small(tmp_path / "raw")
    (raw / "images/c.png").write_bytes((raw / "images/a.png").read_bytes())
    (raw / "images/d.png").write_bytes((raw / "images/bb.png").read_bytes())
    made(raw, tmp_path / "out")
    splits = {s: read_split(tmp_path / "out", s, "captioning") for s in ("train", "validation", "test")}
    found = TASK.simple(splits, sidecar_of(tmp_path / "out"))["nearest_image"]
    assert set(found.scores) == set(TASK.METRICS)
    assert "colour" in found.chosen
    assert found.scores["bleu_1"] > 50


@pytest.mark.parametrize(("key", "value"), [("image_size", 0), ("min_count", 0), ("max_length", 0)])
def test_data_keys(key: str, value: object) -> None:
    with pytest.raises(ConfigError, match=key):
        from_mapping(TASK.Data, OWN | {key: value}, "data")
    with pytest.raises(ConfigError, match="width"):
        from_mapping(TASK.Data, OWN | {"features": {"folder": "a", "width": 0}}, "data")
