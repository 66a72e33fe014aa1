"""A download is whole and right, or it is not there: against a real server that breaks in each known way."""

import hashlib
import io
import random
from pathlib import Path

import pytest

from pipelines.sources.dataset import Content
from pipelines.sources.download import Missing, Patience, download
from pipelines.sources.progress import Progress
from rnn_core.errors import DataError

DATA = random.Random(1).randbytes(300_000)
WANTED = Content(bytes=len(DATA), sha256=hashlib.sha256(DATA).hexdigest())
QUICK = Patience(attempts=3, pause=0.001, timeout=20)


def test_download_writes_the_file_and_nothing_else(server, tmp_path, capfd):
    server.page("/a.txt", DATA)
    download(f"{server.url}/a.txt", tmp_path / "a", WANTED, QUICK)
    assert (tmp_path / "a").read_bytes() == DATA
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    assert "a.txt: 0.3 of 0.3 MB" in capfd.readouterr().err


def test_download_goes_on_where_the_server_closed(server, tmp_path):
    page = server.page("/a", DATA, closes_after=[100_000, 50_000])
    download(f"{server.url}/a", tmp_path / "a", WANTED, QUICK)
    assert (tmp_path / "a").read_bytes() == DATA
    assert page.asked == [None, "bytes=100000-", "bytes=150000-"]
    assert page.served == len(DATA)


def test_next_process_goes_on_from_the_part(server, tmp_path):
    page = server.page("/a", DATA, closes_after=[100_000])
    with pytest.raises(DataError, match=r"closed after 100000 of 300000 bytes \(1 attempts\)"):
        download(f"{server.url}/a", tmp_path / "a", WANTED, Patience(attempts=1))
    assert [path.name for path in tmp_path.iterdir()] == ["a.part"]
    download(f"{server.url}/a", tmp_path / "a", WANTED, QUICK)
    assert (tmp_path / "a").read_bytes() == DATA
    assert page.served == len(DATA)


def test_server_without_ranges_sends_all_again(server, tmp_path):
    page = server.page("/a", DATA, closes_after=[100_000], ranges=False)
    download(f"{server.url}/a", tmp_path / "a", WANTED, QUICK)
    assert (tmp_path / "a").read_bytes() == DATA
    assert page.served == 100_000 + len(DATA)


def test_another_range_than_asked_for_is_not_appended(server, tmp_path):
    page = server.page("/a", DATA, closes_after=[100_000], range_start=90_000)
    download(f"{server.url}/a", tmp_path / "a", WANTED, QUICK)
    assert (tmp_path / "a").read_bytes() == DATA
    assert page.asked == [None, "bytes=100000-", None]


@pytest.mark.parametrize("stale", [b"x" * 1000, b"x" * len(DATA), b"x" * (len(DATA) + 1)])
def test_part_with_other_contents_is_thrown_away(server, tmp_path, stale):
    server.page("/a", DATA)
    (tmp_path / "a.part").write_bytes(stale)
    download(f"{server.url}/a", tmp_path / "a", WANTED, QUICK)
    assert (tmp_path / "a").read_bytes() == DATA


def test_part_longer_than_an_unchecked_file_is_thrown_away(server, tmp_path):
    server.page("/a", DATA)
    (tmp_path / "a.part").write_bytes(DATA + b"x")
    download(f"{server.url}/a", tmp_path / "a", None, QUICK)
    assert (tmp_path / "a").read_bytes() == DATA


@pytest.mark.parametrize("status", [429, 500, 503])
def test_passing_failures_are_tried_again(server, tmp_path, status):
    page = server.page("/a", DATA, statuses=[status, status])
    download(f"{server.url}/a", tmp_path / "a", WANTED, QUICK)
    assert page.hits == 3


def test_failure_that_stays_is_given_up(server, tmp_path):
    page = server.page("/a", DATA, statuses=[500] * 9)
    with pytest.raises(DataError, match=r"/a: HTTP 500 .* \(3 attempts\)"):
        download(f"{server.url}/a", tmp_path / "a", WANTED, QUICK)
    assert page.hits == 3
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("status", "kind"), [(404, Missing), (410, Missing), (403, DataError)])
def test_refusals_are_not_tried_again(server, tmp_path, status, kind):
    page = server.page("/a", DATA, statuses=[status] * 9)
    with pytest.raises(kind, match=f"HTTP {status}"):
        download(f"{server.url}/a", tmp_path / "a", WANTED, QUICK)
    assert page.hits == 1


def test_wrong_contents_leave_nothing(server, tmp_path):
    wrong = b"x" + DATA[1:]
    page = server.page("/a", wrong)
    with pytest.raises(DataError) as error:
        download(f"{server.url}/a", tmp_path / "a", WANTED, QUICK)
    assert error.value.where == f"{server.url}/a"
    assert hashlib.sha256(wrong).hexdigest() in error.value.found
    assert WANTED.sha256 in error.value.allowed
    assert page.hits == 1
    assert not list(tmp_path.iterdir())


def test_wrong_length_is_seen_before_the_download(server, tmp_path):
    page = server.page("/a", DATA + b"x")
    with pytest.raises(DataError, match="the server has 300001 bytes; wanted are 300000 bytes"):
        download(f"{server.url}/a", tmp_path / "a", WANTED, QUICK)
    assert page.hits == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("content", [DATA[:-1], DATA * 2])
def test_wrong_contents_without_a_length_leave_nothing_under_the_name(server, tmp_path, content):
    server.page("/a", content, length=False)
    with pytest.raises(DataError, match="/a: "):
        download(f"{server.url}/a", tmp_path / "a", WANTED, QUICK)
    assert not (tmp_path / "a").exists()


def test_server_without_a_length(server, tmp_path):
    server.page("/a", DATA, length=False)
    download(f"{server.url}/a", tmp_path / "a", WANTED, QUICK)
    assert (tmp_path / "a").read_bytes() == DATA


def test_silent_server(server, tmp_path):
    server.page("/a", DATA, stalls=2.0)
    with pytest.raises(DataError, match="timed out"):
        download(f"{server.url}/a", tmp_path / "a", WANTED, Patience(attempts=1, timeout=0.05))


def test_no_server(nowhere, tmp_path):
    with pytest.raises(DataError, match=r"no answer: .*refused"):
        download(f"{nowhere}/a", tmp_path / "a", WANTED, QUICK)


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def _show(stream: io.StringIO) -> str:
    ticks = iter(range(100))
    with Progress("a.txt", 4_000_000, 1_000_000, stream, clock=lambda: float(next(ticks))) as progress:
        progress.advance(1_000_000)
    return stream.getvalue()


def test_progress_on_a_terminal_is_one_line():
    shown = _show(_Terminal())
    assert shown.count("\n") == 1
    assert shown.endswith("\n")
    assert "\ra.txt: 2.0 of 4.0 MB, " in shown
    assert "MB/s, 0:0" in shown
    assert " left" in shown


def test_progress_in_a_log_is_sparse():
    shown = _show(io.StringIO())
    assert "\r" not in shown
    assert len(shown.splitlines()) == 1


def test_download_survives_a_killed_write(server, tmp_path: Path):
    """A part whose end never reached the disk (zeros, as after a crash) is found out by its sha256."""
    server.page("/a", DATA)
    (tmp_path / "a.part").write_bytes(DATA[:1000] + bytes(1000))
    download(f"{server.url}/a", tmp_path / "a", WANTED, QUICK)
    assert (tmp_path / "a").read_bytes() == DATA
