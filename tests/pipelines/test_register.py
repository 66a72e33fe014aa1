"""A version a training, a champion only by merit, and a lost store filled again from the files."""

import json
import shutil
import sys
from pathlib import Path

import pytest

from pipelines import files, paths, register, tracking, ui
from rnn_core.errors import DataError
from tests.pipelines import spooled

pytestmark = pytest.mark.filterwarnings(spooled.NOLOAD)

ROOT = Path(__file__).resolve().parents[2]
NAME = "rnn-pos_tagging"
UNREACHABLE = "http://127.0.0.1:{port}"


@pytest.fixture
def root(tmp_path_factory: pytest.TempPathFactory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return spooled.machine(tmp_path_factory, tmp_path, monkeypatch)


def score_file() -> dict[str, object]:
    return dict(files.read_json(paths.score("sample", "pos_tagging")))


def aliases() -> dict[str, int]:
    model = tracking.connect().client.get_registered_model(NAME)
    return {alias: int(version) for alias, version in model.aliases.items()}


def test_a_version_is_made_once_and_answers_raw_text_without_pickle(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spooled.checkout(root, score=96.0, training_id="t")
    register.register("sample", "pos_tagging")
    assert f"{NAME} version 1, champion: there is no other one" in capsys.readouterr().out
    first = score_file()
    assert (first["score"], first["model_version"]) == (96.0, 1)
    register.register("sample", "pos_tagging")
    assert capsys.readouterr().out == ""
    assert score_file() == first

    client = tracking.connect().client
    (version,) = client.search_model_versions(f"name = '{NAME}'")
    assert version.run_id == first["run_id"]
    wanted = {"training_id": "t", "metric": "accuracy", "direction": "max", "score": "96.0", "test_digest": "t1"}
    assert wanted.items() <= version.tags.items()
    roles = "select t.value from tags t where t.key = 'role' order by 1"
    assert spooled.rows(root / "mlflow.db", roles) == [("baseline",), ("recurrent",)]
    evaluation = [file.path for file in client.list_artifacts(first["run_id"], "evaluation")]
    assert evaluation == ["evaluation/evaluated.json"]

    (folder,) = (root / "mlartifacts").glob("**/MLmodel")
    assert not [file for file in folder.parent.rglob("*") if "pickle" in file.name or file.suffix in (".pkl", ".pyc")]
    # Elsewhere: another working folder, without this checkout's code, which is gone.
    shutil.rmtree(root / "code")
    (root / "elsewhere").mkdir()
    load = f"""
import json, mlflow.pyfunc, pandas
model = mlflow.pyfunc.load_model("models:/{NAME}@champion")
answers = model.predict(pandas.DataFrame({{"text": ["one two", "three"]}}))
print(json.dumps([model.metadata.get_output_schema().input_names(), answers.to_dict("records")]))
"""
    process = spooled.python(load, root / "elsewhere", MLFLOW_ALLOW_PICKLE_DESERIALIZATION="false")
    said = process.communicate()[0]
    assert process.returncode == 0, said
    columns, answers = json.loads(said.splitlines()[-1])
    assert columns == ["longest", "upper", "words"]
    assert answers == [
        {"words": ["one", "two"], "longest": 3, "upper": "YES"},
        {"words": ["three"], "longest": 5, "upper": "YES"},
    ]


def test_a_version_that_cannot_be_compared_leaves_the_alias_where_it_is(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Stand-in networks, without test data: see test_promote.py for real ones."""
    for training_id in ("first", "second"):
        spooled.checkout(root, score=96.0, training_id=training_id)
        register.register("sample", "pos_tagging")
    assert "version 1 holds the alias, and the two cannot be compared: " in capsys.readouterr().out
    assert aliases() == {"champion": 1, "challenger": 2}
    assert score_file()["model_version"] == 2


@pytest.mark.parametrize(
    ("metric", "direction", "score", "best", "share"),
    [
        ("accuracy", "max", 90.0, 100.0, 0.9),
        ("perplexity", "min", 4.0, 2.0, 0.5),
        ("word_error_rate", "min", 5.0, 0.0, 0.95),
    ],
)
def test_scores_of_all_tasks_compare_by_the_same_names(
    metric: str, direction: str, score: float, best: float, share: float
) -> None:
    metrics = {
        "metric": metric,
        "direction": direction,
        "trainings": {"recurrent": {metric: score, "other": 1.0}},
        "limits": {"best_possible": best, "best_memoryless": 50.0},
        "gap_closed": {"recurrent": 0.7},
    }
    assert register.compared(metrics, "recurrent") == {
        "test": score,
        "best_possible": best,
        "best_memoryless": 50.0,
        "share_of_best": pytest.approx(share),
        "gap_closed": 0.7,
    }
    assert register.compared(metrics | {"limits": {}}, "recurrent") == {"test": score}


def test_a_lost_store_is_filled_again(
    root: Path, tmp_path_factory: pytest.TempPathFactory, capsys: pytest.CaptureFixture[str]
) -> None:
    spooled.checkout(root, score=96.0, training_id="t")
    register.register("sample", "pos_tagging")
    before = score_file()
    capsys.readouterr()
    register.missing("sample")
    assert capsys.readouterr() == ("", "")
    files.write_json(paths.score("sample", "pos_tagging"), {"score": 1.0, "run_id": "another machine's"})
    # Another address, as mlflow keeps deleted files open within a process.
    spooled.empty_store(tmp_path_factory, root / "new.db")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{root}/new.db")
        register.missing("sample")
    said = capsys.readouterr().out
    assert said.count("restored: sample/pos_tagging: run ") == 2
    assert f"{NAME} version 1, champion" in said
    assert spooled.curve(root / "new.db", "t") == spooled.wanted(spooled.POINTS)
    assert spooled.statuses(root / "new.db") == ["FINISHED", "FINISHED"]
    assert spooled.rows(root / "new.db", "select version from model_versions") == [(1,)]
    after = score_file()
    assert spooled.rows(root / "new.db", f"select count(*) from runs where run_uuid = '{after['run_id']}'") == [(1,)]
    assert {**after, "run_id": None} == {**before, "run_id": None}


def test_a_deleted_store_is_filled_again_by_a_fresh_process(root: Path) -> None:
    """As `make repro` does it, without a template: the file is gone."""
    spooled.checkout(root, score=96.0, training_id="t")
    (root / "mlflow.db").unlink()
    heal = f"""
from pathlib import Path
from pipelines import paths, register
paths.root = lambda: Path({str(root)!r})
register.missing("sample")
"""
    process = spooled.python(heal, root, PYTHONPATH=str(ROOT))
    said = process.communicate()[0]
    assert process.returncode == 0, said
    assert f"restored: sample/pos_tagging: {NAME} version 1" in said
    assert spooled.curve(root / "mlflow.db", "t") == spooled.wanted(spooled.POINTS)


def test_without_a_server_it_says_how_to_go_on(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    spooled.checkout(root, score=96.0, training_id="t")
    before = score_file()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", UNREACHABLE.format(port=ui.free_port(0)))
    monkeypatch.setattr(sys, "argv", ["register", "pos_tagging"])
    with pytest.raises(SystemExit) as raised:
        register.main()
    message = str(raised.value.code)
    assert message.startswith("error: tracking server http://127.0.0.1:")
    assert f"2 trainings with {spooled.POINTS + 3} points wait in " in message
    assert message.endswith("-m pipelines.register pos_tagging --suite sample")
    assert "\n" not in message
    assert score_file() == before

    monkeypatch.setattr(sys, "argv", ["register", "--missing"])
    register.main()
    assert capsys.readouterr().err.startswith("warning: tracking server http://127.0.0.1:")


def test_nothing_finished_costs_nothing(root: Path) -> None:
    code = f"""
import sys
from pathlib import Path
from pipelines import paths, register
paths.root = lambda: Path({str(root)!r})
register.missing("sample")
print([name for name in ("mlflow", "torch", "pandas") if name in sys.modules])
"""
    process = spooled.python(code, root, PYTHONPATH=str(ROOT))
    assert process.communicate()[0] == "[]\n"


@pytest.mark.parametrize(
    ("file", "change", "says"),
    [
        ("train/recurrent/run.json", {"training_id": "newer", "status": "finished"}, "not the one evaluated"),
        ("train/memoryless/run.json", {"training_id": "t-baseline", "status": "running"}, "not the one evaluated"),
        ("metrics.json", None, "cannot be read"),
    ],
)
def test_a_training_without_its_own_evaluation_is_refused(
    root: Path, file: str, change: dict[str, str] | None, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    spooled.checkout(root, score=96.0, training_id="t")
    path = root / "data/runs/sample/pos_tagging" / file
    if change:
        files.write_json(path, change)
    else:
        path.write_text("{half")
    with pytest.raises(DataError, match=says):
        register.register("sample", "pos_tagging")
    register.missing("sample")
    assert capsys.readouterr() == ("", "")


def test_an_evaluation_by_older_code_is_refused_and_sends_nothing(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spooled.checkout(root, score=96.0, training_id="t")
    file = paths.evaluation("sample", "pos_tagging") / "evaluated.json"
    files.write_json(file, {key: value for key, value in files.read_json(file).items() if key != "chosen"})
    with pytest.raises(DataError, match=r"no `chosen`: an evaluation by other code; run .* -m pipelines.evaluate"):
        register.read("sample", "pos_tagging")
    register.missing("sample")
    assert capsys.readouterr().out == ""
