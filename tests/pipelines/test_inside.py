"""The pictures of what a network does inside are drawn for each kind, and their words are those of the data."""

import csv

import numpy as np
import pytest
import torch

from pipelines import evaluate, files, inside, networks, params, pictures, tasks
from pipelines.inside import steps
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
    for weight in made.head.parameters():
        # A head that begins with zeros is read nowhere.
        weight.add_(0.1 * torch.randn_like(weight))
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
    assert (len({row["loss"] for row in reached}) == 1) == (cell == "memoryless")
    assert sum(row["suggested"] for row in tables["truncation"]) <= 1
    rows = list(csv.DictReader((tmp_path / "examples_by_loss.csv").read_text().splitlines()))
    assert len(rows) == 2 * steps.RANKS
    losses = [float(row["loss"]) for row in rows]
    assert losses == sorted(losses)
    assert (int(rows[0]["rank"]), rows[-1]["rank"]) == (1, rows[-1]["of"])
    text = " ".join(f"w{token}" for token in read_split(stream, "test", "language_model")["tokens"].values)
    assert all(f"{row['inputs']} {row['right'].split()[-1]}" in text for row in rows)


@pytest.mark.parametrize(
    "changes", [{}, {"bidirectional": False, "characters": None, "cell": "elman"}, {"head": "crf"}], ids=str
)
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


SMALL = {"hidden_size": 6, "cell": "gru"}
SHORT = {"carry": False, "lanes": 2}


def words_of(random):
    """Sentences of two classes, in words."""
    rows = [
        {"tokens": random.integers(1, 7, n), "features": [], "steps": n, "label": n % 2}
        for n in random.integers(3, 9, 24)
    ]
    sidecar = {"words": ["<pad>", "<unk>", *"abcde"], "word_counts": [0, 0, 9, 9, 9, 9, 9]}
    return rows, sidecar | {"labels": ["0", "1"], "label_names": ["bad", "good"]}, {"embedding_size": 5}


def videos_of(random):
    """Frames of two classes, as images."""
    rows = [
        {"pixels": random.integers(0, 256, n * 144, np.uint8), "steps": n, "label": n % 2, "name": f"v{n}".encode()}
        for n in random.integers(3, 9, 24)
    ]
    data = {key: value for key, value in params.block("sample", "video_action").data.items() if key != "max_bad_share"}
    return rows, {"classes": ["left", "right"], "data": data}, {"embedding_size": 5}


def sounds_of(random):
    data = params.block("sample", "speech_recognition").data
    width = data["front_end"]["bands"] * data["stack"]
    rows = [
        {"features": random.standard_normal((n, width), np.float32), "steps": n, "labels": random.integers(1, 4, 2)}
        for n in random.integers(6, 12, 16)
    ]
    data = {key: value for key, value in data.items() if key != "max_bad_share"}
    return rows, {"classes": ["<blank>", " ", "a", "b"], "data": data}, {}


def pairs_of(random):
    task = tasks.load("translation")
    pairs = [task.Pair(*(" ".join(random.choice(["ab", "cd", "ef"], n)) for _ in range(2))) for n in range(2, 14)]
    data = task.Data(source="a", target="b", vocabulary=270, max_length=100)
    sidecar = task.sidecar(task.count(pairs), data)
    return list(map(task.encoder(sidecar), pairs)), sidecar, {"embedding_size": 5}


def captions_of(random):
    task = tasks.load("image_caption")
    sizes = {"image_size": 48, "features": 0, "changes": {}}
    sidecar = {"words": ["<end>", "<unk>", "a", "$", "dog"], **sizes}
    made = [
        task.Captioned(
            random.integers(0, 256, (48, 48, 3), np.uint8), (("a", "dog"), ("$", "a", "dog")), np.empty(0), (), 2
        )
        for _ in range(6)
    ]
    return list(map(task.encoder(sidecar), made)), sidecar, {"embedding_size": 5, "encoder": {"channels": [8, 8]}}


def series_of(random):
    rows = [
        {
            "values": random.poisson(5, 60), "known": np.zeros(67), "past": [], "static": [], "origins": [40, 53],
            "units": [1.0, 1.0], "naive2": np.zeros(14), "lags": [0], "horizon": 7, "series": 1,
        }
        for _ in range(6)
    ]  # fmt: skip
    sidecar = {"series": ["<unk>", "shop"], "static": [], "unit": 5.0, "known": [(0.0, 1.0)], "past": [], "lags": [0]}
    data = {
        key: value for key, value in params.block("sample", "sales_forecast").data.items() if key != "max_bad_share"
    }
    return rows, sidecar | {"data": data}, {}


ENCODED = PICTURES - {"truncation.png"} | {"attention.png"}
OTHERS = {
    "sentiment": (words_of, PICTURES - {"truncation.png"}),
    "video_action": (videos_of, PICTURES - {"truncation.png"}),
    "speech_recognition": (sounds_of, PICTURES - {"truncation.png"}),
    "translation": (pairs_of, ENCODED | {"unrolled_encoder.png"}),
    "image_caption": (captions_of, ENCODED),
    "sales_forecast": (series_of, PICTURES),
}


@pytest.mark.parametrize("name", OTHERS)
def test_the_other_tasks_are_looked_into(name, tmp_path):
    made, expected = OTHERS[name]
    block, out = params.block("sample", name), tmp_path / "out"
    rows, sidecar, changes = made(np.random.default_rng(0))
    task = tasks.load(name)
    (tmp_path / "arrow").mkdir()
    out.mkdir()
    with Writer(tmp_path / "arrow", "test", task.KIND, {}) as writer:
        writer.write(to_batch(rows, task.KIND))
    model = model_of(name, block.trainings[0].model | SMALL | changes, sidecar)
    stream = block.trainings[0].train.carry
    train = train_of(**({"window": 7, "k2": 7} if stream else SHORT | {"window": 24, "k2": 24}))
    tables = inside.look(model, tmp_path / "arrow", train, out, "title")
    assert {path.name for path in out.iterdir()} == expected
    assert set(tables) == (TABLES if stream else TABLES - {"truncation"})
    flows = [row for row in tables["gradient_flow"] if row["trained"]]
    assert flows
    assert all(row["norm_by_state"] > 0 for row in flows)
    *cut, never = tables["memory_reach"]
    parts_of = {"decoder", "encoder"} if name == "translation" else {""}
    assert {row["part"] for row in cut} == parts_of
    assert never["cut_every"] == "never"
    if not stream:
        # The last cut is behind the end of the longest sequence.
        for part in parts_of:
            assert [row["loss"] for row in cut if row["part"] == part][-1] == pytest.approx(never["loss"], rel=1e-5)
    examples = tables["examples_by_loss"]
    assert [row["loss"] for row in examples] == sorted(row["loss"] for row in examples)
    assert all(row["inputs"] for row in examples)
    assert [row["rank"] for row in examples] == sorted({row["rank"] for row in examples})


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
