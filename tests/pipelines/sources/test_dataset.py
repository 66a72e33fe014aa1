"""The catalogue: entries are strict, and the shipped ones agree with the facts of the mirror."""

import re
from pathlib import Path

import pytest
import yaml

from pipelines import paths
from pipelines.sources.dataset import is_plain, load
from rnn_core.errors import ConfigError

CATALOGUE = paths.REPOSITORY / "pipelines/sources/catalogue"
ENTRIES = sorted(CATALOGUE.glob("*.yaml"))
MIRROR = paths.REPOSITORY.parent / "shared/datasets"

GOOD = {
    "title": "T",
    "licence": "L",
    "citation": "C",
    "homepage": "https://example.org",
    "note": "N",
    "files": {"a.txt": {"bytes": 1, "sha256": "a" * 64, "urls": ["https://example.org/a.txt"]}},
    "archives": {"a.zip": {"members": {"a.txt": "in/a.txt"}, "urls": ["https://example.org/a.zip"]}},
}


def _write(folder: Path, **changes: object) -> Path:
    path = folder / "set.yaml"
    path.write_text(yaml.safe_dump({key: value for key, value in (GOOD | changes).items() if value is not None}))
    return path


def test_entry_is_read(tmp_path):
    dataset = load(_write(tmp_path))
    assert dataset.files["a.txt"].bytes == 1
    assert dataset.archives["a.zip"].members == {"a.txt": "in/a.txt"}
    assert dataset.urls == ("https://example.org/a.txt", "https://example.org/a.zip")


FILE = GOOD["files"]["a.txt"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"licence": None}, "set.yaml.licence: missing"),
        ({"license": "L"}, "unknown key .did you mean `licence`"),
        ({"files": {}}, "files is empty"),
        ({"files": {"a.txt": FILE | {"bytes": 0}}}, "bytes is 0"),
        ({"files": {"a.txt": FILE | {"bytes": "1"}}}, "files.a.txt.bytes: found '1'"),
        ({"files": {"a.txt": FILE | {"sha256": "A" * 64}}}, "sha256 is 'AAA"),
        ({"files": {"a.txt": FILE | {"urls": ["file:///etc/passwd"]}}}, "no http or https address"),
        ({"files": {"../a.txt": FILE}, "archives": {}}, "no relative path"),
        ({"archives": {"a.zip": {"members": {"b.txt": "b.txt"}}}}, "members b.txt do not stand in files"),
        ({"archives": {"a.zip": {}}}, "members or a folder, one of the two"),
        ({"archives": {"a.zip": {"members": {"a.txt": "a.txt"}, "folder": "in"}}}, "members or a folder"),
        ({"archives": {"a.zip": {"folder": "../in"}}}, "no relative path"),
        ({"archives": {"a.zip": {"members": {"a.txt": "/a.txt"}}}}, "no relative path"),
        ({"archives": {"a.zip": {"members": {"a.txt": "a.txt"}, "urls": ["a.zip"]}}}, "no http or https address"),
    ],
)
def test_wrong_entries_are_refused(tmp_path, changes, message):
    with pytest.raises(ConfigError, match=re.escape(message).replace(r"\.did", ".did")):
        load(_write(tmp_path, **changes))


def test_missing_entry_names_the_others(tmp_path):
    _write(tmp_path)
    with pytest.raises(ConfigError, match=r"other.yaml: no such entry of the catalogue; there are set"):
        load(tmp_path / "other.yaml")


def test_an_archive_with_all_files_below_a_folder(tmp_path):
    for folder, path in ((".", "a.txt"), ("in/it", "in/it/a.txt")):
        (tmp_path / "set.yaml").write_text(yaml.safe_dump({**GOOD, "archives": {"a.zip": {"folder": folder}}}))
        assert load(tmp_path / "set.yaml").members("a.zip") == {"a.txt": path}


@pytest.mark.parametrize("content", [b"files: [", b"\xff\xfe\xfa", b""])
def test_broken_yaml_is_refused(tmp_path, content):
    (tmp_path / "set.yaml").write_bytes(content)
    with pytest.raises(ConfigError, match=r"set\.yaml: "):
        load(tmp_path / "set.yaml")


@pytest.mark.parametrize("name", ["a", "a/b.txt", "./a", "a..b", "..a"])
def test_plain_names(name):
    assert is_plain(name)


@pytest.mark.parametrize("name", ["", ".", "/a", "..", "../a", "a/../b", "a/..", "\\a", "a\\..\\b"])
def test_names_that_are_not_plain(name):
    assert not is_plain(name)


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda path: path.stem)
def test_shipped_entries_agree_with_the_mirror(entry):
    dataset = load(entry)
    archived = {name for key, held in dataset.archives.items() if held.urls for name in dataset.members(key)}
    if not all(file.urls or name in archived for name, file in dataset.files.items()):
        assert "from a mirror only" in dataset.note
    facts = MIRROR / (dataset.mirror or entry.stem) / "SOURCE.md"
    if not facts.is_file():
        pytest.skip("no mirror beside this checkout")
    lines = re.findall(r"^- `([0-9a-f]{64})` \((\d+)\) (\S+)$", facts.read_text(encoding="utf-8"), re.MULTILINE)
    told = {name: (sha256, int(size)) for sha256, size, name in lines}
    inside = {file: f"{key}!{path}" for key in dataset.archives for file, path in dataset.members(key).items()}
    held = {name for key in dataset.archives if key in told for name in dataset.members(key)}
    for name, file in dataset.files.items():
        # Of an archive with many members the facts may name the archive only; `test_real_mirror` looks into it.
        if name in told or inside[name] in told or name not in held:
            assert told[name if name in told else inside[name]] == (file.sha256, file.bytes)


def test_catalogue_is_not_empty():
    assert {"ptb", "tinyshakespeare", "ud_english_ewt"} <= {entry.stem for entry in ENTRIES}
