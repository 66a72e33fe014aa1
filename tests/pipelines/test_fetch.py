"""The stage `fetch`: each kind of source becomes a whole folder with `source.json`, and a bad one changes nothing.

The command runs in a copy of the code, so that this checkout's own data are left alone.
"""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from pipelines import fetch, files, paths
from pipelines.sources.obtain import Sources
from rnn_core.errors import ConfigError, DataError

MIRROR = paths.REPOSITORY.parent / "shared/datasets"


def _names(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def _own(tmp_path: Path, **contents: str) -> Path:
    folder = tmp_path / "mine"
    folder.mkdir()
    for name, content in contents.items():
        (folder / f"{name}.txt").write_text(content)
    return folder


def test_own_data(tmp_path):
    about, origin = fetch.collect(_own(tmp_path, train="a b\n", test="c\n"), "mine", tmp_path / "raw")
    assert origin == str(tmp_path / "mine")
    assert about == files.read_json(tmp_path / "raw/source.json")
    assert about["dataset"] == "mine"
    assert about["files"]["test.txt"] == {"sha256": hashlib.sha256(b"c\n").hexdigest(), "bytes": 2}
    assert _names(tmp_path / "raw") == {"source.json", "train.txt", "test.txt"}


def test_source_says_nothing_of_the_place(tmp_path):
    """Equal data are equal for DVC, wherever they were had."""
    mine = _own(tmp_path, train="a b\n")
    fetch.collect(mine, "mine", tmp_path / "raw")
    shutil.move(mine, tmp_path / "moved")
    fetch.collect(tmp_path / "moved", "mine", tmp_path / "again")
    assert files.sha256_folder(tmp_path / "raw") == files.sha256_folder(tmp_path / "again")


def test_new_data_take_the_place_of_the_old(tmp_path):
    fetch.collect(_own(tmp_path, train="a\n", old="b\n"), "mine", tmp_path / "raw")
    (tmp_path / "mine/old.txt").unlink()
    fetch.collect(tmp_path / "mine", "mine", tmp_path / "raw")
    assert _names(tmp_path / "raw") == {"source.json", "train.txt"}


def test_failure_leaves_the_old_data(tmp_path):
    fetch.collect(_own(tmp_path, train="a\n"), "mine", tmp_path / "raw")
    before = files.sha256_folder(tmp_path / "raw")
    (tmp_path / "mine/empty.txt").touch()
    with pytest.raises(DataError, match=r"mine/empty.txt: an empty file"):
        fetch.collect(tmp_path / "mine", "mine", tmp_path / "raw")
    assert files.sha256_folder(tmp_path / "raw") == before
    assert {path.name for path in tmp_path.iterdir()} == {"mine", "raw"}


def test_trouble_with_the_disk_is_one_line(tmp_path):
    (tmp_path / "raw").write_text("a file where a folder is wanted")
    with pytest.raises(DataError, match=r"raw: .*; check permissions and free space"):
        fetch.collect(_own(tmp_path, train="a\n"), "mine", tmp_path / "raw/deeper")


def test_unknown_generator_of_samples(tmp_path):
    with pytest.raises(ConfigError, match=r"no sample corpus for `none`; .*language_model"):
        fetch.fill(paths.root() / fetch.SAMPLES / "none.py", tmp_path)


def test_samples(tmp_path):
    about, origin = fetch.collect(paths.root() / fetch.SAMPLES / "language_model.py", "sample", tmp_path / "raw")
    assert origin == "pipelines/samples/language_model.py"
    assert set(about["files"]) == _names(tmp_path / "raw") - {"source.json", "limits.json"}
    assert (tmp_path / "raw/limits.json").is_file()


@pytest.mark.skipif(not MIRROR.is_dir(), reason="no mirror beside this checkout")
@pytest.mark.parametrize(
    ("dataset", "names"),
    [
        ("ptb", {"ptb.train.txt", "ptb.valid.txt", "ptb.test.txt"}),
        ("ud_english_ewt", {f"en_ewt-ud-{split}.conllu" for split in ("train", "dev", "test")}),
    ],
)
def test_public_data_from_the_mirror(dataset, names, tmp_path):
    entry = paths.root() / fetch.CATALOGUE / f"{dataset}.yaml"
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
    sources = Sources(downloads=tmp_path / "downloads", mirror=MIRROR)
    about, origin = fetch.from_catalogue(entry, tmp_path / "one", sources)
    assert _names(tmp_path / "one") == names
    assert origin == str(MIRROR / dataset)
    again, origin = fetch.from_catalogue(entry, tmp_path / "two", sources)
    assert again == about
    assert origin == str(tmp_path / "downloads")
    assert all(about[key] for key in ("licence", "citation", "homepage", "urls"))


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of the code and the settings."""
    target = tmp_path / "checkout"
    for folder in ("pipelines", "rnn_core"):
        shutil.copytree(paths.REPOSITORY / folder, target / folder, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(paths.REPOSITORY / "params.yaml", target)
    return target


def _run(checkout: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    inherited = {key: value for key, value in os.environ.items() if key not in ("DVC_ROOT", "RNN_DATA_MIRROR")}
    command = [sys.executable, "-m", "pipelines.fetch", *arguments]
    return subprocess.run(command, cwd=checkout, env=inherited | environment, capture_output=True, text=True)


def test_command_with_own_data(checkout, tmp_path):
    mine = _own(tmp_path, train="a b\n", validation="c\n", test="d\n")
    settings = yaml.safe_load((checkout / "params.yaml").read_text())
    name = next(iter(settings["blocks"]))
    settings["blocks"][name]["data"]["from"] = str(mine)
    (checkout / "params.yaml").write_text(yaml.safe_dump(settings))
    done = _run(checkout, name)
    assert done.returncode == 0, done.stderr
    assert f"fetch sample/{name}: 3 files, 8 bytes, " in done.stdout
    raw = checkout / "data/raw/sample" / name
    assert json.loads((raw / "source.json").read_text())["dataset"] == "mine"
    (mine / "test.txt").write_text("")
    broken = _run(checkout, name)
    assert broken.returncode == 1
    assert (
        broken.stderr
        == f"error: {mine}/test.txt: an empty file; raw data are wanted; take the file out of the folder\n"
    )
    assert (raw / "test.txt").read_text() == "d\n"


def test_command_with_a_wrong_mirror(checkout):
    settings = yaml.safe_load((checkout / "pipelines/suites/public/params.yaml").read_text())
    name = next(iter(settings["blocks"]))
    broken = _run(checkout, name, "--suite", "public", RNN_DATA_MIRROR="no/such/folder")
    assert broken.returncode == 1
    assert broken.stderr.startswith(f"error: RNN_DATA_MIRROR: no folder {checkout.resolve()}/no/such/folder; ")
    assert len(broken.stderr.splitlines()) == 1
    assert not (checkout / "data/raw").exists() or not list((checkout / "data/raw/public").iterdir())
