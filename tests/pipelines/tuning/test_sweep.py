"""A real sweep, small: what it says, what it leaves, where its runs are; and what stops one before it starts."""

import os
import re
import shutil
import signal
import time
from pathlib import Path

import pytest
import yaml

from pipelines import cli, files, params, paths, sweep
from pipelines.tuning import plan
from rnn_core.arrow import read_split
from rnn_core.errors import ConfigError, DataError
from tests.pipelines import small_sweep as small
from tests.pipelines import spooled

TRIALS = 2


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    """A checkout after a sweep, and what the sweep said."""
    home = small.checkout(tmp_path_factory.mktemp("swept") / "home", small.block(small.SPACE))
    spooled.empty_store(tmp_path_factory, home / "mlflow.db")
    return home, small.run(home, "small", "--trials", str(TRIALS))


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """One that nothing ran in, for this process."""
    home = small.checkout(tmp_path / "home", small.block(small.SPACE))
    monkeypatch.setattr(paths, "root", lambda: home)
    monkeypatch.setenv("DVC_ROOT", str(home))
    return home


def folder_of(home: Path) -> Path:
    return next((home / "data/sweeps/sample/small").glob("*/trials.json")).parent


def trials_of(home: Path) -> list[dict]:
    return files.read_json(folder_of(home) / "trials.json")


def test_a_sweep_says_how_far_it_is_and_which_was_best(swept):
    home, said = swept
    assert re.search(r"trial 1 of 2: model.cell lstm, model.dropout 0.3, train.optimizer.rate 0.01; no score yet", said)
    assert re.search(r"trial \d (finished|stopped), perplexity [\d.]+; best so far perplexity [\d.]+ by trial", said)
    assert re.search(r"about \d+:\d\d left", said)
    trials = trials_of(home)
    assert [trial["number"] for trial in trials] == [1, 2]
    assert {trial["state"] for trial in trials} <= {"finished", "stopped"}
    assert len({tuple(trial["settings"].items()) for trial in trials}) == TRIALS
    best = min(trials, key=lambda trial: trial["score"])
    rows = [line for line in said.splitlines() if re.match(r"\d  ", line)]
    assert rows[0].split()[:2] == [str(best["number"]), f"{best['score']:.6g}"]
    assert len(rows) == TRIALS


def test_the_winner_is_a_block_that_params_take(swept):
    home, said = swept
    text = (home / "data/sweeps/sample/small/winner.yaml").read_text()
    assert text in said
    best = min(trials_of(home), key=lambda trial: trial["score"])
    own = yaml.safe_load(text)["blocks"]["small"]
    base = yaml.safe_load((home / "params.yaml").read_text())["base"]
    flat = params.parse("sample", "small", own, base, "winner").recurrent[0].flat()
    assert {name: flat[name] for name in small.SPACE} == best["settings"]
    assert yaml.safe_load((home / "params.yaml").read_text())["blocks"]["small"]["model"]["dropout"] == 0.3


def test_the_score_is_that_of_validation_data_and_the_test_split_was_not_opened(swept):
    home, _ = swept
    with pytest.raises(DataError, match="test-00000"):
        read_split(home / "data/arrow/sample/small", "test", "language_model")
    for trial in trials_of(home):
        lines = (folder_of(home) / trial["folder"] / "points.jsonl").read_text().splitlines()
        points = [yaml.safe_load(line)["values"].get("validation/perplexity") for line in lines]
        scores = [score for score in points if score is not None][: trial["validations"]]
        assert trial["score"] == min(scores)


def test_trials_are_runs_below_the_run_of_the_sweep(swept):
    home, _ = swept
    runs = spooled.rows(
        home / "mlflow.db",
        "select r.run_uuid, r.status, max(case t.key when 'role' then t.value end), "
        "max(case t.key when 'mlflow.parentRunId' then t.value end) from runs r join tags t on t.run_uuid = r.run_uuid "
        "group by r.run_uuid",
    )
    (parent,) = [run for run, _, role, _ in runs if role == "sweep"]
    assert [above for _, _, role, above in runs if role == "trial"] == [parent] * TRIALS
    assert {status for _, status, _, _ in runs} == {"FINISHED"}
    of_parent = f"where run_uuid = '{parent}'"
    results = dict(spooled.rows(home / "mlflow.db", f"select key, value from latest_metrics {of_parent}"))
    best = min(trial["score"] for trial in trials_of(home))
    assert (results["training/trials"], results["best/perplexity"]) == (TRIALS, pytest.approx(best))
    assert results["validation/perplexity"] == pytest.approx(best)
    given = dict(spooled.rows(home / "mlflow.db", f"select key, value from params {of_parent}"))
    assert yaml.safe_load(given["space.model.cell"]) == ["lstm", "gru"]
    names = spooled.rows(home / "mlflow.db", f"select distinct key from latest_metrics where run_uuid != '{parent}'")
    assert {"train/loss", "validation/perplexity", "best/perplexity", "training/seconds"} <= {key for (key,) in names}


def test_a_sweep_that_is_done_repeats_nothing_and_fills_a_server_that_lost_it(swept, tmp_path, tmp_path_factory):
    home = Path(shutil.copytree(swept[0], tmp_path / "home"))
    spooled.empty_store(tmp_path_factory, home / "mlflow.db")
    shutil.rmtree(home / "mlartifacts", ignore_errors=True)
    before = trials_of(home)
    said = small.run(home, "small", "--trials", str(TRIALS))
    assert f"{TRIALS} trials are done already" in said
    assert trials_of(home) == before
    assert len(spooled.statuses(home / "mlflow.db")) == TRIALS + 1


def test_another_space_begins_anew_and_says_so(swept, tmp_path, monkeypatch, capsys):
    home = Path(shutil.copytree(swept[0], tmp_path / "home"))
    small.write_params(home, small.block({"model.cell": ["gru", "elman"]}))
    monkeypatch.setattr(paths, "root", lambda: home)
    monkeypatch.setenv("DVC_ROOT", str(home))
    new = plan.prepare("sample", "small")
    assert new.folder != folder_of(home)
    said = capsys.readouterr().out
    assert f"{folder_of(home)} is a sweep from before the space changed and stays as it is; a new one begins in" in said
    assert plan.prepare("sample", "small").folder == new.folder
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("space", "told"),
    [
        (
            {"model.hiden_size": [4, 8]},
            r"sweep.model.hiden_size, value 4: model.hiden_size: unknown key \(did you",
        ),
        ({"train.rate": [0.1]}, "small.sweep.train.rate, value 0.1: .*train.rate: unknown key.*allowed are"),
        ({"model.cell": ["lstm", "lsmt"]}, "sweep.model.cell, value 'lsmt': .*found lsmt; allowed are elman"),
        ({"model.dropout": {"low": 0.0, "high": 1.5}}, "value 1.5: .*dropout.*a rate from 0 to below 1 is wanted"),
        ({"train.window": [5, 20]}, "value 20: .*k2 is 12, wanted is at least window, 20"),
    ],
)
def test_a_name_or_value_that_the_block_does_not_take_is_told(checkout, space, told):
    small.write_params(checkout, small.block(space))
    with pytest.raises(ConfigError, match=told):
        plan.prepare("sample", "small")
    assert not (checkout / "data/sweeps").exists()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["smal"], r"no block 'smal' \(did you mean `small`\?\)"),
        (["small", "--trials", "0"], "TRIALS: found '0'; a whole number from 1 on is wanted"),
        (["small", "--trials", "many"], "TRIALS: found 'many'"),
        ([""], "TASK: missing; there are small"),
    ],
)
def test_a_mistake_in_the_command_is_told(checkout, monkeypatch, arguments, told):
    monkeypatch.setattr(cli.sys, "argv", ["sweep", *arguments])
    with pytest.raises(SystemExit, match=told):
        sweep.main()


def test_a_block_without_data_is_told_with_the_command(checkout):
    shutil.rmtree(checkout / "data/arrow")
    with pytest.raises(DataError, match="no data yet; run .* dvc repro dvc.yaml:preprocess@small"):
        plan.prepare("sample", "small")


@pytest.mark.long
def test_settings_that_cannot_be_trained_with_are_told_and_cost_the_sweep_nothing_else(tmp_path, tmp_path_factory):
    """A rate at which the loss is no number, and two values that go with the others but not with each other."""
    space = {"train.optimizer.rate": [0.01, 1.0e38], "train.window": [5, 12], "train.k2": [12, 5]}
    home = small.checkout(tmp_path / "home", small.block(space, epochs=1))
    spooled.empty_store(tmp_path_factory, home / "mlflow.db")
    said = small.run(home, "small", "--trials", "20")
    assert "the space has 8 points, each is tried once" in said
    trials = {tuple(trial["settings"][name] for name in space): trial for trial in trials_of(home)}
    assert len(trials) == 8
    for (rate, window, k2), trial in trials.items():
        if (window, k2) == (12, 5):
            assert (trial["state"], trial["folder"]) == ("refused", "")
            assert "k2 is 5, wanted is at least window, 12" in trial["why"]
        elif rate == 1.0e38:
            assert trial["state"] == "refused"
            assert "loss" in trial["why"]
        else:
            assert trial["state"] in ("finished", "stopped")
    assert sorted(spooled.statuses(home / "mlflow.db")) == ["FAILED"] * 3 + ["FINISHED"] * 4


@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT], ids=lambda how: how.name)
def test_a_sweep_that_is_stopped_goes_on(tmp_path, tmp_path_factory, how):
    """What had ended is not repeated, what was under way goes on from its state."""
    home = small.checkout(tmp_path / "home", small.block(small.SPACE, epochs=3))
    spooled.empty_store(tmp_path_factory, home / "mlflow.db")
    with small.started(home, "small", "--trials", "3", RNN_THREADS=str(os.cpu_count())) as process:
        for line in process.stdout:
            if "trial 2 of 3" in line:
                break
        while len(trials_of(home)) < 2:
            time.sleep(0.05)
        second = folder_of(home) / trials_of(home)[1]["folder"]
        while not list(second.glob("state/step-*")):
            assert process.poll() is None
            time.sleep(0.05)
        os.killpg(process.pid, how)
        rest, _ = process.communicate()
    if how == signal.SIGINT:
        assert process.returncode == 130
        assert "interrupted; `make sweep SUITE=sample TASK=small TRIALS=3` goes on where it stopped" in rest
    ended, under_way = trials_of(home)[:2]
    points = (second / "points.jsonl").read_bytes()
    assert under_way["state"] == "running"
    said = small.run(home, "small", "--trials", "3", RNN_THREADS=str(os.cpu_count()))
    assert "trial 1 of 3" not in said
    assert trials_of(home)[0] == ended
    assert "trial 2 of 3" in said
    assert (second / "points.jsonl").read_bytes().startswith(points[: points.rfind(b"\n") + 1])
    assert {trial["state"] for trial in trials_of(home)} <= {"finished", "stopped"}
    assert len(trials_of(home)) == 3
    assert set(spooled.statuses(home / "mlflow.db")) == {"FINISHED"}
