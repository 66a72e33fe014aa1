"""Data that a machine fetches by content: verified, shared, bounded, and never taken from under a training."""

import contextlib
import hashlib
import os

import pytest

from pipelines import paths, shards
from pipelines.shards import Cache, Shard, Shards
from rnn_core.errors import ConfigError, DataError


@pytest.fixture
def remote(tmp_path):
    """A DVC remote, as a folder; gives a function that puts an Arrow folder's files into it."""

    def put(**contents: bytes) -> Shards:
        listed = []
        for name, content in contents.items():
            md5 = hashlib.md5(content, usedforsecurity=False).hexdigest()
            place = tmp_path / "remote/files/md5" / md5[:2] / md5[2:]
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(content)
            listed.append(Shard(name.replace("__", "-").replace("_", "."), md5, len(content)))
        return Shards(remote=str(tmp_path / "remote"), files=tuple(listed))

    return put


def content(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_what_the_splits_need_comes_once_and_lies_in_a_folder_as_it_was(remote, tmp_path, monkeypatch):
    wanted = remote(train__0_arrow=b"train", validation__0_arrow=b"val", test__0_arrow=b"test", summary_json=b"{}")
    asked = []
    read = shards.Storage.read
    monkeypatch.setattr(shards.Storage, "read", lambda *given: (asked.append(given[1]), read(*given)))
    cache = Cache(tmp_path / "cache", 100)
    for _ in range(2):
        with cache.holding(wanted, splits=("train", "validation")) as view:
            assert content(view) == {"train-0.arrow": b"train", "validation-0.arrow": b"val", "summary.json": b"{}"}
    assert len(asked) == 3


def test_what_nobody_holds_makes_room_the_oldest_first(remote, tmp_path):
    cache = Cache(tmp_path / "cache", 100)
    sets = [remote(train__0_arrow=bytes([number]) * 40) for number in range(4)]
    with contextlib.ExitStack() as held:
        first = held.enter_context(cache.holding(sets[0], splits=("train",)))
        with cache.holding(sets[1], splits=("train",)):
            pass
        os.utime(tmp_path / "cache/files" / sets[0].files[0].md5[:2] / sets[0].files[0].md5[2:], (1, 1))
        with cache.holding(sets[2], splits=("train",)) as view:
            assert content(view) == {"train-0.arrow": bytes([2]) * 40}
            assert content(first) == {"train-0.arrow": bytes(40)}, "it is the oldest, but in use"
            with (
                pytest.raises(DataError, match=r"40 bytes more do not fit beside the 80 .* \(RNN_NODE_GIGABYTES\)"),
                cache.holding(sets[3], splits=("train",)),
            ):
                raise AssertionError("there was no room")
    with cache.holding(sets[3], splits=("train",)) as view:
        assert content(view) == {"train-0.arrow": bytes([3]) * 40}


def test_a_damaged_file_is_asked_for_again_and_then_named(remote, tmp_path, monkeypatch):
    wanted = remote(train__0_arrow=b"train")
    read, asked = shards.Storage.read, []

    def spoilt(self, name, target):
        asked.append(name)
        read(self, name, target)
        if len(asked) == 1:
            target.write_bytes(b"other")

    monkeypatch.setattr(shards.Storage, "read", spoilt)
    with Cache(tmp_path / "cache", 100).holding(wanted, splits=("train",)) as view:
        assert content(view) == {"train-0.arrow": b"train"}
    (damaged,) = (path for path in (tmp_path / "remote").rglob("*") if path.is_file())
    damaged.write_bytes(b"other")
    with (
        pytest.raises(DataError, match=r"train-0.arrow of .*remote: it came twice with another checksum"),
        Cache(tmp_path / "another", 100).holding(wanted, splits=("train",)),
    ):
        raise AssertionError("it is damaged")


def test_a_machine_that_has_the_data_fetches_nothing_and_one_without_either_is_told(remote, tmp_path, monkeypatch):
    monkeypatch.setenv("RNN_NODE_FOLDER", str(tmp_path / "node"))
    wanted = remote(train__0_arrow=b"train", summary_json=b"{}")
    own = tmp_path / "own"
    own.mkdir()
    (own / "summary.json").write_text("{}")
    with shards.held(own, wanted, splits=("train",)) as arrow:
        assert arrow == own
    (own / "summary.json").write_text('{"other": 1}')
    with shards.held(own, wanted, splits=("train",)) as arrow:
        assert content(arrow) == {"train-0.arrow": b"train", "summary.json": b"{}"}
    with pytest.raises(DataError, match="no data on .*; a folder that all machines share, or a DVC remote"):
        shards.held(tmp_path / "none", None, splits=("train",)).__enter__()


@pytest.mark.parametrize(
    ("config", "address"),
    [
        ("", None),
        ("[core]\nremote = r\n['remote \"r\"']\nurl = ../../there\n", "{home}/../there"),
        ("[core]\nremote = r\n['remote \"r\"']\nurl = s3://bucket/folder\n", "s3://bucket/folder"),
        (
            "[core]\nremote = r\n['remote \"r\"']\nurl = s3://bucket/f\nendpointurl = http://127.0.0.1:9000\n",
            "s3://bucket/f?scheme=http&endpoint_override=127.0.0.1%3A9000",
        ),
    ],
)
def test_the_remote_is_that_of_dvc(tmp_path, monkeypatch, config, address):
    monkeypatch.setattr(paths, "home", lambda: tmp_path / "home")
    (tmp_path / "home/.dvc").mkdir(parents=True)
    (tmp_path / "home/.dvc/config").write_text(config)
    expected = address and address.replace("{home}/..", str(tmp_path))
    assert shards.remote_address() == expected


def test_a_bound_that_is_no_number_is_told(monkeypatch):
    monkeypatch.setenv("RNN_NODE_GIGABYTES", "many")
    with pytest.raises(ConfigError, match="RNN_NODE_GIGABYTES: found 'many'; a number of gigabytes"):
        paths.node_bytes()
