"""What infra/cluster/README.md says to type exists: commands, options, variables, ports and files."""

import mmap
import re
import shlex
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import click
import pyarrow
import pytest
import ray
from dvc.cli.parser import get_main_parser

from pipelines import paths
from pipelines.cluster import Resources

TEXT = (paths.REPOSITORY / "infra/cluster/README.md").read_text(encoding="utf-8")
FENCED = re.findall(r"```sh\n(.*?)```", TEXT, re.DOTALL)
INLINE = re.findall(r"`([^`\n]+)`", re.sub(r"```.*?```", "", TEXT, flags=re.DOTALL))


def commands() -> Iterator[list[str]]:
    """Each that the page gives, in words, without the variables before it."""
    lines = [line for block in FENCED for line in block.replace("\\\n", " ").splitlines()]
    for line in [*lines, *INLINE]:
        words = shlex.split(line, comments=True)
        if words and not re.match(r"[A-Z_]+=", words[0]):
            yield [words[0].removeprefix(".venv/bin/"), *words[1:]]


def of(program: str) -> list[list[str]]:
    found = [words[1:] for words in commands() if words[0] == program and len(words) > 1]
    assert found, f"the page has no command of {program}"
    return found


@pytest.fixture(scope="module")
def ray_commands() -> click.Group:
    from ray.scripts.scripts import cli

    return cli


@pytest.mark.parametrize("words", of("ray"), ids=" ".join)
def test_commands_and_options_of_ray_exist(ray_commands: click.Group, words: list[str]) -> None:
    command: click.Command = ray_commands
    while isinstance(command, click.Group) and words:
        assert words[0] in command.commands, f"ray has no {words[0]}"
        command, words = command.commands[words[0]], words[1:]
    known = {option for parameter in command.params for option in parameter.opts}
    assert {word.partition("=")[0] for word in words if word.startswith("-")} <= known


def test_options_named_alone_are_those_of_ray_start(ray_commands: click.Group) -> None:
    known = {option for parameter in ray_commands.commands["start"].params for option in parameter.opts}
    named = {words[0] for words in commands() if words[0].startswith("--")}
    assert named
    assert named <= known


def test_variables_exist() -> None:
    ours = set(re.findall(r"^\| `([A-Z_]+)`", (paths.REPOSITORY / "README.md").read_text(), re.MULTILINE))
    named = set(re.findall(r"\b(?:AWS|GLOO|MLFLOW|NCCL|RAY|RNN)_[A-Z_]+\b", TEXT))
    assert {"RAY_AUTH_TOKEN", "RNN_STORAGE", "AWS_ACCESS_KEY_ID"} <= named
    for variable in named - ours:
        assert variable.startswith(("RAY_", "AWS_")), f"README.md has no {variable}"
        package = Path((ray if variable.startswith("RAY_") else pyarrow).__file__).parent
        readers = [*package.glob("_raylet.so"), *package.glob("dashboard/modules/metrics/*_head.py")]
        readers += package.glob("libarrow.so*")
        assert any(holds(reader, variable) for reader in readers), f"nobody reads {variable}"


def test_settings_of_the_health_check_are_known_to_ray() -> None:
    settings = re.findall(r'"(health_check_\w+)"', TEXT)
    assert settings
    assert all(holds(Path(ray._raylet.__file__), setting) for setting in settings)


def holds(file: Path, text: str) -> bool:
    """Whether a file, however large, has this in it."""
    with file.open("rb") as opened, mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as content:
        return content.find(text.encode()) >= 0


def test_ports_files_and_versions_are_those_of_ray() -> None:
    from ray._private import ray_constants

    assert f"port {ray_constants.DEFAULT_DASHBOARD_PORT} (`--dashboard-host`" in TEXT
    assert f"/tmp/ray/{ray_constants.PROMETHEUS_SERVICE_DISCOVERY_FILE}" in TEXT
    assert f"'ray[default]=={metadata.version('ray')}'" in TEXT
    assert f"workers wait `RNN_TIMEOUT_SECONDS` ({Resources.timeout_seconds} s unless given) in a sum" in TEXT


@pytest.mark.parametrize("words", of("dvc"), ids=" ".join)
def test_commands_of_dvc_are_taken(words: list[str]) -> None:
    get_main_parser().parse_args(words)


@pytest.mark.parametrize("words", of("make"), ids=" ".join)
def test_targets_of_make_exist(words: list[str]) -> None:
    makefile = (paths.REPOSITORY / "Makefile").read_text()
    for target in words:
        assert re.search(rf"^{target}:", makefile, re.MULTILINE)
