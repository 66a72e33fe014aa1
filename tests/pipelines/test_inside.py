"""The pictures of what a network does inside are drawn for each kind, and their words are those of the data."""

import csv

import numpy as np
import pytest
import torch

from pipelines import evaluate, files, inside, networks, params, pictures, tasks
from pipelines.pictures import canvas
from pipelines.pictures.colours import CELL_LOOKS
from rnn_core.arrow import Writer, read_split, to_batch
from rnn_core.cells import CELLS
from rnn_core.inspect import Flow
from tests.pipelines import small_training as small
from tests.pipelines.test_evaluate import TAGGER

PICTURES = {"gradient_flow.png", "memory_reach.png", "surprise.png", "truncation.png", "unrolled.png"}
TABLES = {"examples_by_loss", "gradient_flow", "memory_reach", "truncation"}


@pytest.fixture(scope="module")
def stream(tmp_path_factory):
    return small.write_data(tmp_path_factory.mktemp("data") / "arrow")


def model_of(task, settings, sidecar):
    torch.manual_seed(0)
    made = networks.build(tasks.load(task), settings, sidecar).eval().requires_grad_(False)
    return networks.Model(tasks.load(task), made, sidecar, {"model": settings})


def train_of(**changes):
    return params.from_mapping(params.Train, small.TRAIN | changes, "train")


def write_sentences(folder):
    """Test data of the tagger: 40 sentences of 1 to 12 words, a dollar and a word without letters among them."""
    task, random = tasks.load("pos_tagging"), np.random.default_rng(0)
    words = ["dog", "$", "$$", "\u200b", "barks", "."]
    sentence = type(task.raw_example("a", {}))
    picks = [random.integers(0, len(words), n) for n in random.integers(1, 13, 40)]
    made = [sentence(tuple(words[i] for i in p), tuple(task.TAGS[i] for i in p), 1) for p in picks]
    sidecar = task.sidecar(task.count(made), None)
    folder.mkdir()
    with Writer(folder, "test", "tagging", {}) as writer:
        writer.write(to_batch(list(map(task.encoder(sidecar), made)), "tagging"))
    return sidecar


@pytest.mark.parametrize("cell", ["lstm", "memoryless"])
def test_a_stream_is_looked_into_and_nothing_is_changed(stream, tmp_path, cell):
    model = model_of("language_model", small.MODEL | {"cell": cell}, files.read_json(stream / "sidecar.json"))
    before, random = [p.clone() for p in model.network.parameters()], torch.get_rng_state()
    tables = inside.look(model, stream, train_of(), tmp_path, "title")
    assert all(torch.equal(a, b) for a, b in zip(before, model.network.parameters(), strict=True))
    assert torch.equal(random, torch.get_rng_state())
    evaluate.lay_out(tables, tmp_path, "title")
    assert {path.name for path in tmp_path.iterdir()} == PICTURES | {f"{table}.csv" for table in TABLES}
    (flows, reached) = tables["gradient_flow"], tables["memory_reach"]
    assert [row["norm_by_state"] == 0 for row in flows if row["trained"]] == [cell == "memoryless"] * 128
    assert {row["cell"] for row in flows} == {cell, "elman", "gru", "lstm"}
    assert (len({row["loss_nats_per_step"] for row in reached}) == 1) == (cell == "memoryless")
    assert sum(row["suggested"] for row in tables["truncation"]) <= 1
    rows = list(csv.DictReader((tmp_path / "examples_by_loss.csv").read_text().splitlines()))
    assert len(rows) == 2 * inside.RANKS
    losses = [float(row["loss_nats_per_step"]) for row in rows]
    assert losses == sorted(losses)
    assert (int(rows[0]["rank"]), rows[-1]["rank"]) == (1, rows[-1]["of"])
    text = " ".join(f"w{token}" for token in read_split(stream, "test", "language_model")["tokens"].values)
    assert all(f"{row['inputs']} {row['right'].split()[-1]}" in text for row in rows)


@pytest.mark.parametrize("changes", [{}, {"bidirectional": False, "characters": None, "cell": "elman"}], ids=str)
def test_sentences_are_looked_into(tmp_path, changes):
    sidecar = write_sentences(tmp_path / "arrow")
    model, out = model_of("pos_tagging", TAGGER | changes, sidecar), tmp_path / "out"
    out.mkdir()
    tables = inside.look(model, tmp_path / "arrow", train_of(carry=False, window=12, k2=12), out, "title")
    assert {path.name for path in out.iterdir()} == PICTURES - {"truncation.png"}
    assert set(tables) == TABLES - {"truncation"}
    pairs = dict(zip(["dog", "$", "$$", "\u200b", "barks", "."], tasks.load("pos_tagging").TAGS, strict=False))
    for row in tables["examples_by_loss"]:
        assert row["right"].split() == [pairs[word] for word in row["inputs"].split(" ")]
        assert row["steps"] == len(row["answered"].split())


def test_a_head_of_another_kind_is_left_alone(stream, tmp_path):
    model = model_of("language_model", small.MODEL, files.read_json(stream / "sidecar.json"))
    model.network.head = torch.nn.Identity()
    assert inside.look(model, stream, train_of(), tmp_path, "title") == {}
    assert list(tmp_path.iterdir()) == []


def test_each_cell_has_a_look_of_its_own():
    assert set(CELL_LOOKS) == set(CELLS)
    assert len(set(CELL_LOOKS.values())) == len(CELLS)


def test_the_flow_of_a_network_without_any_is_drawn(tmp_path):
    nothing = Flow(False, np.zeros(5), np.zeros(5), np.full(5, 9))
    some = Flow(False, 0.5 ** np.arange(5.0), 0.4 ** np.arange(5.0), np.full(5, 9))
    none = Flow(False, np.zeros(0), np.zeros(0), np.zeros(0, np.int64))
    for flows in ([nothing, some], [none, some], [nothing]):
        lines = [pictures.FlowLine("lstm", trained, [flow]) for trained, flow in enumerate(flows)]
        pictures.gradient_flow(lines, tmp_path / "flow.png", "title")


def test_words_become_labels():
    assert canvas.word("$5") == r"\$5"
    assert canvas.word("a\nb c") == "a⏎b␣c"
    assert canvas.word("x" * 40) == "x" * 15 + "…"
