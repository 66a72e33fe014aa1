"""The install steps of the image: an environment of the locked versions, without the tools of the tests.

    python -m infra.images.install --device cpu|cuda --into FOLDER

Standard library only: this runs before anything is installed. `requirements.lock` says every version; a package that
it does not name is refused, but for the CUDA libraries that a build of torch pins by itself. Bytecode is written once
and never looked at again by its date, so that two images of the same lock hold the same files.
"""

import argparse
import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path

from infra.lock import CUDA, LOCK, ROOT

EXTRAS = ("cluster",)


def main() -> None:
    parser = argparse.ArgumentParser(description="Make the environment of the image.")
    parser.add_argument("--device", choices=("cpu", "cuda"), required=True, help="which build of torch is wanted")
    parser.add_argument("--into", type=Path, required=True, help="folder of the environment; must not be there")
    arguments = parser.parse_args()
    if arguments.into.exists():
        sys.exit(f"error: --into {arguments.into}: is there already; name a folder that is not")
    python = made(arguments.into)
    check(packages(python), locked(LOCK.read_text(encoding="utf-8")), arguments.device)
    compiled(python)


def made(folder: Path) -> Path:
    """The environment's Python, everything installed."""
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    python = folder / "bin/python"
    command = [str(python), "-m", "pip", "install", "--no-input", "--no-cache-dir", "--no-compile"]
    command += ["--disable-pip-version-check", "--progress-bar", "off", "--constraint", str(LOCK), *wanted()]
    subprocess.run(command, check=True)
    return python


def wanted() -> list[str]:
    """What the package needs, on a cluster too; not what only its tests need."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = [name for extra in EXTRAS for name in project["optional-dependencies"][extra]]
    return [*project["dependencies"], *extras]


def locked(lock: str) -> dict[str, str]:
    lines = [line.partition("==") for line in lock.splitlines() if "==" in line and not line.startswith("#")]
    return {normal(name): version for name, _, version in lines}


def packages(python: Path) -> dict[str, str]:
    """Name and version of all that is installed, with a build's local part: `2.13.0+cpu`."""
    command = [str(python), "-m", "pip", "list", "--format", "json", "--disable-pip-version-check"]
    listed = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return {normal(package["name"]): package["version"] for package in listed}


def check(installed: dict[str, str], lock: dict[str, str], device: str) -> None:
    """Ends the process where something is installed that the lock does not say, or torch is built for other devices."""
    cuda = sorted(name for name in installed if CUDA.fullmatch(name))
    others = {name: version.partition("+")[0] for name, version in installed.items() if name not in cuda}
    wrong = [f"{n} {v}" for n, v in others.items() if lock.get(n) != v and n not in ("pip", "setuptools")]
    if wrong:
        sys.exit(f"error: requirements.lock has not: {', '.join(sorted(wrong))}; `make lock` brings it up to date")
    if device == "cpu" and cuda:
        sys.exit(
            f"error: --device cpu: torch brought {len(cuda)} CUDA libraries ({cuda[0]}, ...); name the index of its "
            "builds for CPUs in pip.conf (infra/images/README.md)"
        )
    if device == "cuda" and not cuda:
        sys.exit("error: --device cuda: this build of torch is for CPUs; name an index of its CUDA builds in pip.conf")


def normal(name: str) -> str:
    return name.lower().replace("_", "-").replace(".", "-")


def compiled(python: Path) -> None:
    command = [str(python), "-m", "compileall", "-qq", "-j", "0", "--invalidation-mode", "unchecked-hash"]
    # Some packages ship templates and files of other versions that are no Python; nobody imports them.
    subprocess.run(
        [*command, str(python.parent.parent / "lib")], check=False, env={**os.environ, "PYTHONHASHSEED": "0"}
    )


if __name__ == "__main__":
    main()
