"""Ports for servers that tests start."""

import socket


def free(host: str = "127.0.0.1") -> int:
    """One at this address that nobody listens on now."""
    with socket.socket() as one:
        one.bind((host, 0))
        return int(one.getsockname()[1])
