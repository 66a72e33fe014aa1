"""The user's own files are copied as they are, or refused by name."""

import os
from pathlib import Path

import pytest

from pipelines.sources import own
from rnn_core.errors import DataError


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    folder = tmp_path / "mine"
    (folder / "deep").mkdir(parents=True)
    (folder / "train.txt").write_text("a b\n")
    (folder / "deep/test.txt").write_text("c d\n")
    return folder


@pytest.fixture
def to(tmp_path: Path) -> Path:
    (tmp_path / "to").mkdir()
    return tmp_path / "to"


def _below(folder: Path) -> dict[str, str]:
    return {path.relative_to(folder).as_posix(): path.read_text() for path in folder.rglob("*") if path.is_file()}


def test_folder_is_copied_with_its_structure(mine, to):
    own.copy(mine, to)
    assert _below(to) == {"train.txt": "a b\n", "deep/test.txt": "c d\n"}
    (mine / "train.txt").write_text("other")
    assert (to / "train.txt").read_text() == "a b\n"


def test_single_file(mine, to):
    own.copy(mine / "train.txt", to)
    assert _below(to) == {"train.txt": "a b\n"}


def test_names_with_a_dot_are_left_out(mine, to):
    (mine / ".hidden").touch()
    (mine / ".git").mkdir()
    (mine / ".git/config").write_text("x")
    own.copy(mine, to)
    assert set(_below(to)) == {"train.txt", "deep/test.txt"}


def test_link_inside_the_folder_becomes_a_file(mine, to):
    (mine / "validation.txt").symlink_to("train.txt")
    own.copy(mine, to)
    assert not (to / "validation.txt").is_symlink()
    assert (to / "validation.txt").read_text() == "a b\n"


def test_folder_given_by_a_link(mine, to, tmp_path):
    (tmp_path / "link").symlink_to(mine)
    own.copy(tmp_path / "link", to)
    assert set(_below(to)) == {"train.txt", "deep/test.txt"}


@pytest.mark.parametrize(
    ("name", "make", "message"),
    [
        ("empty.txt", Path.touch, "an empty file"),
        ("out.txt", lambda path: path.symlink_to("/etc/passwd"), "a link that leads out of the folder, to /etc/passwd"),
        ("nowhere.txt", lambda path: path.symlink_to("no.txt"), "a link that leads nowhere"),
        ("folder", lambda path: path.symlink_to("deep"), "a link to a folder"),
        ("pipe", os.mkfifo, "no regular file"),
        ("source.json", lambda path: path.write_text("{}"), "the name is taken"),
        ("limits.json", lambda path: path.write_text("{}"), "the name is taken"),
    ],
)
def test_what_is_refused_is_named_before_anything_is_copied(mine, to, name, make, message):
    make(mine / name)
    with pytest.raises(DataError, match=message) as error:
        own.copy(mine, to)
    assert error.value.where == str(mine / name)
    assert _below(to) == {}


def test_missing_path(tmp_path, to):
    with pytest.raises(DataError, match=r"none.txt: no such file or folder; `data.from`"):
        own.copy(tmp_path / "none.txt", to)


def test_folder_without_files(tmp_path, to):
    (tmp_path / "bare/.git").mkdir(parents=True)
    with pytest.raises(DataError, match="a folder without files"):
        own.copy(tmp_path / "bare", to)
