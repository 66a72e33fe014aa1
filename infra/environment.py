"""Makes .venv from requirements.lock; does nothing where it is already there and whole. Run by environment.sh.

Standard library only: this runs before anything is installed. One process at a time makes it, the others wait.
A stamp, written last, says what the environment was made from: without it, or with another one, .venv is made anew.
"""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
REQUIREMENTS = ROOT / "requirements.lock"
STAMP = VENV / "made-from.txt"


def main() -> None:
    if is_whole():
        return
    with (ROOT / ".venv.lock").open("a") as lock:
        wait_for(lock.fileno())
        if not is_whole():
            make(lock.fileno())


def stamp() -> str:
    """What .venv depends on: the locked versions, and its place (a venv that was moved is broken)."""
    return f"{hashlib.sha256(REQUIREMENTS.read_bytes()).hexdigest()}\n{VENV}\n"


def is_whole() -> bool:
    """Is .venv complete, from this lock, in this place, and of the Python that the user names (if one is named)?"""
    if not STAMP.is_file() or not (VENV / "bin/python").exists():
        return False
    made_from = STAMP.read_text(encoding="utf-8")
    wanted = f"{stamp()}{version()}\n" if os.environ.get("PYTHON") else stamp()
    return made_from.startswith(wanted)


def version() -> str:
    return ".".join(map(str, sys.version_info[:3]))


def wait_for(lock: int) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        print("environment: another process is making .venv, waiting for it", flush=True)
        fcntl.flock(lock, fcntl.LOCK_EX)


def make(lock: int) -> None:
    """A new .venv. The children inherit the lock: should this process be killed, nobody starts before they end."""
    python = getattr(sys, "_base_executable", None) or sys.executable
    print(f"environment: making .venv with Python {version()} ({python})", flush=True)
    remove()
    subprocess.run([python, "-m", "venv", str(VENV)], check=True, pass_fds=[lock])
    install(lock)
    made_from = STAMP.with_suffix(".new")
    made_from.write_text(f"{stamp()}{version()}\n", encoding="utf-8")
    os.replace(made_from, STAMP)
    print("environment: ready", flush=True)


def remove() -> None:
    """Whatever stands at .venv; of a link the link only, for what it points to is somebody else's."""
    if VENV.is_symlink():
        VENV.unlink()
    elif VENV.exists():
        shutil.rmtree(VENV)


def install(lock: int) -> None:
    """pip, with its many lines kept in a log and a short account of them on the terminal."""
    lines = REQUIREMENTS.read_text(encoding="utf-8").splitlines()
    wanted = sum("==" in line for line in lines)
    print(f"environment: installing {wanted} packages of requirements.lock (some minutes, about 2 GB)", flush=True)
    log = VENV / "pip.log"
    command = [str(VENV / "bin/python"), "-m", "pip", "install", "--no-input", "--disable-pip-version-check"]
    command += ["--progress-bar", "off", "-r", str(REQUIREMENTS)]
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, pass_fds=[lock]
    ) as pip:
        assert pip.stdout is not None
        show(pip.stdout, log, wanted)
    if pip.returncode:
        tail = log.read_text(encoding="utf-8").splitlines()[-20:]
        print("\n".join(tail), file=sys.stderr)
        sys.exit(f"error: {REQUIREMENTS.name}: pip ended with status {pip.returncode}; see above, then try again")


def show(lines: Iterable[str], log: Path, wanted: int) -> None:
    """Copy pip's lines to the log and say from time to time how far it is."""
    met = 0
    with log.open("w", encoding="utf-8") as copy:
        for line in lines:
            copy.write(line)
            copy.flush()
            words = line.split()
            if words[:1] in (["Collecting"], ["Processing"]):
                met += 1
                if met % 25 == 0 or words[1].startswith("torch=="):
                    print(f"environment: {met} of {wanted} packages met, now {words[1].rpartition('/')[2]}", flush=True)
            elif words[:2] == ["Installing", "collected"]:
                print("environment: all packages are here, unpacking them", flush=True)


if __name__ == "__main__":
    main()
