"""An object store of its own for tests: a server that speaks S3, in a process on loopback or where a test says."""

import contextlib
import hashlib
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from pyarrow import fs

from pipelines.shards import Shard, Shards
from tests import ports

ACCESS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "planted-secret", "AWS_DEFAULT_REGION": "us-east-1"}
"""What its users have in their environment."""
BUCKET = "bucket"


@contextlib.contextmanager
def served(host: str = "127.0.0.1") -> Iterator["ObjectStore"]:
    """A store with one empty bucket, ended at the end.

    Args:
        host: address that it listens at.
    """
    port = ports.free(host)
    command = [sys.executable, "-m", "moto.server", "-H", host, "-p", str(port)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        try:
            _wait_for(host, port, server)
            yield ObjectStore(f"{host}:{port}")
        finally:
            server.kill()


class ObjectStore:
    def __init__(self, endpoint: str):
        """
        Args:
            endpoint: host and port.
        """
        self.endpoint = endpoint
        access = {"access_key": ACCESS["AWS_ACCESS_KEY_ID"], "secret_key": ACCESS["AWS_SECRET_ACCESS_KEY"]}
        where = {"endpoint_override": endpoint, "scheme": "http", "region": ACCESS["AWS_DEFAULT_REGION"]}
        self.system = fs.S3FileSystem(**access, **where, allow_bucket_creation=True)
        self.system.create_dir(BUCKET)

    def address(self, folder: str) -> str:
        """As RNN_STORAGE takes it."""
        return f"s3://{BUCKET}/{folder}?scheme=http&endpoint_override={self.endpoint.replace(':', '%3A')}"

    def push(self, arrow: Path, folder: str) -> Shards:
        """An Arrow folder's files where `dvc push` puts them."""
        listed = []
        for path in sorted(arrow.iterdir()):
            content = path.read_bytes()
            md5 = hashlib.md5(content, usedforsecurity=False).hexdigest()
            with self.system.open_output_stream(f"{BUCKET}/{folder}/files/md5/{md5[:2]}/{md5[2:]}") as out:
                out.write(content)
            listed.append(Shard(path.name, md5, len(content)))
        return Shards(remote=self.address(folder), files=tuple(listed))

    def dvc_remote(self, folder: str) -> str:
        """The lines of .dvc/config that name it."""
        url = f"s3://{BUCKET}/{folder}"
        return f"[core]\nremote = far\n['remote \"far\"']\nurl = {url}\nendpointurl = http://{self.endpoint}\n"


def _wait_for(host: str, port: int, server: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 120
    while True:
        try:
            socket.create_connection((host, port), timeout=5).close()
            return
        except OSError:
            assert server.poll() is None, "the object store ended"
            assert time.monotonic() < deadline, "the object store does not answer"
            time.sleep(0.1)
