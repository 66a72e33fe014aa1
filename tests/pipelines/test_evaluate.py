"""Evaluation reads each test step once, with the state that all before it left; a score file has its keys."""

import itertools
import math

import numpy as np
import pytest
import torch
import yaml

from pipelines import evaluate, files, networks, params, paths, pictures, tasks
from pipelines.points import Recorder
from pipelines.score import gap_closed
from pipelines.tasks import Matrix, Simple
from rnn_core.arrow import from_rows, read_split
from rnn_core.cells import CELLS
from tests.pipelines import small_training as small

KEYS = {
    *("task", "dataset", "metric", "direction", "score", "best_possible", "baselines", "published", "seconds"),
    *(
        "core_seconds",
        "gpu_seconds",
        "parameters",
        "seeds",
        "spread",
        "simple",
        "settings",
        "revision",
        "run_id",
        "model_version",
    ),
}


@pytest.fixture(scope="module")
def arrow(tmp_path_factory):
    return small.write_data(tmp_path_factory.mktemp("data") / "arrow")


def model_of(sidecar, dtype=torch.float64, task="language_model", settings=small.MODEL):
    torch.manual_seed(0)
    made = networks.build(tasks.load(task), settings, sidecar).to(dtype)
    return networks.Model(tasks.load(task), made.eval(), sidecar, {})


def train_of(**changes):
    return params.from_mapping(params.Train, small.TRAIN | changes, "train")


def test_every_test_token_but_the_first_is_scored_once_with_the_state_of_all_before_it(arrow):
    model = model_of(files.read_json(arrow / "sidecar.json"))
    windows = evaluate.test_windows(model, arrow, train_of())
    sums = model.task.measure(model.network, windows, model.sidecar)
    tokens = torch.from_numpy(read_split(arrow, "test", "language_model")["tokens"].values.astype(np.int64))
    carry, loss = model.network.initial_carry(1), 0.0
    for token, following in itertools.pairwise(tokens):
        x = model.network.model.embedding(token)[None, None]
        with torch.no_grad():
            h, carry = model.network.model.stack(x, torch.zeros(1, 1, dtype=torch.bool), carry, None)
            loss -= float(model.network.head.predict(h)[0, 0].log_softmax(0)[following])
    assert int(sums["count"]) == len(tokens) - 1
    assert float(sums["loss"]) == pytest.approx(loss, rel=1e-10)
    metrics = model.task.metrics(sums, model.sidecar)
    assert metrics["perplexity"] == pytest.approx(math.exp(loss / (len(tokens) - 1)))
    assert "bits_per_character" not in metrics
    bits = model.task.metrics(sums, model.sidecar | {"level": "character"})["bits_per_character"]
    assert bits == pytest.approx(loss / (len(tokens) - 1) / math.log(2))


def test_a_cut_carry_is_cut_in_evaluation_too(arrow):
    model = model_of(files.read_json(arrow / "sidecar.json"))
    kept = model.task.measure(model.network, evaluate.test_windows(model, arrow, train_of()), model.sidecar)
    cut_windows = evaluate.test_windows(model, arrow, train_of(carry=False, k2=5))
    cut = model.task.measure(model.network, cut_windows, model.sidecar)
    assert cut["count"] == kept["count"]
    assert cut["loss"] != kept["loss"]


SENTENCES = ["the dog barks .", "a", "the old dog of the town barks at a cat", "cats sleep"]
TAGGER = {
    "cell": "gru",
    "embedding_size": 6,
    "hidden_size": 5,
    "num_layers": 2,
    "bidirectional": True,
    "input_dropout": 0.1,
    "dropout": 0.1,
    "word_dropout": 0.1,
    "min_count": 1,
    "characters": {"cell": "lstm", "embedding_size": 4, "hidden_size": 3},
}


def tagger(settings=TAGGER):
    task = tasks.load("pos_tagging")
    words = sorted({word for sentence in SENTENCES[:3] for word in sentence.split()})
    sidecar = {
        "words": ["<pad>", "<unk>", *words],
        "word_counts": [0, 0, *range(len(words), 0, -1)],
        "characters": ["<pad>", "<unk>", *"abcdefghilmnoprstw"],
        "tags": task.TAGS,
    }
    return model_of(sidecar, task="pos_tagging", settings=settings)


@pytest.mark.parametrize(
    "settings",
    [TAGGER, TAGGER | {"characters": None}, TAGGER | {"bidirectional": False}, *(TAGGER | {"cell": c} for c in CELLS)],
)
def test_a_sentence_is_answered_the_same_alone_and_among_others(settings):
    model = tagger(settings)
    together = model.task.answers(model.network, SENTENCES, model.sidecar)
    alone = [model.task.answers(model.network, [sentence], model.sidecar)[0] for sentence in SENTENCES]
    assert together == alone
    assert [len(answer["tags"]) for answer in together] == [4, 1, 10, 2]
    assert model.task.answers(model.network, [], model.sidecar) == []


def test_right_answers_are_counted_by_tag_and_for_unseen_words():
    model = tagger()
    task, sidecar = model.task, model.sidecar
    encode = task.encoder(sidecar)
    rows = []
    for sentence in SENTENCES:
        words = sentence.split()
        (answer,) = task.answers(model.network, [sentence], sidecar)
        # All right but the last word of each sentence.
        wrong = next(tag for tag in task.TAGS if tag != answer["tags"][-1])
        rows.append(encode(type(task.raw_example(sentence, sidecar))(tuple(words), (*answer["tags"][:-1], wrong), 1)))
    columns = from_rows(rows, "tagging")
    from rnn_core.lanes import Windows
    from rnn_core.models import tagging

    filling = tagging.filling(columns, lanes=3, window=12, seed=None, carries=False)
    windows = Windows(filling=filling, assemble=tagging.assemble(columns), lanes=slice(0, 3))
    sums = task.measure(model.network, windows, sidecar)
    metrics = task.metrics(sums, sidecar)
    assert metrics["accuracy"] == pytest.approx(100 * 13 / 17)
    assert metrics["accuracy_unseen"] == pytest.approx(100 * 1 / 2), "`cats` and `sleep` are not in the sidecar"
    tables = task.tables(sums, sidecar)
    assert sum(row["words"] for row in tables["accuracy_by_tag"]) == 17
    assert isinstance(tables["confusion"], Matrix)


def test_the_score_file_has_its_keys():
    shipped = yaml.safe_load(paths.params_file("sample").read_text())
    block = params.parse("sample", "pos_tagging", shipped["blocks"]["pos_tagging"], shipped["base"], "p")
    limits = {"best_possible": 96.0, "best_memoryless": 76.0}
    measured = {"recurrent": {"accuracy": 95.0, "loss": 0.1}, "memoryless": {"accuracy": 75.0, "loss": 0.9}}
    simple = {"most_frequent": Simple({"accuracy": 70.0}, "the most frequent tag")}
    numbers = evaluate.compare(block, measured, simple, limits, "digest")
    assert numbers["gap_closed"] == pytest.approx({"recurrent": 0.95, "memoryless": -0.05, "most_frequent": -0.3})
    assert numbers["simple"] == {"most_frequent": {"accuracy": 70.0}}
    trained = {"seconds": 12.34, "workers": 2, "threads": 3, "device": "cpu", "parameters": 10, "revision": "r"}
    runs = dict.fromkeys(measured, trained)
    score = evaluate.score_file(block, numbers, runs, "recurrent")
    assert set(score) == KEYS
    assert score["baselines"] == {"memoryless": 75.0, "most_frequent": 70.0, "best_memoryless": 76.0}
    assert (score["score"], score["direction"]) == (95.0, "max")
    assert (score["seconds"], score["core_seconds"], score["gpu_seconds"]) == (12.3, 74.0, 0.0)
    assert (score["seeds"], score["spread"], score["simple"]) == ([1], None, ["most_frequent"])
    assert score["run_id"] is score["model_version"] is None


def test_shares_of_a_gap_are_in_nats_for_perplexities():
    assert gap_closed(20, 40, 10, "perplexity") == pytest.approx(0.5)
    assert gap_closed(90, 80, 100, "accuracy") == pytest.approx(0.5)


def test_the_digest_names_the_test_data(arrow, tmp_path):
    before = evaluate.test_digest(arrow)
    assert evaluate.test_digest(small.write_data(tmp_path / "same")) == before
    files.write_json(tmp_path / "same" / "sidecar.json", {"words": []})
    assert evaluate.test_digest(tmp_path / "same") != before


def test_pictures_are_drawn(tmp_path):
    recorder = Recorder(tmp_path)
    for step in range(1, 6):
        recorder.add(step, step / 2, {"train/loss": 1 / step})
    recorder.add(5, 2.5, {"validation/loss": 0.3, "validation/accuracy": 90.0})
    recorder.close()
    pictures.learning_curves(tmp_path, tmp_path / "curves.png", "title", "gru")
    pictures.matrix(
        ["a", "b", "never"], np.array([[3.0, 1, 0], [0, 2, 0], [0, 0, 0]]), tmp_path / "matrix.png", "title"
    )
    pictures.image(["a", "b"], [str(i) for i in range(99)], np.random.rand(2, 99), tmp_path / "image.png", "title")
    for name in ("curves.png", "matrix.png", "image.png"):
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")
    pictures.curve_table({"recurrent": tmp_path}, tmp_path / "curves.csv")
    lines = (tmp_path / "curves.csv").read_text().splitlines()
    assert lines[0] == "training,step,seconds,metric,value"
    assert lines[1] == "recurrent,1,0.5,train/loss,1.0"
    assert len(lines) == 1 + 5 + 2
