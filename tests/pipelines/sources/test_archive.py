"""Archives give the wanted members and nothing else, and cannot write elsewhere."""

import io
import stat
import tarfile
import zipfile
from pathlib import Path

import pytest

from pipelines.sources import archive
from rnn_core.errors import DataError

MEMBERS = {"in/a.txt": b"alpha " * 1000, "in/b.txt": b"beta"}
WANTED = {"in/a.txt": 6000}


def _zip(path: Path, members: dict[str, bytes] = MEMBERS, mode: int = 0) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as opened:
        for name, content in members.items():
            entry = zipfile.ZipInfo(name)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = mode << 16
            opened.writestr(entry, content)
    return path


def _tar(path: Path, members: dict[str, bytes] = MEMBERS, kind: bytes = tarfile.REGTYPE, mode: str = "w") -> Path:
    with tarfile.open(path, mode) as opened:
        for name, content in members.items():
            entry = tarfile.TarInfo(name)
            entry.type, entry.size, entry.linkname = kind, len(content), "/etc/passwd"
            opened.addfile(entry, io.BytesIO(content))
    return path


def _below(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "to").mkdir()
    return tmp_path / "to"


@pytest.mark.parametrize("mode", ["zip", "w", "w:gz", "w:bz2", "w:xz"])
def test_only_wanted_members_come_out(tmp_path, folder, mode):
    packed = _zip(tmp_path / "p") if mode == "zip" else _tar(tmp_path / "p", mode=mode)
    archive.unpack(packed, folder, WANTED)
    assert _below(folder) == {"in/a.txt"}
    assert (folder / "in/a.txt").read_bytes() == MEMBERS["in/a.txt"]


def test_tar_that_ends_in_a_zip_is_a_tar(tmp_path, folder):
    inner = _zip(tmp_path / "inner").read_bytes()
    archive.unpack(_tar(tmp_path / "p", {"b.txt": b"beta", "z.zip": inner}), folder, {"b.txt": 4})
    assert _below(folder) == {"b.txt"}


@pytest.mark.parametrize("make", [_zip, _tar])
@pytest.mark.parametrize("name", ["../out.txt", "in/../../out.txt", "/tmp/out.txt", "..\\out.txt"])
def test_names_that_leave_the_folder_are_refused(tmp_path, folder, make, name):
    packed = make(tmp_path / "p", {name: b"evil"})
    for wanted in ({name: 4}, WANTED):
        with pytest.raises(DataError, match="the name leaves the folder"):
            archive.unpack(packed, folder, wanted)
    assert not _below(folder)
    assert not (tmp_path / "out.txt").exists()


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE, tarfile.DIRTYPE])
def test_links_and_devices_in_a_tar_are_refused(tmp_path, folder, kind):
    packed = _tar(tmp_path / "p", {"in/a.txt": b""}, kind)
    with pytest.raises(DataError, match=r"p!in/a.txt: a link, folder or device"):
        archive.unpack(packed, folder, WANTED)
    assert not list(folder.iterdir())


@pytest.mark.parametrize("mode", [stat.S_IFLNK, stat.S_IFCHR, stat.S_IFIFO])
def test_links_and_devices_in_a_zip_are_refused(tmp_path, folder, mode):
    packed = _zip(tmp_path / "p", {"in/a.txt": b"/etc/passwd"}, mode | 0o777)
    with pytest.raises(DataError, match="a link, folder or device"):
        archive.unpack(packed, folder, {"in/a.txt": 11})
    assert not list(folder.iterdir())


def test_link_that_nobody_wants_is_left_out(tmp_path, folder):
    with tarfile.open(_tar(tmp_path / "p"), "a") as opened:
        entry = tarfile.TarInfo("in/link")
        entry.type, entry.linkname = tarfile.SYMTYPE, "/etc"
        opened.addfile(entry)
    archive.unpack(tmp_path / "p", folder, WANTED)
    assert _below(folder) == {"in/a.txt"}


@pytest.mark.parametrize("make", [_zip, _tar])
def test_other_sizes_are_seen_before_anything_is_written(tmp_path, folder, make):
    packed = make(tmp_path / "p", {"in/a.txt": bytes(50_000_000)})
    with pytest.raises(DataError, match=r"in/a.txt: 50000000 bytes; wanted are 6000 bytes"):
        archive.unpack(packed, folder, WANTED)
    assert not list(folder.iterdir())


def test_zip_that_lies_about_a_size_is_refused(tmp_path, folder):
    packed = _zip(tmp_path / "p", {"in/a.txt": bytes(50_000)})
    content = packed.read_bytes().replace((50_000).to_bytes(4, "little"), (6000).to_bytes(4, "little"))
    packed.write_bytes(content)
    with pytest.raises(DataError, match="corrupt"):
        archive.unpack(packed, folder, WANTED)
    assert sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) <= 6000


@pytest.mark.parametrize("make", [_zip, _tar])
def test_too_many_entries_are_refused(tmp_path, folder, make):
    packed = make(tmp_path / "p", {f"{number}.txt": b"x" for number in range(11)})
    with pytest.raises(DataError, match="more than 10 entries"):
        archive.unpack(packed, folder, {"0.txt": 1, "10.txt": 1}, entries=10)


@pytest.mark.filterwarnings("ignore:Duplicate name:UserWarning")
@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_name_given_twice_is_refused(tmp_path, folder, kind):
    if kind == "zip":
        with zipfile.ZipFile(_zip(tmp_path / "p"), "a") as opened:
            opened.writestr("in/a.txt", b"other")
    else:
        with tarfile.open(_tar(tmp_path / "p"), "a") as opened:
            opened.addfile(tarfile.TarInfo("in/a.txt"))
    with pytest.raises(DataError, match="twice"):
        archive.unpack(tmp_path / "p", folder, WANTED)


@pytest.mark.parametrize("make", [_zip, _tar])
def test_missing_member_is_named(tmp_path, folder, make):
    with pytest.raises(DataError, match=r"members are missing; wanted are in/c.txt"):
        archive.unpack(make(tmp_path / "p"), folder, WANTED | {"in/c.txt": 1})


@pytest.mark.parametrize("mode", ["zip", "w", "w:gz", "w:bz2", "w:xz"])
@pytest.mark.parametrize("share", [0.0, 0.3, 0.6, 0.9])
def test_archive_cut_short_is_refused(tmp_path, folder, mode, share):
    noise = {"in/a.txt": bytes(number * number * 7 % 251 for number in range(6000))}
    whole = (_zip(tmp_path / "p", noise) if mode == "zip" else _tar(tmp_path / "p", noise, mode=mode)).read_bytes()
    content = whole[: min(int(len(whole) * share), 6000)]
    (tmp_path / "p").write_bytes(content)
    with pytest.raises(DataError, match=r"whole archive|members are missing"):
        archive.unpack(tmp_path / "p", folder, WANTED)


def test_damaged_member_is_refused(tmp_path, folder):
    packed = _zip(tmp_path / "p", {"in/a.txt": bytes(number * number * 7 % 251 for number in range(6000))})
    content = bytearray(packed.read_bytes())
    content[200] ^= 0xFF
    packed.write_bytes(content)
    with pytest.raises(DataError, match="corrupt"):
        archive.unpack(packed, folder, WANTED)


def test_encrypted_zip_is_refused(tmp_path, folder):
    packed = _zip(tmp_path / "p")
    content = bytearray(packed.read_bytes())
    content[6] |= 1  # the flag in the first member's own header
    content[content.index(b"PK\x01\x02") + 8] |= 1  # and in the list at the end
    packed.write_bytes(content)
    with pytest.raises(DataError, match=r"cannot be read: .*encrypted"):
        archive.unpack(packed, folder, WANTED)
