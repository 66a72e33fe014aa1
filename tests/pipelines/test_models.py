"""A registered version is found by alias and number, and its files come whole and verified or not at all."""

import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import pytest

from pipelines import files, paths, register, tracking, ui
from pipelines.tracking import environment, models
from rnn_core.errors import DataError
from tests.pipelines import spooled

pytestmark = pytest.mark.filterwarnings(spooled.NOLOAD)


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three versions of one block: the first is champion, the third challenger."""
    root = tmp_path_factory.mktemp("machine")
    with pytest.MonkeyPatch.context() as patch:
        spooled.machine(tmp_path_factory, root, patch)
        for training_id, score in (("a", 96.0), ("b", 95.0), ("c", 94.0)):
            spooled.checkout(root, score=score, training_id=training_id, upper=training_id)
            register.register("sample", "pos_tagging")
    return root


@pytest.fixture
def tracker(machine: Path, monkeypatch: pytest.MonkeyPatch) -> tracking.Tracker:
    monkeypatch.setenv("DVC_ROOT", str(machine))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{machine}/mlflow.db")
    shutil.rmtree(paths.models(), ignore_errors=True)
    return tracking.connect()


@pytest.mark.parametrize(
    ("wanted", "version", "upper"), [("champion", 1, "a"), ("challenger", 3, "c"), ("2", 2, "b"), ("3", 3, "c")]
)
def test_a_version_by_alias_or_number(tracker: tracking.Tracker, wanted: str, version: int, upper: str) -> None:
    brought = tracker.bring("sample", "pos_tagging", wanted)
    assert (brought.name, brought.version) == ("rnn-pos_tagging", version)
    assert brought.aliases == {1: ("champion",), 2: (), 3: ("challenger",)}[version]
    assert [path.name for path in brought.folder.iterdir()] == ["model.json"]
    assert files.read_json(brought.folder / "model.json") == {"upper": upper}
    assert brought.folder == paths.models() / files.sha256_folder(brought.folder)


def test_what_is_not_there_is_answered_with_what_is(tracker: tracking.Tracker) -> None:
    listed = r"aliases: challenger \(version 3\), champion \(version 1\); versions: 1, 2, 3"
    for wanted in ("previous", "4", "champ", "0"):
        with pytest.raises(DataError, match=f"rnn-pos_tagging: no alias or version `{wanted}`; {listed}"):
            tracker.bring("sample", "pos_tagging", wanted)
    with pytest.raises(DataError, match="rnn-tagging: no registered model; registered are: rnn-pos_tagging; `make"):
        tracker.bring("sample", "tagging", "champion")
    with pytest.raises(DataError, match="rnn-public-pos_tagging: no registered model; registered are: none"):
        tracker.bring("public", "pos_tagging", "champion")


def test_files_come_once_and_damaged_ones_again(tracker: tracking.Tracker, monkeypatch: pytest.MonkeyPatch) -> None:
    with ThreadPoolExecutor() as pool:
        first, second = pool.map(lambda _: tracker.bring("sample", "pos_tagging", "champion"), range(2))
    assert first == second
    (first.folder / "model.json").write_text("{}")
    assert tracker.bring("sample", "pos_tagging", "champion") == first
    assert files.read_json(first.folder / "model.json") == {"upper": "a"}
    monkeypatch.setattr(models, "_download", None)
    assert tracker.bring("sample", "pos_tagging", "1") == first
    assert [path.name for path in paths.models().iterdir()] == [first.folder.name]


def test_files_that_are_not_those_registered_are_never_used(
    tracker: tracking.Tracker, monkeypatch: pytest.MonkeyPatch
) -> None:
    def half(client: object, uri: str, version: object, into: Path) -> None:
        (into / "model.json").write_text("{")

    monkeypatch.setattr(models, "_download", half)
    with pytest.raises(DataError, match="rnn-pos_tagging version 2: files with the sha256 .*, as registered"):
        tracker.bring("sample", "pos_tagging", "2")
    assert list(paths.models().iterdir()) == []


def test_a_version_without_a_digest_says_how_to_get_one(tracker: tracking.Tracker, machine: Path) -> None:
    tracker.client.create_model_version("rnn-pos_tagging", f"file://{machine}/elsewhere")
    with pytest.raises(DataError, match="version 4 tells no `model_sha256`: .*; `make repro` registers"):
        tracker.bring("sample", "pos_tagging", "4")
    tracker.client.delete_model_version("rnn-pos_tagging", "4")


def test_an_older_version_gets_its_digest_when_its_training_is_registered_again(
    tracker: tracking.Tracker, machine: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(paths, "root", lambda: machine)
    tracker.client.delete_model_version_tag("rnn-pos_tagging", "3", models.DIGEST)
    register.register("sample", "pos_tagging")
    assert capsys.readouterr().out == ""
    assert tracker.bring("sample", "pos_tagging", "3").version == 3


@pytest.mark.long
def test_through_a_server_that_hands_out_the_files_itself(
    tmp_path_factory: pytest.TempPathFactory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = spooled.machine(tmp_path_factory, tmp_path, monkeypatch)
    monkeypatch.chdir(root)  # where such a server keeps them
    monkeypatch.setattr(environment, "artifacts", lambda _: SimpleNamespace(as_uri=lambda: "mlflow-artifacts:/"))
    spooled.checkout(root, score=96.0, training_id="a", upper="remote")
    with ui.serve(f"sqlite:///{root}/mlflow.db", ui.free_port(0)) as (address, _):
        monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
        register.register("sample", "pos_tagging")
        brought = tracking.connect().bring("sample", "pos_tagging", "champion")
    assert [path.name for path in brought.folder.iterdir()] == ["model.json"]
    assert files.read_json(brought.folder / "model.json") == {"upper": "remote"}
