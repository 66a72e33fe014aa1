"""Hosts of their own on one machine: network namespaces joined by a bridge, each with name, address and Ray node.

Needs root and iproute2. Whatever happens, `made` removes what it has made: namespaces, bridge, processes, folders.
"""

import contextlib
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

PORT = 6379
JOBS_PORT = 8265
HEALTH = '{"health_check_initial_delay_ms": 0, "health_check_period_ms": 1000, "health_check_failure_threshold": 5}'
"""A host that is gone is known to be so after 5 seconds."""
NETWORK = f"10.{77 + os.getpid() % 100}.{os.getpid() // 100 % 250}"
"""Of this process: tests that run beside each other do not meet."""


def possible() -> bool:
    """Whether this machine lets hosts be made."""
    return os.geteuid() == 0 and shutil.which("ip") is not None


class Host:
    """A namespace; its processes are those that were started in it."""

    def __init__(self, hosts: "Hosts", number: int, hides: Path | None):
        self._hides = hides
        self.name, self.address = f"host{number}", f"{NETWORK}.{number + 10}"
        self._hosts, self._space, self._wire = hosts, f"{hosts.prefix}n{number}", f"{hosts.prefix}w{number}"
        self._ray: subprocess.Popen[bytes] | None = None
        _ip("netns", "add", self._space)
        _ip("link", "add", self._wire, "type", "veth", "peer", "name", "eth0", "netns", self._space)
        _ip("link", "set", self._wire, "master", hosts.bridge, "up")
        _ip("-n", self._space, "link", "set", "lo", "up")
        _ip("-n", self._space, "address", "add", f"{self.address}/24", "dev", "eth0")
        _ip("-n", self._space, "link", "set", "eth0", "up")
        _ip("-n", self._space, "route", "add", "default", "via", hosts.outside)

    def within(self) -> list[str]:
        """What a command is begun with, to run on this host and to know it by its name."""
        hiding = f"mount -t tmpfs none '{self._hides}' && " if self._hides else ""
        begin = f'hostname {self.name} && {hiding}exec "$@"'
        return ["ip", "netns", "exec", self._space, "unshare", "--uts", "--mount", "sh", "-c", begin, "sh"]

    def environment(self, **variables: str) -> dict[str, str]:
        """Of its processes: all of them know the cluster's token, and over which network to speak to each other."""
        known = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": self._hosts.token, "GLOO_SOCKET_IFNAME": "eth0"}
        known |= {"RAY_ADDRESS": f"{self._hosts.head}:{PORT}", "RNN_NODE_FOLDER": str(self._hosts.folder / self.name)}
        return {**os.environ, **known, **self._hosts.variables, **variables}

    def start_ray(self, cores: int, jobs: bool = False) -> None:
        """Its Ray node: the head, if it is the first host. Returns when the cluster knows it.

        Args:
            jobs: the head takes jobs, at JOBS_PORT of its address.
        """
        command = [*self.within(), sys.executable, "-m", "ray.scripts.scripts", "start", "--block"]
        command += ["--node-ip-address", self.address, "--num-cpus", str(cores), "--disable-usage-stats"]
        if self.address == self._hosts.head:
            command += ["--head", "--port", str(PORT), "--system-config", HEALTH]
            command += ["--include-dashboard", str(jobs).lower()]
            command += ["--dashboard-host", self.address, "--dashboard-port", str(JOBS_PORT)]
            command += ["--temp-dir", str(self._hosts.folder / "ray")]
        else:
            command += ["--address", f"{self._hosts.head}:{PORT}"]
        environment = self.environment()
        del environment["RAY_ADDRESS"]
        log = (self._hosts.folder / f"{self.name}.log").open("a")
        with log:
            self._ray = subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True)
        deadline = time.monotonic() + 120
        while "Ray runtime started" not in (self._hosts.folder / f"{self.name}.log").read_text():
            assert time.monotonic() < deadline, (self._hosts.folder / f"{self.name}.log").read_text()
            time.sleep(0.2)

    def kill(self) -> None:
        """SIGKILL on all its processes: a machine that lost its power. The namespace stays, to be started again."""
        listed = subprocess.run(["ip", "netns", "pids", self._space], capture_output=True, text=True, check=True)
        for process in map(int, listed.stdout.split()):
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        if self._ray is not None:
            self._ray.wait()
        (self._hosts.folder / f"{self.name}.log").unlink(missing_ok=True)

    def cut(self) -> None:
        """Pull its plug out of the bridge."""
        _ip("link", "set", self._wire, "down")

    def mend(self) -> None:
        """And put it in again."""
        _ip("link", "set", self._wire, "up")

    def remove(self) -> None:
        self.kill()
        _ip("netns", "delete", self._space)


class Hosts:
    """The first is the head, without cores for workers; whoever trains starts there."""

    def __init__(self, folder: Path, variables: dict[str, str]):
        self.folder, self.token, self.variables = folder, secrets.token_hex(16), variables
        self.prefix = f"rnn{os.getpid() % 100_000}"
        self.bridge, self.head, self.outside = f"{self.prefix}b", f"{NETWORK}.10", f"{NETWORK}.1"
        self._hosts: list[Host] = []
        _ip("link", "add", self.bridge, "type", "bridge")
        _ip("address", "add", f"{self.outside}/24", "dev", self.bridge)
        _ip("link", "set", self.bridge, "up")

    def add(self, cores: int = 1, hides: Path | None = None, jobs: bool = False) -> Host:
        """One more host, its Ray node started.

        Args:
            jobs: it takes jobs, being the head.
            hides: a folder that is empty there: the host does not share it with the others.
        """
        host = Host(self, len(self._hosts), hides)
        self._hosts.append(host)
        host.start_ray(cores, jobs)
        return host

    def remove(self) -> None:
        for host in self._hosts:
            host.remove()
        _ip("link", "delete", self.bridge)


@contextlib.contextmanager
def made(**variables: str) -> Iterator[Hosts]:
    """A bridge without hosts, in a folder of a short name: Ray's sockets lie in it.

    Args:
        variables: of the environment on all hosts.
    """
    folder = Path(tempfile.mkdtemp(prefix="h"))
    hosts = Hosts(folder, variables)
    try:
        yield hosts
    finally:
        hosts.remove()
        shutil.rmtree(folder, ignore_errors=True)


def _ip(*arguments: str) -> None:
    done = subprocess.run(["ip", *arguments], capture_output=True, text=True)
    assert done.returncode == 0, f"ip {' '.join(arguments)}: {done.stderr}"
