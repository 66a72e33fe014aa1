"""predict/: raw sentences to answers, as users ask: how long one takes, and how many there are a second in a batch."""

import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipelines import files, networks, params, tasks, tracking
from pipelines.tracking import registry
from pipelines.using.predictor import Predictor
from rnn_core import checkpoint
from tests.benchmarks import corpora, paired, training
from tests.pipelines.serving import ask, serving

SENTENCES, ROUNDS, REQUESTS = 512, 7, 100
CASES = [pytest.param(way, id=f"predict/pos_tagging/{way}") for way in ("one", "served")]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """The folder of a model with fresh weights, which take as long as trained ones, and raw sentences."""
    some = corpora.sentences(SENTENCES, training.TAGGER_WINDOW)
    _, sidecar = training.encode(some)
    settings = params.block("sample", "pos_tagging").recurrent[0].model
    folder = tmp_path_factory.mktemp("model") / "model"
    about = {"task": "pos_tagging", "model": settings, "dtype": "float32"}
    files.write_json(folder / "model.json", about)
    files.write_json(folder / "sidecar.json", sidecar)
    checkpoint.save_network(networks.build(tasks.load("pos_tagging"), settings, sidecar), folder / "model.safetensors")
    return folder, [" ".join(sentence.words) for sentence in some]


@pytest.mark.parametrize("way", CASES)
def test_one_request(record: Any, model: tuple[Path, list[str]], tmp_path: Path, way: str) -> None:
    folder, texts = model
    if way == "one":
        predictor = Predictor(folder)
        times = measured(lambda text: predictor.answers([text]), texts)
    else:
        registry.save(tmp_path / "saved", folder, evaluation(folder, texts[0]))
        with serving({"model": str(tmp_path / "saved")}, tmp_path) as addresses:
            times = measured(lambda text: served(addresses["model"], text), texts)
    middle = [statistics.median(some) for some in times]
    slow = [statistics.quantiles(some, n=100)[98] for some in times]
    figures = paired.figures(middle, slow, "ms", [b / a for a, b in zip(middle, slow, strict=True)])
    record(figures, shape=shape(folder), path="p50", alternative=f"p99 of rounds of {REQUESTS} requests")


@pytest.mark.parametrize("way", [pytest.param("batch", id="predict/pos_tagging/batch")])
def test_a_batch(compare: Any, record: Any, model: tuple[Path, list[str]], way: str) -> None:
    folder, texts = model
    predictor, few = Predictor(folder), texts[:64]
    together, alone = predictor.answers(texts), [predictor.answers([text])[0] for text in few]
    assert together[: len(few)] == alone

    def batch() -> float:
        return len(predictor.answers(texts))

    def one_by_one() -> float:
        return sum(len(predictor.answers([text])) for text in few)

    record(compare(batch, one_by_one).rates("sentences/s"), shape=shape(folder), path=way, alternative="one at a time")


def measured(answer: Callable[[str], Any], texts: list[str]) -> list[list[float]]:
    """Milliseconds of each request, after a round to warm up."""
    rounds = []
    for first in range(ROUNDS + 1):
        times = []
        for number in range(REQUESTS):
            text = texts[(first * REQUESTS + number) % len(texts)]
            begin = time.perf_counter()
            answer(text)
            times.append(1000 * (time.perf_counter() - begin))
        rounds.append(times)
    return rounds[1:]


def served(address: str, text: str) -> None:
    status, said = ask(address, {"dataframe_records": [{"text": text}]})
    assert status == 200, said


def evaluation(folder: Path, text: str) -> tracking.Evaluation:
    (answer,) = Predictor(folder).answers([text])
    return tracking.Evaluation(
        metric="accuracy", direction="max", score=0.0, test_digest="none", column="text", input=text, answer=answer
    )


def shape(folder: Path) -> dict[str, int]:
    return {"B": 1, "H": files.read_json(folder / "model.json")["model"]["hidden_size"], "directions": 2}
