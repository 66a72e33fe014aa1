"""Writes requirements.lock from pyproject.toml: `make lock` (UPGRADE=1: newest versions instead of those locked now).

Exact versions without hashes and without local parts (`torch==2.13.0`, not `+cpu`), and without the CUDA libraries
that a torch build pins by itself: one file serves CPU and CUDA, Python 3.11 to 3.13.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOCK = ROOT / "requirements.lock"
CUDA = re.compile(r"(nvidia|cuda)[-_].*|triton")
HEAD = "# Made by `make lock` from pyproject.toml: exact versions of all that is installed. Do not edit.\n"


def main() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    extras = project["project"]["optional-dependencies"].values()
    wanted = [*project["project"]["dependencies"], *(name for extra in extras for name in extra)]
    constraints = list(project["tool"]["lock"]["pins"])
    if LOCK.exists() and not os.environ.get("UPGRADE"):
        constraints += [line for line in LOCK.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    lines = resolve(wanted, constraints)
    LOCK.write_text(HEAD + "\n".join(lines) + "\n", encoding="utf-8")
    print(f"lock: {len(lines)} packages in {LOCK.name}")


def resolve(wanted: list[str], constraints: list[str]) -> list[str]:
    """`name==version` of every package that pip would install into an empty environment, sorted."""
    with tempfile.TemporaryDirectory() as folder:
        limits, report = Path(folder, "constraints.txt"), Path(folder, "report.json")
        limits.write_text("\n".join(constraints), encoding="utf-8")
        command = [sys.executable, "-m", "pip", "install", "--dry-run", "--ignore-installed", "--quiet", "--no-input"]
        subprocess.run([*command, "--report", report, "-c", limits, *wanted], check=True)
        packages = [item["metadata"] for item in json.loads(report.read_text(encoding="utf-8"))["install"]]
    pins = {p["name"]: p["version"].partition("+")[0] for p in packages if not CUDA.fullmatch(p["name"].lower())}
    return [f"{name}=={pins[name]}" for name in sorted(pins, key=str.lower)]


if __name__ == "__main__":
    main()
