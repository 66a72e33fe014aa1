"""Trainings and data in a store that speaks S3: a real server, on loopback."""

import subprocess
import sys

import pytest

from pipelines import paths, shards
from pipelines.shards import Cache, Shard, Shards
from pipelines.storage import MANIFEST, Storage
from rnn_core.errors import DataError
from tests import object_store


@pytest.fixture(scope="module")
def store():
    with object_store.served() as there:
        yield there


@pytest.fixture
def access(monkeypatch):
    for name, value in object_store.ACCESS.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def folder(tmp_path):
    one = tmp_path / "one"
    (one / "inner").mkdir(parents=True)
    (one / "a.bin").write_bytes(bytes(range(256)) * 40_000)
    (one / "inner/b.txt").write_text("b")
    return one


def content(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_folder_there_and_back(store, access, folder, tmp_path):
    storage = Storage(store.address("there"))
    storage.put(folder, "training/state/step-00000002")
    storage.put(folder, "training/state/step-00000010")
    assert storage.names("training/state") == ["step-00000002", "step-00000010"]
    assert storage.names("another") == []
    storage.get("training/state/step-00000002", tmp_path / "back")
    assert content(tmp_path / "back") == content(folder)
    storage.remove("training/state/step-00000002")
    storage.remove("training/state/step-00000002")
    assert storage.names("training/state") == ["step-00000010"]


def test_what_has_no_manifest_or_other_bytes_is_not_taken_for_whole(store, access, folder, tmp_path):
    storage = Storage(store.address("damaged"))
    storage.put(folder, "one")
    with store.system.open_output_stream(f"{object_store.BUCKET}/damaged/one/a.bin") as out:
        out.write(b"other")
    with pytest.raises(DataError, match="s3://bucket/damaged/one/a.bin: its checksum is another"):
        storage.get("one", tmp_path / "back")
    store.system.delete_file(f"{object_store.BUCKET}/damaged/one/{MANIFEST}")
    assert storage.names("") == []
    with pytest.raises(DataError, match="s3://bucket/damaged/one: cannot be read"):
        storage.get("one", tmp_path / "back")
    assert not (tmp_path / "back").exists()


def test_a_store_that_does_not_answer_or_lacks_the_bucket_is_told_without_its_key(store, access, folder):
    with pytest.raises(DataError, match=r"s3://another/there/one: cannot be written: .*\(RNN_STORAGE\)") as told:
        Storage(store.address("there").replace("bucket", "another")).put(folder, "one")
    assert object_store.ACCESS["AWS_SECRET_ACCESS_KEY"] not in str(told.value)
    with object_store.served() as gone:
        storage = Storage(gone.address("there"))
    with pytest.raises(DataError, match=r"s3://bucket/there/one: cannot be written: .*\(RNN_STORAGE\)"):
        storage.put(folder, "one")


def test_data_that_dvc_pushed_come_by_their_content(store, access, tmp_path, monkeypatch):
    """`dvc push` writes them, a machine that has nothing but the remote's address reads them."""
    home = tmp_path / "home"
    arrow = home / "arrow"
    arrow.mkdir(parents=True)
    for name, text in {"train-0.arrow": "train", "test-0.arrow": "test", "summary.json": "{}"}.items():
        (arrow / name).write_text(text)

    def dvc(*arguments):
        done = subprocess.run([sys.executable, "-m", "dvc", *arguments], cwd=home, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr

    dvc("init", "--no-scm", "-q")
    (home / ".dvc/config.local").write_text(store.dvc_remote("remote"))
    dvc("add", "-q", "arrow")
    dvc("push", "-q")
    monkeypatch.setattr(paths, "home", lambda: home)
    digest = (home / "arrow.dvc").read_text().partition("md5: ")[2].split()[0]
    monkeypatch.setattr(shards.dvc_lock, "md5", lambda suite, folder: digest)
    known = shards.known("sample", arrow)
    assert known is not None
    assert isinstance(known, Shards)
    with Cache(tmp_path / "cache", 1000).holding(known, splits=("train", "validation")) as view:
        assert content(view) == {"train-0.arrow": b"train", "summary.json": b"{}"}
    missing = Shards(remote=known.remote, files=(Shard("train-0.arrow", "0" * 32, 5),))
    with (
        pytest.raises(DataError, match="s3://bucket/remote/files/md5/00/0{30}: cannot be read"),
        Cache(tmp_path / "cache", 1000).holding(missing, splits=("train",)),
    ):
        raise AssertionError("it is not there")
