"""A real server on the loopback, with the bad habits that real servers have."""

import re
import socketserver
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest


@dataclass
class Page:
    """What one path answers."""

    content: bytes
    statuses: list[int] = field(default_factory=list)
    """Answered first, one a request; then the content."""
    closes_after: list[int] = field(default_factory=list)
    """Bytes after which the connection is cut, one a request; then never."""
    ranges: bool = True
    range_start: int | None = None
    """Where ranges begin, whatever was asked for."""
    length: bool = True
    """Whether Content-Length is sent."""
    pauses_after: int | None = None
    """Bytes of the first answer after which the server falls silent, until it is shut down."""
    stalls: float = 0.0
    """Seconds of silence before the content."""
    hits: int = 0
    served: int = 0
    """Bytes of content sent in all."""
    asked: list[str | None] = field(default_factory=list)
    """The Range header of each request."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        page = self.server.pages.get(self.path)
        self.close_connection = True
        if page is None:
            self.send_error(404)
            return
        page.hits += 1
        page.asked.append(self.headers.get("Range"))
        if page.statuses:
            self.send_error(page.statuses.pop(0))
            return
        time.sleep(page.stalls)
        self._send(page)

    def _send(self, page: Page) -> None:
        start = 0
        if page.ranges and (asked := re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range") or "")):
            start = int(asked[1]) if page.range_start is None else page.range_start
            if start >= len(page.content):
                self.send_error(416)
                return
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{len(page.content) - 1}/{len(page.content)}")
        else:
            self.send_response(200)
        body = page.content[start:]
        if page.length:
            self.send_header("Content-Length", str(len(body)))
        self.send_header("Connection", "close")
        self.end_headers()
        body = body[: page.closes_after.pop(0)] if page.closes_after else body
        page.served += len(body)
        if page.pauses_after is not None and page.hits == 1:
            page.served += page.pauses_after - len(body)
            body = body[: page.pauses_after]
            self.wfile.write(body)
            self.server.leave.wait()
            return
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Quiet."""


class FileServer(ThreadingHTTPServer):
    """`pages` maps "/path" to what it answers."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.pages: dict[str, Page] = {}
        self.leave = threading.Event()

    def server_bind(self) -> None:
        """Without the look-up of this machine's name, which takes seconds where there is no network."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = self.server_address[:2]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def page(self, path: str, content: bytes, **habits: object) -> Page:
        self.pages[path] = Page(content, **habits)
        return self.pages[path]

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that gave up is no news here."""


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FileServer]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with FileServer() as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.01,))
        thread.start()
        yield running
        running.leave.set()
        running.shutdown()
        thread.join()


@pytest.fixture
def nowhere() -> str:
    """An address that no one listens at."""
    with FileServer() as closed:
        return closed.url
