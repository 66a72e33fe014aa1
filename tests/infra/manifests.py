"""What the tests of infra/ share: rendered overlays, the pods in them, the commands and variables that files name."""

import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
INFRA = ROOT / "infra"
OVERLAYS = {
    "cpu-small": INFRA / "jobs/kubernetes/overlays/cpu-small",
    "gpu": INFRA / "jobs/kubernetes/overlays/gpu",
    "mlflow": INFRA / "mlflow/kubernetes",
}
SHELL = sorted([*INFRA.rglob("*.sh"), *INFRA.rglob("*.sbatch")])


@cache
def rendered(overlay: str) -> tuple[dict[str, Any], ...]:
    """All objects of an overlay, as kubectl would apply them."""
    if shutil.which("kubectl") is None:
        pytest.skip("kubectl, which renders overlays, is not on this machine")
    command = ["kubectl", "kustomize", str(OVERLAYS[overlay])]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return tuple(yaml.safe_load_all(done.stdout))


def of_kind(overlay: str, kind: str) -> list[dict[str, Any]]:
    return [item for item in rendered(overlay) if item["kind"] == kind]


def ray_job(overlay: str) -> dict[str, Any]:
    """The RayJob that a tick makes, as infra/jobs/kubernetes/tick.py completes it."""
    (config,) = [item for item in of_kind(overlay, "ConfigMap") if item["metadata"]["name"] == "retrain-job"]
    job = yaml.safe_load(config["data"]["rayjob.yaml"])
    job["metadata"]["name"] = "retrain-1-1"
    return job


def parts(value: Any) -> Iterator[Any]:
    """A value and all that it holds."""
    yield value
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    for part in inner:
        yield from parts(part)


def pods(overlay: str) -> list[tuple[str, dict[str, str], dict[str, Any]]]:
    """Name, labels and spec of every pod that an overlay leads to."""
    found = []
    for item in rendered(overlay):
        name = f"{item['kind']}/{item['metadata']['name']}"
        for part in parts(item):
            if isinstance(part, dict) and isinstance(part.get("template"), dict):
                spec = part["template"].get("spec", {})
                if "containers" in spec:
                    labels = part["template"].get("metadata", {}).get("labels", {})
                    if item["kind"] == "RayCluster":  # the operator says whose its pods are
                        labels = labels | {"ray.io/cluster": item["metadata"]["name"]}
                        name = f"RayCluster/{part.get('groupName', 'head')}"
                    found.append((name, labels, spec))
    assert found, overlay
    return found


def files_with_commands() -> list[Path]:
    """All of infra/ that a person or a machine executes or reads commands from."""
    suffixes = (".md", ".sh", ".sbatch", ".yaml", ".service")
    named = ("Dockerfile", "crontab", "scrontab")
    return sorted(
        path for path in INFRA.rglob("*") if path.is_file() and (path.suffix in suffixes or path.name in named)
    )


def commands(path: Path) -> list[list[str]]:
    """`[module, words...]` of every `python -m module words...` in a file, in text or as a list of YAML."""
    text = path.read_text(encoding="utf-8")
    found = []
    for match in re.finditer(r"python3? -m ([\w.]+)((?:[ \t]+[^\s|&;`)>]+|[ \t]*\\\n|\n {4,})*)", text):
        words = match[2].replace("\\\n", " ")
        found.append([match[1], *shlex.split(words, comments=True)])
    if path.suffix == ".yaml":
        found += listed_commands(text)
    return found


def listed_commands(text: str) -> list[list[str]]:
    found = []
    for document in yaml.safe_load_all(text):
        for part in parts(document):
            if isinstance(part, dict):
                words = [*(part.get("entrypoint") or []), *(part.get("command") or []), *(part.get("args") or [])]
                if words[:2] == ["python", "-m"]:
                    found.append(words[2:])
    return found


def options(words: list[str]) -> set[str]:
    """The options among a command's words, those of another command behind `--` left out."""
    own = words[: words.index("--")] if "--" in words else words
    return {word.partition("=")[0] for word in own if re.match(r"--[a-z]", word)}


def variables_of(part: Any) -> dict[str, Any]:
    """Names of environment variables that a piece of YAML sets, with their values."""
    found: dict[str, Any] = {}
    if isinstance(part, dict):
        for entry in part.get("env") or []:
            found[entry["name"]] = entry.get("value", entry.get("valueFrom"))
        environment = part.get("environment")
        if isinstance(environment, dict):
            found |= environment
    return found
