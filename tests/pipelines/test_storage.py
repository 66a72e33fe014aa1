"""Stored folders: whole or not there, compared on the way back, and named where they are damaged."""

import json

import pytest

from pipelines.storage import MANIFEST, Storage
from rnn_core.errors import ConfigError, DataError


@pytest.fixture
def folder(tmp_path):
    one = tmp_path / "one"
    (one / "inner").mkdir(parents=True)
    (one / "a.bin").write_bytes(bytes(range(256)) * 1000)
    (one / "inner/b.txt").write_text("b")
    return one


@pytest.fixture
def storage(tmp_path):
    return Storage(str(tmp_path / "far"))


def content(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_folder_there_and_back(storage, folder, tmp_path):
    storage.put(folder, "training/state/step-00000002")
    storage.put(folder, "training/state/step-00000010")
    assert storage.names("training/state") == ["step-00000002", "step-00000010"]
    assert storage.names("training") == ["state/step-00000002", "state/step-00000010"]
    assert storage.names("another") == []
    storage.get("training/state/step-00000002", tmp_path / "back")
    assert content(tmp_path / "back") == content(folder)
    storage.remove("training/state/step-00000002")
    storage.remove("training/state/step-00000002")
    assert storage.names("training/state") == ["step-00000010"]


def test_what_has_no_manifest_yet_is_not_there(storage, folder, tmp_path):
    storage.put(folder, "half")
    (tmp_path / "far/half" / MANIFEST).unlink()
    assert storage.names("") == []
    with pytest.raises(DataError, match="far/half: cannot be read: .*a storage .* that answers"):
        storage.get("half", tmp_path / "back")
    assert not (tmp_path / "back").exists()


def test_a_damaged_file_is_asked_for_again_and_then_named(storage, folder, tmp_path, monkeypatch):
    storage.put(folder, "one")
    fetched = []
    fetch = Storage._fetch

    def spoilt_once(self, name, target):
        fetched.append(name)
        return "other" if fetched.count(name) == 1 else fetch(self, name, target)

    with monkeypatch.context() as once:
        once.setattr(Storage, "_fetch", spoilt_once)
        storage.get("one", tmp_path / "back")
    assert content(tmp_path / "back") == content(folder)
    (tmp_path / "far/one/a.bin").write_bytes(b"other")
    with pytest.raises(DataError, match="far/one/a.bin: its checksum is another"):
        storage.get("one", tmp_path / "again")
    assert not (tmp_path / "again").exists()


def test_the_manifest_says_what_a_person_wants_to_know(storage, folder, tmp_path):
    storage.put(folder, "one")
    told = json.loads((tmp_path / "far/one" / MANIFEST).read_text())
    assert told["a.bin"]["bytes"] == 256_000
    assert set(told) == {"a.bin", "inner/b.txt"}


def test_what_cannot_be_written_is_named(folder, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(DataError, match="file/one: cannot be written"):
        Storage(str(tmp_path / "file")).put(folder, "one")


@pytest.mark.parametrize("address", ["relative/folder", "ftp://somewhere/folder"])
def test_what_is_no_storage_is_told(address):
    with pytest.raises(ConfigError, match=f"RNN_STORAGE: found {address}: .*an absolute path, or an address with s3"):
        Storage(address)


def test_no_key_is_shown():
    with pytest.raises(ConfigError, match="found s3://bucket/folder: ") as told:
        Storage("s3://key:secret@bucket/folder?no_such_setting=1")
    assert "secret" not in str(told.value)
