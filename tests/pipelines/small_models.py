"""A tagger and a judge of sentences, trained for a second on made-up sentences, evaluated and registered."""

import json
import random
import shutil
from pathlib import Path
from typing import Any

import torch

from pipelines import evaluate, files, networks, params, tasks, tracking
from pipelines.tasks import Sums, Where
from rnn_core import arrow, checkpoint
from rnn_core.config import from_mapping
from tests.pipelines import small_training, spooled

COMMON = {"cell": "gru", "embedding_size": 6, "hidden_size": 6, "num_layers": 1, "bidirectional": True}
COMMON |= {"input_dropout": 0.1, "dropout": 0.1}
MODELS: dict[str, dict[str, Any]] = {
    "pos_tagging": COMMON
    | {"word_dropout": 0.1, "min_count": 1}
    | {"characters": {"cell": "elman", "embedding_size": 4, "hidden_size": 4}},
    "sentiment": COMMON | {"read_out": "mean", "step_dropout": 0.0},
}
DATA: dict[str, dict[str, Any]] = {
    "pos_tagging": {"max_length": 30, "too_long": "split"},
    "sentiment": {"labels": {"0": "bad", "1": "good"}, "lowercase": True, "max_length": 30, "too_long": "cut"},
}
LANES, UPDATES = 8, 12
TAG = {"the": "DET", "and": "CCONJ", ".": "PUNCT"}


def sentences(count: int, seed: int) -> list[list[str]]:
    """Of one to three clauses; some of their words the training has not seen."""
    rng = random.Random(seed)
    words = [rng.sample(["dog", "cat", "bird", "horse"], 3), rng.sample(["runs", "sings", "sleeps", "barks"], 3)]
    clause = lambda: ["the", rng.choice(words[0]), rng.choice(words[1])]  # noqa: E731
    return [[*clause(), *(w for _ in range(rng.randrange(3)) for w in ("and", *clause())), "."] for _ in range(count)]


def raw(task: str, some: list[list[str]]) -> bytes:
    """Sentences as a raw file of the task: nouns and verbs are told apart by their ends, cats are good."""
    if task == "sentiment":
        return "".join(f"{' '.join(s)}\t{int('cat' in s)}\n" for s in some).encode()
    lines = []
    for sentence in some:
        for number, word in enumerate(sentence, 1):
            tag = TAG.get(word, "VERB" if word.endswith("s") else "NOUN")
            lines.append(f"{number}\t{word}\t_\t{tag}" + "\t_" * 6)
        lines.append("")
    return "\n".join(lines).encode() + b"\n"


def write_data(name: str, folder: Path) -> Path:
    """Arrow files of a training and a test split."""
    task, data = tasks.load(name), from_mapping(tasks.load(name).Data, DATA[name], "data")
    examples = {
        split: list(task.read(raw(name, sentences(count, seed)), Where(split, 1, True, True), data))
        for split, count, seed in (("train", 200, 0), ("test", 120, 1))
    }
    sidecar = task.sidecar(task.count(examples["train"]), data)
    folder.mkdir(parents=True)
    files.write_json(folder / "sidecar.json", sidecar)
    for split, some in examples.items():
        with arrow.Writer(folder, split, task.KIND, {}) as writer:
            writer.write(arrow.to_batch([task.encoder(sidecar)(one) for one in some], task.KIND))
    return folder


def settings() -> params.Train:
    changes = {"lanes": LANES, "window": 30, "k2": 30, "carry": False}
    return params.from_mapping(params.Train, small_training.TRAIN | changes, "train")


def train(name: str, data: Path, folder: Path) -> Path:
    """A model's folder, as `train` leaves it."""
    task, sidecar = tasks.load(name), files.read_json(data / "sidecar.json")
    torch.manual_seed(0)
    network = networks.build(task, MODELS[name], sidecar)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    windows = evaluate.test_windows(networks.Model(task, network, sidecar, {}), data, settings())
    optimizer = torch.optim.Adam(network.parameters(), 0.02)
    for step in range(UPDATES):
        window = windows(step)
        loss, count = network.loss(window, network(window, network.initial_carry(LANES))[0])
        (loss / count).backward()
        optimizer.step()
        optimizer.zero_grad()
    checkpoint.save_network(network, folder / "model.safetensors")
    about = {"task": name, "model": MODELS[name], "dtype": "float32"}
    files.write_json(folder / "model.json", about)
    shutil.copy(data / "sidecar.json", folder)
    return folder


def measure(folder: Path, data: Path) -> tuple[Sums, dict[str, float]]:
    """What the evaluation adds up over the test data, and its scores."""
    model = networks.load(folder)
    sums = model.task.measure(model.network, evaluate.test_windows(model, data, settings()), model.sidecar)
    return sums, model.task.metrics(sums, model.sidecar)


def register(name: str, root: Path) -> tuple[Path, Path]:
    """A trained, evaluated block on the tracking server. Returns the folders of its model and its data."""
    data, training = write_data(name, root / "data/arrow" / name), root / "trainings" / name
    spooled.training(training, f"t-{name}", block=name, task=name, kind=tasks.load(name).KIND)
    model = train(name, data, training / "model")
    example = json.loads(json.dumps(evaluate.example(model, data, root)))
    evaluation = tracking.Evaluation(
        metric="accuracy",
        direction="max",
        score=measure(model, data)[1]["accuracy"],
        test_digest=evaluate.test_digest(data),
        column=example["column"],
        input=example["input"],
        answer=example["answer"],
        requirements=tuple(example["requirements"]),
    )
    tracker = tracking.connect()
    version = tracker.register(training, evaluation, tracking.Card(text=tracking.Card.BEGIN, tags={}))
    tracker.put("sample", name, str(version.version))
    return model, data
