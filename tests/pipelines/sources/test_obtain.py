"""A data set comes whole from the nearest place (store, mirror, public address), or an error tells what was tried."""

import fcntl
import hashlib
import io
import json
import os
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest

from pipelines import paths
from pipelines.sources.dataset import Archive, Dataset, File, load
from pipelines.sources.download import Patience
from pipelines.sources.mirror import VARIABLE, mirror
from pipelines.sources.obtain import Sources, obtain
from rnn_core.errors import ConfigError, DataError

CONTENTS = {"a.txt": b"alpha " * 50_000, "b.txt": b"beta " * 20_000}
QUICK = Patience(attempts=2, pause=0.001, timeout=20)
REAL = paths.REPOSITORY.parent / "shared/datasets"

ALONE = """
import sys
from pathlib import Path
from pipelines.sources.dataset import load
from pipelines.sources.obtain import Sources, obtain
entry, folder, downloads = map(Path, sys.argv[1:])
obtain("set", load(entry), folder, Sources(downloads=downloads, mirror=None))
"""


def _dataset(url: str | None = None, archive_url: str | None = None) -> Dataset:
    files = {
        name: File(
            bytes=len(content),
            sha256=hashlib.sha256(content).hexdigest(),
            urls=(f"{url}/{name}",) if url else (),
        )
        for name, content in CONTENTS.items()
    }
    held = Archive(members={name: f"in/{name}" for name in CONTENTS}, urls=(archive_url,) if archive_url else ())
    return Dataset(
        title="T", licence="L", citation="C", homepage="H", note="N", files=files, archives={"all.zip": held}
    )


def _packed(contents: dict[str, bytes] = CONTENTS) -> bytes:
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w", zipfile.ZIP_DEFLATED) as opened:
        for name, content in contents.items():
            opened.writestr(f"in/{name}", content)
    return written.getvalue()


def _fill(folder: Path, contents: dict[str, bytes] = CONTENTS) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in contents.items():
        (folder / name).write_bytes(content)


def _read(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def _stored(downloads: Path) -> set[str]:
    """All that the store holds beyond locks."""
    return {path.name for path in downloads.rglob("*") if path.is_file() and path.name != "lock"}


DIGESTS = {hashlib.sha256(content).hexdigest() for content in CONTENTS.values()}


@pytest.fixture
def to(tmp_path: Path) -> Path:
    (tmp_path / "to").mkdir()
    return tmp_path / "to"


@pytest.fixture
def downloads(tmp_path: Path) -> Path:
    return tmp_path / "downloads"


def test_public_addresses(server, to, downloads):
    for name, content in CONTENTS.items():
        server.page(f"/{name}", content)
    had = obtain("set", _dataset(server.url), to, Sources(downloads=downloads, mirror=None, patience=QUICK))
    assert _read(to) == CONTENTS
    assert had == {name: f"{server.url}/{name}" for name in CONTENTS}
    assert _stored(downloads) == DIGESTS


def test_mirror_folder_is_asked_first_and_needs_no_network(server, nowhere, tmp_path, to, downloads):
    _fill(tmp_path / "mirror/set")
    obtain("set", _dataset(nowhere), to, Sources(downloads=downloads, mirror=tmp_path / "mirror", patience=QUICK))
    assert _read(to) == CONTENTS


def test_archive_in_a_mirror_folder(nowhere, tmp_path, to, downloads):
    _fill(tmp_path / "mirror/set", {"all.zip": _packed()})
    had = obtain("set", _dataset(nowhere), to, Sources(downloads=downloads, mirror=tmp_path / "mirror", patience=QUICK))
    assert _read(to) == CONTENTS
    assert had == dict.fromkeys(CONTENTS, tmp_path / "mirror/set/all.zip")
    assert _stored(downloads) == DIGESTS


def test_mirror_address(server, nowhere, to, downloads):
    server.page("/mirror/set/a.txt", CONTENTS["a.txt"])
    page = server.page("/mirror/set/all.zip", _packed(), closes_after=[100])
    sources = Sources(downloads=downloads, mirror=f"{server.url}/mirror", patience=QUICK)
    obtain("set", _dataset(nowhere), to, sources)
    assert _read(to) == CONTENTS
    assert page.asked == [None, "bytes=100-"]
    assert _stored(downloads) == DIGESTS


def test_public_archive_is_the_last_way(server, to, downloads, capsys):
    server.page("/all.zip", _packed())
    dataset = _dataset(server.url, f"{server.url}/all.zip")
    obtain("set", dataset, to, Sources(downloads=downloads, mirror=None, patience=QUICK))
    assert _read(to) == CONTENTS
    assert "HTTP 404" not in capsys.readouterr().err


def test_file_that_a_mirror_lacks_comes_from_the_public_address(server, tmp_path, to, downloads):
    server.page("/b.txt", CONTENTS["b.txt"])
    _fill(tmp_path / "mirror/set", {"a.txt": CONTENTS["a.txt"]})
    sources = Sources(downloads=downloads, mirror=tmp_path / "mirror", patience=QUICK)
    assert obtain("set", _dataset(server.url), to, sources)["b.txt"] == f"{server.url}/b.txt"
    assert _read(to) == CONTENTS


def test_damaged_file_in_a_mirror_is_told_and_passed_over(server, tmp_path, to, downloads, capsys):
    for name, content in CONTENTS.items():
        server.page(f"/{name}", content)
    _fill(tmp_path / "mirror/set", {"a.txt": b"alpha"})
    obtain("set", _dataset(server.url), to, Sources(downloads=downloads, mirror=tmp_path / "mirror", patience=QUICK))
    assert _read(to) == CONTENTS
    assert f"{tmp_path}/mirror/set/a.txt: 5 bytes with sha256" in capsys.readouterr().err


@pytest.mark.parametrize(
    "contents",
    [
        {"all.zip": _packed()[:300]},
        {"all.zip": _packed({"a.txt": CONTENTS["a.txt"], "b.txt": b"BETA " * 20_000})},
        {"all.zip": _packed({"a.txt": CONTENTS["a.txt"]})},
        {"a.txt": CONTENTS["a.txt"][:-1] + b"!", "b.txt": CONTENTS["b.txt"]},
        {"a.txt": b""},
        {},
    ],
    ids=["cut archive", "other member", "lacking member", "other file", "empty file", "empty mirror"],
)
def test_bad_mirror_alone_leaves_nothing(tmp_path, to, downloads, contents):
    _fill(tmp_path / "mirror/set", contents)
    with pytest.raises(DataError) as error:
        obtain("set", _dataset(), to, Sources(downloads=downloads, mirror=tmp_path / "mirror", patience=QUICK))
    assert error.value.where == "set/a.txt"
    assert f"{tmp_path}/mirror/set/" in error.value.found
    assert f"set {VARIABLE} to a folder or address that has a.txt or all.zip in set/" in error.value.allowed
    assert _dataset().files["a.txt"].sha256 in error.value.allowed
    assert _read(to) == {}
    assert _stored(downloads) == set()


def test_no_network_and_no_mirror(nowhere, to, downloads):
    with pytest.raises(DataError, match=rf"{nowhere}/a.txt .no answer: .*refused.*connect .* or set {VARIABLE}"):
        obtain("set", _dataset(nowhere), to, Sources(downloads=downloads, mirror=None, patience=QUICK))
    assert _read(to) == {}


def test_store_serves_the_second_time(server, tmp_path, to, downloads):
    pages = [server.page(f"/{name}", content) for name, content in CONTENTS.items()]
    sources = Sources(downloads=downloads, mirror=None, patience=QUICK)
    obtain("set", _dataset(server.url), to, sources)
    (tmp_path / "again").mkdir()
    obtain("another", _dataset(server.url), tmp_path / "again", sources)
    assert _read(tmp_path / "again") == CONTENTS
    assert [page.hits for page in pages] == [1, 1]


def test_damaged_store_is_mended(server, to, downloads):
    page = server.page("/a.txt", CONTENTS["a.txt"])
    server.page("/b.txt", CONTENTS["b.txt"])
    dataset, sources = _dataset(server.url), Sources(downloads=downloads, mirror=None, patience=QUICK)
    obtain("set", dataset, to, sources)
    (downloads / dataset.files["a.txt"].sha256).write_bytes(b"damaged")
    obtain("set", dataset, to, sources)
    assert _read(to) == CONTENTS
    assert page.hits == 2


def _process(tmp_path: Path, dataset: Dataset, downloads: Path, name: str) -> subprocess.Popen[str]:
    entry = tmp_path / f"{name}.yaml"
    files = {
        key: {"bytes": file.bytes, "sha256": file.sha256, "urls": list(file.urls)}
        for key, file in dataset.files.items()
    }
    about = dict.fromkeys(("title", "licence", "citation", "homepage", "note"), "x")
    entry.write_text(json.dumps(about | {"files": files}))
    (tmp_path / name).mkdir()
    command = [sys.executable, "-c", ALONE, str(entry), str(tmp_path / name), str(downloads)]
    return subprocess.Popen(command, cwd=paths.REPOSITORY, stderr=subprocess.PIPE, text=True)


def test_two_processes_at_once_fetch_once(server, tmp_path, downloads):
    pages = [server.page(f"/{name}", content, stalls=0.3) for name, content in CONTENTS.items()]
    running = [_process(tmp_path, _dataset(server.url), downloads, name) for name in ("one", "two")]
    for process in running:
        _, told = process.communicate()
        assert process.returncode == 0, told
    assert _read(tmp_path / "one") == _read(tmp_path / "two") == CONTENTS
    assert [page.hits for page in pages] == [1, 1]


def test_second_process_waits_for_the_first(server, tmp_path, downloads):
    for name, content in CONTENTS.items():
        server.page(f"/{name}", content)
    (downloads / "set").mkdir(parents=True)
    with (downloads / "set/lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        process = _process(tmp_path, _dataset(server.url), downloads, "late")
        assert process.stderr is not None
        assert process.stderr.readline() == "set: another process is fetching it, waiting\n"
        assert _stored(downloads) == set()
    process.communicate()
    assert process.returncode == 0
    assert _read(tmp_path / "late") == CONTENTS


def test_killed_process_leaves_a_beginning_that_the_next_goes_on_from(server, tmp_path, to, downloads):
    page = server.page("/a.txt", CONTENTS["a.txt"], pauses_after=200_000)
    server.page("/b.txt", CONTENTS["b.txt"])
    dataset = _dataset(server.url)
    part = downloads / "set" / f"{dataset.files['a.txt'].sha256}.part"
    process = _process(tmp_path, dataset, downloads, "killed")
    while not (part.exists() and part.stat().st_size >= 65_536):
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    assert _stored(downloads) == {part.name}
    begun = part.stat().st_size
    obtain("set", dataset, to, Sources(downloads=downloads, mirror=None, patience=QUICK))
    assert _read(to) == CONTENTS
    assert page.asked == [None, f"bytes={begun}-"]


def test_mirror_is_read_from_the_environment(tmp_path, monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)
    assert mirror() is None
    monkeypatch.setenv(VARIABLE, "https://example.org/data/")
    assert mirror() == "https://example.org/data"
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    assert mirror() == tmp_path.resolve()


def test_relative_mirror_is_taken_from_the_main_checkout(tmp_path, monkeypatch):
    (tmp_path / "main").mkdir()
    (tmp_path / "shared").mkdir()
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    monkeypatch.setenv("DVC_ROOT", str(tmp_path / "main"))
    monkeypatch.setenv(VARIABLE, "../shared")
    assert mirror() == (tmp_path / "shared").resolve()


@pytest.mark.parametrize(("value", "found"), [("/no/such/folder", "no folder /no/such"), ("s3://b/c", "found 's3:")])
def test_wrong_mirror_is_refused(monkeypatch, value, found):
    monkeypatch.setenv(VARIABLE, value)
    with pytest.raises(ConfigError, match=f"{VARIABLE}: {found}"):
        mirror()


@pytest.mark.skipif(not REAL.is_dir(), reason="no mirror beside this checkout")
@pytest.mark.parametrize(
    "entry", sorted((paths.REPOSITORY / "pipelines/sources/catalogue").glob("*.yaml")), ids=lambda path: path.stem
)
def test_real_mirror(entry, to, downloads):
    dataset = load(entry)
    had = obtain(entry.stem, dataset, to, Sources(downloads=downloads, mirror=REAL, patience=QUICK))
    assert all(isinstance(place, Path) for place in had.values())
    for name, content in dataset.files.items():
        content.check(to / name, name)
