"""The units of the test data add up to the evaluation, and a draw of them scores as such data would."""

import numpy as np
import pytest
import torch

from pipelines import evaluate, files, networks, tasks
from pipelines.promotion import units
from rnn_core import arrow
from rnn_core.arrow import read_split
from tests.pipelines import small_training as small
from tests.pipelines.test_evaluate import SENTENCES, TAGGER, model_of, train_of


def read_as(model, **about):
    return networks.Model(model.task, model.network, model.sidecar, about)


def test_blocks_of_a_stream_are_read_with_the_state_carried_on(tmp_path, monkeypatch):
    folder = small.write_data(tmp_path / "arrow")
    model = model_of(files.read_json(folder / "sidecar.json"))
    whole = model.task.measure(model.network, evaluate.test_windows(model, folder, train_of()), model.sidecar)
    monkeypatch.setattr(units, "BLOCK_STEPS", 23)
    columns = read_split(folder, "test", "language_model")
    measured = units.measure(read_as(model, window=5, carry=True), columns)
    assert measured.units == 16  # 399 steps: 15 blocks of 5 windows of 5, and one of 24 steps
    score = measured.score("perplexity")
    once = np.ones(measured.units, np.int64)
    assert score(once) == pytest.approx(model.task.metrics(whole, model.sidecar)["perplexity"], rel=1e-12)
    assert score(3 * once) == pytest.approx(score(once), rel=1e-12)


def tagger():
    task = tasks.load("pos_tagging")
    sentences = [task.Sentence(tuple(s.split()), tuple("NOUN" for _ in s.split()), 1) for s in SENTENCES]
    sidecar = task.sidecar(task.count(sentences), None)
    encode = task.encoder(sidecar)
    return model_of(sidecar, task="pos_tagging", settings=TAGGER), [encode(sentence) for sentence in sentences]


def test_a_draw_of_sentences_scores_as_a_corpus_of_them():
    model, rows = tagger()
    model = read_as(model, window=16, carry=False)
    measured = units.measure(model, arrow.from_rows(rows, "tagging"))
    assert measured.units == len(SENTENCES)
    drawn = units.measure(model, arrow.from_rows([rows[0], rows[2], rows[2]], "tagging"))
    for metric in ("accuracy", "loss"):
        found = measured.score(metric)(np.array([1, 0, 2, 0]))
        assert found == pytest.approx(drawn.score(metric)(np.ones(3, np.int64)), rel=1e-9)
    assert np.isnan(measured.score("accuracy_unseen")(np.ones(4, np.int64)))


def forecasts(origins, seed):
    """Sums of a series as `measure` of the task gives them."""
    generator = torch.Generator().manual_seed(seed)
    shapes = {"quantiles": (3, 9), "targets": (3,), "naive2": (3,), "units": (), "series": (), "seen": (), "past": (1,)}
    sums = {name: torch.rand(origins, *shape, generator=generator).double() + 1 for name, shape in shapes.items()}
    loss = torch.tensor([2.0 * origins, origins], dtype=torch.float64)
    return {**sums, "quantiles": sums["quantiles"].sort(2).values, "loss": loss}


def test_a_draw_of_series_scores_as_data_of_their_forecasts():
    task = tasks.load("sales_forecast")
    sidecar = {"data": {"horizon": 3}}
    model = networks.Model(task, torch.nn.Identity(), sidecar, {})
    parts = [forecasts(origins, seed) for seed, origins in enumerate((2, 1, 4))]
    measured = units.Measured(model, parts)
    twice = [parts[0], parts[0], parts[2]]
    joined = {name: (torch.cat if name != "loss" else sum)([part[name] for part in twice]) for name in parts[0]}
    wanted = task.metrics(joined, sidecar)
    for metric in ("smape", "mase", "owa", "crps", "loss"):
        assert measured.score(metric)(np.array([2, 0, 1])) == pytest.approx(wanted[metric], rel=1e-9)


def test_a_long_series_is_cut_where_a_thousand_steps_have_passed():
    sums = forecasts(6, 7)
    runs = list(units._runs(sums, np.array([100, 700, 1099, 1100, 2500, 3000])))
    assert [len(run["targets"]) for run in runs] == [3, 1, 2]
    assert torch.equal(torch.cat([run["quantiles"] for run in runs]), sums["quantiles"])
    assert torch.equal(sum(run["loss"] for run in runs), sums["loss"])
