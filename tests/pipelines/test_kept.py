"""What a worker writes on one machine is there on another: whole, once, and in order."""

import contextlib
import json
import shutil

import pytest

from pipelines import files, kept, points
from pipelines.storage import Storage

NAME = "sample/block/recurrent-key"


@pytest.fixture
def storage(tmp_path):
    return Storage(str(tmp_path / "far"))


class Machine:
    """A worker's folder on a machine of its own, written as a training writes it."""

    def __init__(self, folder):
        self.folder = folder
        folder.mkdir()
        self.recorder = None

    def point(self, step, loss):
        if self.recorder is None:
            self.recorder = points.Recorder(self.folder)
        self.recorder.add(step, float(step), {"train/loss": loss})

    def close(self):
        if self.recorder is not None:
            self.recorder.close()

    def best(self, update):
        with files.whole_folder(self.folder / "best") as aside:
            (aside / "model.safetensors").write_text(f"weights of {update}")

    def state(self, update, best):
        with files.whole_folder(self.folder / f"state/step-{update:08d}") as aside:
            (aside / "state.safetensors").write_text(f"state of {update}")
            files.write_json(aside / "state.json", {"facts": {"progress": {"best_update": best}}})
        return self.folder / f"state/step-{update:08d}"

    def finished(self, best):
        files.write_json(self.folder / "finished.json", {"best_update": best})


@pytest.fixture
def machine(tmp_path):
    """A machine by its name; all are gone at the end."""
    with contextlib.ExitStack() as until:

        def made(name):
            one = Machine(tmp_path / name)
            until.callback(one.close)
            return one

        yield made


def followed(storage, folder):
    follower = kept.Follower(storage, NAME, folder)
    folder.mkdir(exist_ok=True)
    follower.look()
    return [(p["step"], p["values"]["train/loss"]) for p in points.read(folder)]


def test_another_machine_goes_on_from_the_newest_state_and_no_point_is_lost_or_twice(storage, machine, tmp_path):
    one = machine("one")
    with kept.Sender(storage, NAME, one.folder) as sender:
        for update in (1, 2, 3, 4):
            one.point(update, 1 / update)
            one.best(update)
            sender.state(one.state(update, best=update))
        one.point(5, 0.2)
        sender._points()
    assert storage.names(f"{NAME}/state") == storage.names(f"{NAME}/best") == ["step-00000003", "step-00000004"]
    two = machine("two")
    kept.take(storage, NAME, two.folder, writes=True)
    assert (two.folder / "state/step-00000004/state.safetensors").read_text() == "state of 4"
    assert (two.folder / "best/model.safetensors").read_text() == "weights of 4"
    with kept.Sender(storage, NAME, two.folder) as sender:
        two.point(5, 0.2)  # computed again
        two.point(6, 0.1)
        two.finished(best=4)
        assert followed(storage, tmp_path / "early")[:5] == [(1, 1.0), (2, 0.5), (3, 1 / 3), (4, 0.25), (5, 0.2)]
        assert not (tmp_path / "early/finished.json").exists()
        sender.finish()
    assert [step for step, _ in followed(storage, tmp_path / "driver")] == [1, 2, 3, 4, 5, 6]
    assert files.read_json(tmp_path / "driver/finished.json") == {"best_update": 4}
    assert (tmp_path / "driver/best/model.safetensors").read_text() == "weights of 4"


def test_points_keep_their_order_though_they_are_of_one_step(storage, machine, tmp_path):
    one = machine("one")
    with kept.Sender(storage, NAME, one.folder) as sender:
        for step in range(1, 11):
            one.point(step, 1 / step)
            sender._points()
            one.recorder.add(step, float(step), {"validation/loss": 1 / step})
            sender._points()
    (tmp_path / "driver").mkdir()
    kept.Follower(storage, NAME, tmp_path / "driver").look()
    assert points.read(tmp_path / "driver") == points.read(one.folder)


def test_points_that_a_killed_worker_had_not_sent_are_sent_by_the_next_one_on_its_machine(storage, machine, tmp_path):
    one = machine("one")
    with kept.Sender(storage, NAME, one.folder) as sender:
        one.point(1, 1.0)
        sender._points()
    one.point(2, 0.5)
    one.close()
    with kept.Sender(storage, NAME, one.folder) as sender:
        sender._points()
    assert followed(storage, tmp_path / "driver") == [(1, 1.0), (2, 0.5)]
    assert len(storage.names(f"{NAME}/points")) == 2


def test_a_damaged_newest_state_is_passed_over_with_a_warning(storage, machine, tmp_path):
    one = machine("one")
    with kept.Sender(storage, NAME, one.folder) as sender:
        sender.state(one.state(1, best=0))
        sender.state(one.state(2, best=0))
    (tmp_path / "far" / NAME / "state/step-00000002/state.safetensors").write_text("other")
    two = machine("two")
    with pytest.warns(UserWarning, match="step-00000002 is passed over: .*its checksum is another"):
        kept.take(storage, NAME, two.folder, writes=False)
    assert [path.name for path in (two.folder / "state").iterdir()] == ["step-00000001"]


def test_a_storage_that_is_away_holds_up_nothing_and_gets_all_of_it_later(storage, machine, tmp_path, capsys):
    one = machine("one")
    with kept.Sender(storage, NAME, one.folder) as sender:
        (tmp_path / "far").mkdir()
        (tmp_path / "far/sample").write_text("in the way")
        one.point(1, 1.0)
        sender.state(one.state(1, best=0))
        sender.state(one.state(2, best=0))
        assert capsys.readouterr().err.count("storage: will be tried again: ") == 1
        (tmp_path / "far/sample").unlink()
        sender.state(one.state(3, best=0))
    assert followed(storage, tmp_path / "driver") == [(1, 1.0)]
    assert storage.names(f"{NAME}/state") == ["step-00000003"]


def test_a_users_mistake_reaches_whoever_started_the_training(storage, tmp_path):
    told = {"type": "DataError", "where": "update 3", "found": "x", "allowed": "y"}
    kept.tell_error(storage, NAME, told)
    followed(storage, tmp_path / "driver")
    (path,) = (tmp_path / "driver").glob("error-*.json")
    assert json.loads(path.read_text()) == told
    shutil.rmtree(tmp_path / "driver")
    for file in kept.BEGUN:
        files.write_json(tmp_path / "driver" / file, {"training_id": "t"})
    kept.begins(storage, NAME, tmp_path / "driver")
    followed(storage, tmp_path / "driver")
    assert not list((tmp_path / "driver").glob("error-*.json"))
    kept.begun(storage, NAME, tmp_path / "elsewhere")
    assert files.read_json(tmp_path / "elsewhere/run.json") == {"training_id": "t"}
