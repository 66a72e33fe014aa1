"""Every point reaches the server once, whatever the server does meanwhile, and the training never waits for it."""

import contextlib
import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipelines import tracking, ui
from pipelines.tracking import environment, spool
from rnn_core.errors import DataError
from tests.pipelines import spooled

pytestmark = pytest.mark.filterwarnings(spooled.NOLOAD)

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """A real server on a free port: its address and its store's file."""
    store = spooled.empty_store(tmp_path_factory, tmp_path_factory.mktemp("served") / "mlflow.db")
    with pytest.MonkeyPatch.context() as monkeypatch:
        spooled.patient(monkeypatch)
        with ui.serve(f"sqlite:///{store}", ui.free_port(0)) as (address, _):
            yield address, store


@pytest.fixture
def local(tmp_path_factory: pytest.TempPathFactory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return spooled.own_checkout(tmp_path_factory, tmp_path, monkeypatch)


@pytest.mark.parametrize("where", ["server", "file"])
def test_a_double_send_leaves_one_of_each(
    where: str, served: tuple[str, Path], local: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = served[1] if where == "server" else local / "mlflow.db"
    if where == "server":
        monkeypatch.setenv("MLFLOW_TRACKING_URI", served[0])
    folder = spooled.training(local / where, where, points=spooled.POINTS, workers=None)
    tracker = tracking.connect()
    first = tracker.send(folder, scores={"accuracy": 95.0})
    assert first.new
    assert tracker.send(folder, scores={"accuracy": 95.0}) == tracking.tracker.Sent(run_id=first.run_id, new=False)
    # Another process that knows of no watermark sends all of it again.
    assert tracker.send_points(first.run_id, folder, 0) == (folder / "points.jsonl").stat().st_size
    assert spooled.curve(store, where) == spooled.wanted(spooled.POINTS)

    run = tracker.client.get_run(first.run_id)
    assert (run.info.status, run.info.end_time - run.info.start_time) == ("FINISHED", 60_000)
    assert run.info.start_time == 1767261600000
    assert run.data.params["long"] == "x" * 6000
    assert run.data.params["train.seed"] == "1"
    assert run.data.metrics["test/accuracy"] == 95.0
    assert run.data.metrics["best/accuracy"] == 96.0
    assert run.data.metrics["training/pad_share"] == 0.01
    assert run.data.metrics["training/character_pad_share"] == 0.02
    expected = {"role": "recurrent", "cell": "lstm", "suite": "sample", "mlflow.source.git.commit": "abc"}
    assert expected.items() <= run.data.tags.items()
    (data,) = run.inputs.dataset_inputs
    assert (data.dataset.name, data.dataset.digest) == ("sample", "d" * 36)
    assert [file.path for file in tracker.client.list_artifacts(first.run_id, "pictures")] == ["pictures/curve.png"]


def test_a_new_score_is_shown_and_the_old_one_kept(local: Path) -> None:
    folder = spooled.training(local / "training", "t")
    tracker = tracking.connect()
    run_id = tracker.send(folder, scores={"accuracy": 95.0}).run_id
    assert tracker.send(folder, scores={"accuracy": 90.0}).new
    history = [metric.value for metric in tracker.client.get_metric_history(run_id, "test/accuracy")]
    assert history == [95.0, 90.0]
    assert tracker.client.get_run(run_id).data.metrics["test/accuracy"] == 90.0


def test_facts_known_at_the_end_only_become_tags_then(local: Path) -> None:
    folder = spooled.training(local / "training", "t", status="running", finished=None)
    tracker = tracking.connect()
    run_id = tracker.start(folder)
    assert tracker.client.get_run(run_id).info.status == "RUNNING"
    spooled.training(folder, "t", points=0, workers=2)
    assert tracker.send(folder).run_id == run_id
    run = tracker.client.get_run(run_id)
    assert (run.info.status, run.data.tags["workers"]) == ("FINISHED", "2")


def test_a_deleted_experiment_comes_back(local: Path) -> None:
    tracker = tracking.connect()
    tracker.send(spooled.training(local / "one", "one"))
    tracker.client.delete_experiment(tracker.client.get_experiment_by_name("sample/pos_tagging").experiment_id)
    run_id = tracker.send(spooled.training(local / "two", "two")).run_id
    assert tracker.client.get_run(run_id).data.tags["training_id"] == "two"


def test_dvc_names_the_data_where_it_can(local: Path) -> None:
    folder = spooled.training(local / "training", "t")
    assert spool.digest(spool.read(folder)) == "d" * 36
    md5 = "0123456789abcdef0123456789abcdef.dir"
    outs = f"outs: [{{path: data/arrow/sample/pos_tagging, md5: {md5}}}]"
    (local / "dvc.lock").write_text(f"stages:\n  fetch@x: {{cmd: a}}\n  preprocess@x: {{{outs}}}\n")
    assert spool.digest(spool.read(folder)) == md5


def test_a_damaged_line_is_named(local: Path) -> None:
    folder = spooled.training(local / "training", "t")
    with (folder / "points.jsonl").open("a") as file:
        file.write("{not a point}\n")
    with pytest.raises(DataError, match=r"points.jsonl, byte \d+: no point"):
        tracking.connect().send(folder)


def test_a_line_still_being_written_waits(local: Path) -> None:
    folder = spooled.training(local / "training", "t", points=2)
    with (folder / "points.jsonl").open("a") as file:
        file.write('{"step": 2, "ti')
    ((values, end),) = spool.batches(folder / "points.jsonl", 0)
    assert [value.step for value in values if value.key == "train/loss"] == [0, 1]
    assert (folder / "points.jsonl").read_bytes()[end:] == b'{"step": 2, "ti'


@pytest.mark.parametrize(
    ("error", "status"), [(None, "FINISHED"), (ValueError, "FAILED"), (KeyboardInterrupt, "KILLED")]
)
def test_a_run_says_how_its_training_ended(local: Path, error: type[BaseException] | None, status: str) -> None:
    folder = spooled.training(local / "training", "t", status="running", finished=None)
    with pytest.raises(error) if error else contextlib.nullcontext(), tracking.Live(folder, interval=0.05):
        spooled.until(lambda: len(spooled.curve(local / "mlflow.db", "t")) == 3)
        assert spooled.statuses(local / "mlflow.db") == ["RUNNING"]
        spooled.add_points(folder, 3, 10)
        if error:
            raise error
    spooled.until(lambda: spooled.statuses(local / "mlflow.db") == [status])
    assert spooled.curve(local / "mlflow.db", "t") == spooled.wanted(10)
    # Resumed: the same run, open again.
    live = tracking.Live(folder, interval=0.05)
    spooled.until(lambda: spooled.statuses(local / "mlflow.db") == ["RUNNING"])
    assert live.close("FINISHED", timeout=300)
    assert spooled.statuses(local / "mlflow.db") == ["FINISHED"]


def test_a_server_that_never_answers_holds_nobody(
    local: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{silent.getsockname()[1]}")
        monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
        monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
        folder = spooled.training(local / "training", "t")
        live = tracking.Live(folder, interval=0.05)
        spooled.add_points(folder, 3, 10)
        assert not live.close("FINISHED", timeout=0.2)
        assert "`register` sends it" in capsys.readouterr().err
        live._thread.join()
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    tracking.connect().send(folder)
    assert spooled.curve(local / "mlflow.db", "t") == spooled.wanted(10)


@pytest.mark.outage
def test_a_server_that_comes_late_and_is_killed_loses_no_point(local: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    port, store = ui.free_port(0), local / "mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{port}")
    folder = spooled.training(local / "training", "t", status="running", finished=None)
    live = tracking.Live(folder, interval=0.1)
    spooled.until(lambda: live._away)
    with ui.serve(f"sqlite:///{store}", port) as (_, process):
        spooled.until(lambda: len(spooled.curve(store, "t")) == 3)
        spooled.add_points(folder, 3, 500)
        os.killpg(process.pid, signal.SIGKILL)
    spooled.add_points(folder, 500, 1000)
    spooled.until(lambda: live._away)
    with ui.serve(f"sqlite:///{store}", port):
        assert live.close("FINISHED", timeout=300)
    assert spooled.curve(store, "t") == spooled.wanted(1000)
    assert spooled.statuses(store) == ["FINISHED"]


def test_an_unreachable_server_is_named_without_its_password(monkeypatch: pytest.MonkeyPatch) -> None:
    port = ui.free_port(0)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://me:secret@127.0.0.1:{port}")
    with pytest.raises(tracking.TrackingError, match=rf"tracking server http://127.0.0.1:{port}: cannot be") as raised:
        tracking.connect()
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize("address", ["./mlruns", "file:///tmp/mlruns"])
def test_a_file_store_is_refused(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    with pytest.raises(tracking.TrackingError, match="MLFLOW_TRACKING_URI: found"):
        tracking.connect()


def test_a_store_in_a_copy_of_the_checkout_is_the_main_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    monkeypatch.chdir(tmp_path.parent)
    assert environment.uri() == f"sqlite:///{tmp_path}/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///other.db")
    assert environment.uri() == f"sqlite:///{tmp_path}/other.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:////elsewhere/other.db")
    assert environment.uri() == "sqlite:////elsewhere/other.db"
    assert environment.artifacts(environment.uri()) == Path("/elsewhere/mlartifacts")


def test_two_processes_make_one_store(tmp_path: Path) -> None:
    """Beside what a killed process left half-made."""
    (tmp_path / "mlflow.db.new").write_bytes(b"half a store")
    spooled.training(tmp_path / "training", "t")
    send = "from pathlib import Path; from pipelines import tracking; tracking.connect().send(Path('training'))"
    variables = {"DVC_ROOT": str(tmp_path), "PYTHONPATH": str(ROOT), "MLFLOW_TRACKING_URI": ""}
    processes = [spooled.python(send, tmp_path, **variables) for _ in range(2)]
    said = [process.communicate()[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], said
    assert spooled.curve(tmp_path / "mlflow.db", "t") == spooled.wanted(3)
    assert spooled.statuses(tmp_path / "mlflow.db") == ["FINISHED"]
    assert not list(tmp_path.glob("mlflow.db?*"))


def test_a_damaged_store_says_so(local: Path) -> None:
    (local / "mlflow.db").write_bytes(b"not a database, though long enough to be looked at" * 10)
    with pytest.raises(tracking.TrackingError, match=r"mlflow.db: .*not a database"):
        tracking.connect()
