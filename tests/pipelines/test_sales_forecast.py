"""The task sales_forecast: from raw tables to rows, splits by time, bad records, rivals, answers to a user's table."""

import json
import math

import numpy as np
import pytest
import torch

from pipelines import evaluate, params, paths, tasks
from pipelines.parsers.series import Layout
from pipelines.parsers.splits import Origins
from pipelines.rivals import forecasts as rivals
from pipelines.tasks import BadRecord, Item, Where
from rnn_core import arrow, networks
from rnn_core.config import from_mapping
from rnn_core.errors import ConfigError, DataError
from rnn_core.lanes import Windows
from rnn_core.models import forecasting

TASK = tasks.load("sales_forecast")
LAYOUT = Layout(layout="long", time="day", series="shop", value="sold", known=("promotion",), static=("shop",))
SETTINGS = {
    "table": LAYOUT,
    "horizon": 3,
    "season": 2,
    "calendar": ("weekday",),
    "lags": TASK.Lags(recent=4),
    "negative": "refuse",
    "rivals": ("seasonal_naive",),
    "rivals_season": 7,
    "test": Origins(last=5, every=2),
    "validation": Origins(last=3, every=3),
}
DATA = TASK.Data(**SETTINGS)


def table(sales: dict[str, list], promotion: int = 0) -> str:
    rows = [f"{s},2024-01-{day:02d},{v},{promotion}" for s, some in sales.items() for day, v in enumerate(some, 1)]
    return "\n".join(["shop,day,sold,promotion", *rows]) + "\n"


def read(tmp_path, text: str, data=DATA):
    (tmp_path / "sales.csv").write_text(text)
    (item,) = TASK.items(tmp_path, "mine", None, data)
    found = list(TASK.read(item, Where(item.name, 1, True, True), data))
    return [e for e in found if not isinstance(e, BadRecord)], [e for e in found if isinstance(e, BadRecord)]


def made(tmp_path, sales, data=DATA):
    """The splits' columns and the sidecar."""
    examples, _ = read(tmp_path, table(sales), data)
    sidecar = json.loads(json.dumps(TASK.sidecar(TASK.count(e for e in examples if e.split == "train"), data)))
    encode = TASK.encoder(sidecar)
    return {s: arrow.from_rows([encode(e) for e in examples if e.split == s], TASK.KIND) for s in arrow.SPLITS}, sidecar


def test_splits_are_by_time_and_overlap_nowhere(tmp_path) -> None:
    examples, bad = read(tmp_path, table({"a": list(range(1, 17))}))
    assert not bad
    train, validation, test = examples
    assert [e.split for e in examples] == ["train", "validation", "test"]
    assert (len(train.values), len(validation.values), len(test.values)) == (8, 11, 16)
    assert (train.origins, validation.origins, test.origins) == ((), (8,), (11, 13))
    assert len(test.known) == 16 + 3
    assert validation.units == (2.0,)


def test_the_unit_is_that_of_the_history_before_the_first_origin(tmp_path) -> None:
    history = [1, 5, 2, 9, 4, 4, 8, 1, 3, 6, 2]
    _, _, test = read(tmp_path, table({"a": [*history, 1000, -0.0, 5000, 2, 3]}))[0]
    assert (
        test.units == (pytest.approx(np.abs(np.diff(np.array(history), n=1)[1:] + np.diff(history)[:-1]).mean()),) * 2
    )


def test_negative_sales_are_gaps_and_told(tmp_path) -> None:
    sales = {"a": [3, 4, -2, *range(13)]}
    examples, (bad,) = read(tmp_path, table(sales))
    assert np.isnan(examples[0].values[2])
    assert (bad.found, bad.split) == ("-2 at step 3 of a", "train")
    kept = TASK.Data(**(SETTINGS | {"negative": "keep"}))
    examples, bad = read(tmp_path, table(sales), kept)
    assert (examples[0].values[2], bad) == (-2, [])


def test_a_series_that_is_too_short_is_told_and_the_others_stay(tmp_path) -> None:
    examples, (bad,) = read(tmp_path, table({"a": [1, 2, 3], "b": list(range(12))}))
    assert {e.name for e in examples} == {"b"}
    assert (bad.found, bad.allowed) == ("a series of 3 steps: a", "at least 12")


def test_constant_series_have_no_mase_and_spoil_no_mean(tmp_path) -> None:
    splits, _ = made(tmp_path, {"a": [4] * 16, "b": list(range(16))})
    units = splits["test"]["units"].values
    assert np.isnan(units[:2]).all()
    assert (units[2:] == 2).all()


def test_splits_by_file_are_refused(tmp_path) -> None:
    with pytest.raises(ConfigError, match=r"data.files: .*data.test"):
        list(TASK.items(tmp_path, "mine", {"train": tmp_path}, DATA))


def test_files_of_m4_go_on_in_the_next_one(tmp_path) -> None:
    (tmp_path / "Weekly-train.csv").write_text('"V1","V2"\n"W1",' + ",".join(f'"{v}"' for v in range(30)) + ',""\n')
    (tmp_path / "Weekly-test.csv").write_text('"V1","V2"\n"W1","30","31","32","33","34"\n')
    data = TASK.Data(**(SETTINGS | {"table": Layout(layout="rows"), "calendar": ()}))
    (item,) = TASK.items(tmp_path, "m4_weekly", None, data)
    examples = list(TASK.read(item, Where("x", 1, True, True), data))
    assert examples[2].values.tolist() == list(range(35))
    assert isinstance(item, Item)


def test_rows_and_sidecar(tmp_path) -> None:
    splits, sidecar = made(tmp_path, {"b": list(range(16)), "a": [10] * 16})
    assert sidecar["series"] == ["<unk>", "a", "b"]
    assert sidecar["static"] == [["<unk>", "a", "b"]]
    assert sidecar["unit"] == pytest.approx((sum(range(8)) + 80) / 16)
    assert len(sidecar["known"]) == 3
    assert splits["train"]["static"].values.tolist() == [2, 1]
    assert splits["test"]["origins"][0].tolist() == [11, 13]
    assert len(splits["test"]["known"][0]) == 3 * (16 + 3)
    assert np.isfinite(splits["test"]["known"].values).all()


def test_the_seasonal_naive_rival_is_scored_as_by_hand(tmp_path) -> None:
    random = np.random.default_rng(1)
    sales = random.integers(1, 50, 16).tolist()
    splits, sidecar = made(tmp_path, {"a": sales})
    scores = TASK.simple(splits, sidecar)["seasonal_naive"].scores
    y, unit = np.array(sales, float), splits["test"]["units"].values[0]
    errors = [np.abs(y[o : o + 3] - y[o - 7 : o - 4]).mean() / unit for o in (11, 13)]
    assert scores["mase"] == pytest.approx(np.mean(errors), rel=1e-6)
    assert scores["crps"] == pytest.approx(np.mean(errors) * unit, rel=1e-6)


@pytest.mark.parametrize("name", rivals.RIVALS)
def test_rivals_give_rising_quantiles_near_to_the_season(name) -> None:
    random = np.random.default_rng(2)
    history = 100 + 30 * np.sin(np.arange(84) * 2 * np.pi / 7) + random.normal(0, 1, 84)
    q = rivals.forecasts(name, history, [77, 84], 7, 7, TASK.LEVELS)
    assert q.shape == (2, 7, 9)
    assert (np.diff(q, axis=2) >= 0).all()
    assert np.abs(q[:, :, 4] - (100 + 30 * np.sin(np.arange(7) * 2 * np.pi / 7))).max() < 8
    changed = history.copy()
    changed[77:] = 500
    assert (rivals.forecasts(name, changed, [77, 84], 7, 7, TASK.LEVELS)[0] == q[0]).all()
    assert rivals.forecasts(name, np.full(5, 3.0), [5], 7, 2, TASK.LEVELS).tolist() == [[[3.0] * 9] * 2]


def network_of(sidecar, **options):
    torch.manual_seed(1)
    scaling = {"scale": "level", "level": 2, "season": 2}
    model = {"cell": "gru", "hidden_size": 4, "num_layers": 1, "input_dropout": 0.0, "dropout": 0.0, "skip": True}
    model |= {"output": "direct", "head": "quantile", "levels": list(TASK.LEVELS), "embedding_size": 2}
    config = from_mapping(forecasting.Config, model | {"scaling": scaling, "context": 4} | options, "model")
    return networks.network(TASK.KIND, config, TASK.sizes(config, sidecar))


def test_scores_and_tables_of_a_network(tmp_path) -> None:
    splits, sidecar = made(tmp_path, {"a": list(range(1, 17)), "b": [5, 9] * 8})
    network = network_of(sidecar)
    filling = forecasting.filling(splits["test"], lanes=3, window=4, seed=None, carries=False)
    windows = Windows(filling=filling, assemble=forecasting.assemble(splits["test"]), lanes=slice(0, 3))
    sums = TASK.measure(network, windows, sidecar)
    scores = TASK.metrics(sums, sidecar)
    assert set(TASK.METRICS) <= set(scores)
    # Fresh weights say the seasonal naive: 10, 11, 10 where 12, 13, 14 come, in units of 2; b has no unit.
    assert scores["mase"] == pytest.approx(8 / 3 / 2)
    shown = TASK.tables(sums, sidecar)
    assert [row["step"] for row in shown["errors_by_step"]] == [1, 2, 3]
    assert {row["series"] for row in shown["largest_errors"]} == {"a", "b"}
    evaluate.lay_out(shown, tmp_path, "a test")
    written = {path.name for path in tmp_path.iterdir()}
    assert {"errors_by_step.csv", "forecasts.png", "forecasts_missed_most.png"} <= written
    history = shown["forecasts"].histories[0]
    assert math.isnan(history[0]), "before the first value"
    assert history[1:] == list(range(1, 12)), "four horizons of what came before"


def test_the_answer_to_a_users_table(tmp_path) -> None:
    _, sidecar = made(tmp_path, {"a": list(range(1, 17)), "b": [5, 9] * 8})
    network = network_of(sidecar)
    given = table({"a": [3, "", 7, 8, 9], "new": [4, 4, 4]})
    (answer,) = TASK.answers(network, [given], sidecar)
    a, new = answer["forecasts"]
    assert (a["series"], a["steps"]) == ("a", ["2024-01-06", "2024-01-07", "2024-01-08"])
    assert (new["series"], list(new["quantiles"])) == ("new", [str(level) for level in TASK.LEVELS])
    assert new["quantiles"]["0.5"] == [4, 4, 4]
    json.dumps(answer)


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ("shop,day,sold,promotion", "a table without values"),
        ("day,sold\n", "no column `shop`"),
        (table({"a": ["x"]}), "'x'"),
    ],
)
def test_a_table_that_cannot_be_read(tmp_path, given, found) -> None:
    _, sidecar = made(tmp_path, {"a": list(range(16))})
    with pytest.raises(DataError, match=found):
        TASK.raw_example(given, sidecar)


@pytest.mark.parametrize("suite", paths.SUITES)
def test_what_an_answer_reads_is_what_the_training_read(suite) -> None:
    """A network that carries nothing has never seen more steps than its window."""
    for name in params.blocks(suite):
        block = params.block(suite, name)
        if block.task == "sales_forecast":
            for training in block.trainings:
                context = None if training.train.carry else training.train.window
                assert training.model["context"] == context, f"{suite}/{name}"
