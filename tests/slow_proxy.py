"""A proxy on loopback whose answers come late: in the place of a tracking server that is slow."""

import contextlib
import socket
import threading
import time
from collections.abc import Iterator

HOST = "127.0.0.1"


@contextlib.contextmanager
def slowed(port: int, seconds: float) -> Iterator[str]:
    """The address of a proxy for the server on `port`, each of whose answers it holds back for `seconds`."""
    listening = socket.create_server((HOST, 0))
    threading.Thread(target=_accept, args=(listening, port, seconds), daemon=True).start()
    try:
        yield f"http://{HOST}:{listening.getsockname()[1]}"
    finally:
        listening.shutdown(socket.SHUT_RDWR)
        listening.close()


def _accept(listening: socket.socket, port: int, seconds: float) -> None:
    with contextlib.suppress(OSError):
        while True:
            caller, _ = listening.accept()
            try:
                server = socket.create_connection((HOST, port))
            except OSError:  # it is down: so is this one, for now
                caller.close()
                continue
            threading.Thread(target=_pass_on, args=(caller, server, 0.0), daemon=True).start()
            threading.Thread(target=_pass_on, args=(server, caller, seconds), daemon=True).start()


def _pass_on(source: socket.socket, target: socket.socket, seconds: float) -> None:
    """What comes from one to the other until either closes."""
    with contextlib.suppress(OSError), source, target:
        while data := source.recv(1 << 16):
            time.sleep(seconds)
            target.sendall(data)
