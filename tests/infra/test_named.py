"""Whatever infra/ names is there: modules, options, scripts, environment variables, probe paths."""

import ast
import importlib.util
import os
import re
import shutil
import subprocess
from functools import cache
from pathlib import Path

import pytest
import yaml

from tests.infra.manifests import (
    INFRA,
    OVERLAYS,
    ROOT,
    SHELL,
    commands,
    files_with_commands,
    options,
    parts,
    pods,
    ray_job,
    rendered,
    variables_of,
)

pytestmark = pytest.mark.manifests

FILES = files_with_commands()
OF_OTHERS = {
    # Ray's, MLflow's clients' and AWS's, read by the libraries themselves.
    *("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH", "RAY_USAGE_STATS_ENABLED", "DO_NOT_TRACK"),
    *("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"),
    *("AWS_ENDPOINT_URL", "AWS_DEFAULT_REGION", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"),
    # libpq's and those of the images of PostgreSQL and of the S3 store.
    *("PGHOST", "PGUSER", "PGDATABASE", "PGPASSWORD", "PGDATA"),
    *("POSTGRES_USER", "POSTGRES_DB", "POSTGRES_PASSWORD", "ROOT_ACCESS_KEY", "ROOT_SECRET_KEY"),
    *("GIT_CONFIG_COUNT", "GIT_CONFIG_KEY_0", "GIT_CONFIG_VALUE_0"),
}


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def source_of(module: str) -> Path | None:
    """The file that `python -m module` runs, if it is of this repository."""
    stem = ROOT / module.replace(".", "/")
    return next((path for path in (stem.with_suffix(".py"), stem / "__main__.py") if path.is_file()), None)


@cache
def accepted(path: Path) -> frozenset[str]:
    """The options that a module's parser knows."""
    calls = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
    added = [call for call in calls if ast.unparse(call.func).endswith(".add_argument")]
    return frozenset(str(arg.value) for call in added for arg in call.args if isinstance(arg, ast.Constant))


@cache
def text_of(module: str) -> str:
    """The source of a library's file, which takes seconds less than importing it."""
    package, _, rest = module.partition("/")
    return (Path(str(importlib.util.find_spec(package).origin)).parent / rest).read_text()  # type: ignore[union-attr]


@cache
def of_mlflow() -> frozenset[str]:
    """Options of its commands."""
    return frozenset(
        re.findall(r'"(--[a-z-]+)[/"]', text_of("mlflow/cli/__init__.py") + text_of("mlflow/utils/cli_args.py"))
    )


@pytest.mark.parametrize("path", FILES, ids=name)
def test_modules_and_their_options_are_there(path: Path) -> None:
    for module, *words in commands(path):
        if module.partition(".")[0] in ("pipelines", "infra"):
            source = source_of(module)
            assert source is not None, f"{name(path)}: no module {module}"
            unknown = options(words) - accepted(source) - {"--help"}
            assert not unknown, f"{name(path)}: {module} knows no {unknown}"
        elif module == "mlflow":
            assert words[:2] == ["db", "upgrade"] or words[0] == "server", words
            assert not options(words) - of_mlflow(), words
        elif module == "pytest":
            folders = [word.rstrip("`") for word in words if word.startswith("tests")]
            assert folders, words
            assert all((ROOT / folder).exists() for folder in folders), words
        else:
            assert module in ("ray.scripts.scripts", "dvc"), f"{name(path)}: what is {module}?"


def test_the_tick_of_every_scheduler_runs_the_entry_point() -> None:
    """Which the files do not all write as `python -m`: the shell script composes its options."""
    script = (INFRA / "jobs/tick.sh").read_text()
    used = set(re.findall(r"(?<![\w-])--[a-z-]+", script.partition("set -a")[2]))
    entry, submit = source_of("pipelines.retrain"), source_of("infra.jobs.ray.submit")
    assert entry is not None
    assert submit is not None
    assert used <= accepted(entry) | accepted(submit)
    assert options(ray_job("gpu")["spec"]["entrypoint"].split()) <= accepted(entry)


def test_options_of_the_tracking_server_are_known() -> None:
    used = {word for _, _, spec in pods("mlflow") for c in spec["containers"] for word in c.get("args", [])}
    assert {word for word in used if word.startswith("--")} <= of_mlflow()
    compose = yaml.safe_load((INFRA / "mlflow/compose.yaml").read_text())
    assert {word for word in compose["services"]["mlflow"]["command"] if word.startswith("--")} <= of_mlflow()


@pytest.mark.parametrize("path", FILES, ids=name)
def test_files_that_are_named_are_there(path: Path) -> None:
    text = path.read_text()
    for found in re.findall(r"(?<![\w./-])(?:infra|pipelines|tests)/[\w./-]*\w", text):
        assert (ROOT / found).exists(), f"{name(path)}: no {found}"
    for found in re.findall(r"recurrent-training/([\w./-]*\w)", text):
        assert found == "git" or (ROOT / found).exists(), f"{name(path)}: no {found}"


def test_scripts_can_be_executed() -> None:
    for path in SHELL:
        assert os.access(path, os.X_OK) or path.suffix == ".sbatch", f"{name(path)}: chmod +x"


def known_variables() -> set[str]:
    table = re.findall(r"^\| `([A-Z_]+)`", (ROOT / "README.md").read_text(), re.MULTILINE)
    ours = set(re.findall(r"\bRETRAIN_[A-Z_]+\b", (INFRA / "jobs/retrain.env.example").read_text()))
    of_cli = re.findall(r'envvar="(\w+)"', text_of("mlflow/cli/__init__.py"))
    of_mlflow = re.findall(r"^(MLFLOW_\w+) = ", text_of("mlflow/environment_variables.py"), re.MULTILINE)
    return {*table, *ours, *OF_OTHERS, *of_cli, *of_mlflow}


def test_variables_that_are_set_are_known() -> None:
    """In manifests, compose file, example of settings, Dockerfile and scripts."""
    known = known_variables()
    documents = [*(item for overlay in OVERLAYS for item in rendered(overlay))]
    documents += list(yaml.safe_load_all((INFRA / "mlflow/compose.yaml").read_text()))
    for part in parts(documents):
        unknown = set(variables_of(part)) - known - {"JOB_NAME", "JOB_UID"}
        assert not unknown, f"nobody reads {unknown}"
    for item in documents:
        if item.get("kind") == "ConfigMap" and item["metadata"]["name"] in ("retrain", "mlflow"):
            assert set(item["data"]) <= known, set(item["data"]) - known
    example = (INFRA / "jobs/retrain.env.example").read_text()
    assert set(re.findall(r"^#?([A-Z_]+)=", example, re.MULTILINE)) <= known
    for path in SHELL:
        exported = {word.partition("=")[0] for line in re.findall(r"^\s*export (.*)", path.read_text(), re.MULTILINE)
                    for word in line.split() if re.match(r"[A-Z_]+(=|$)", word)}  # fmt: skip
        assert exported - {"PATH"} <= known, f"{name(path)}: {exported - known}"


def test_variables_of_arguments_are_those_of_their_container() -> None:
    for overlay in OVERLAYS:
        for pod, _, spec in pods(overlay):
            for container in spec["containers"]:
                words = " ".join([*container.get("command", []), *container.get("args", [])])
                assert set(re.findall(r"\$\((\w+)\)", words)) <= set(variables_of(container)), pod


def test_settings_of_a_tick_are_all_in_its_example() -> None:
    example = set(re.findall(r"\bRETRAIN_[A-Z_]+", (INFRA / "jobs/retrain.env.example").read_text()))
    script = set(re.findall(r"\bRETRAIN_[A-Z_]+", (INFRA / "jobs/tick.sh").read_text()))
    assert script == example
    settings = yaml.safe_load((INFRA / "jobs/kubernetes/base/settings.yaml").read_text())["data"]
    named = set(re.findall(r"\$(RETRAIN_\w+)", ray_job("gpu")["spec"]["entrypoint"]))
    assert named == {key for key in settings if key.startswith("RETRAIN_")}


def test_probes_ask_for_what_the_server_answers() -> None:
    rules = set(re.findall(r'route\(_add_static_prefix\("(/\w+)"\)\)', text_of("mlflow/server/__init__.py")))
    probes = 0
    for _, _, spec in pods("mlflow"):
        for container in spec["containers"]:
            ports = {port["name"] for port in container["ports"]}
            for part in parts(container):
                if isinstance(part, dict) and "httpGet" in part:
                    probes += 1
                    assert part["httpGet"]["path"] in rules
                    assert part["httpGet"]["port"] in ports
    assert probes == 3
    compose = (INFRA / "mlflow/compose.yaml").read_text()
    assert set(re.findall(r"http://127\.0\.0\.1:5000(/\w+)", compose)) <= rules


@pytest.mark.parametrize("program", ["pg_dump", "pg_restore", "pg_isready", "wget"])
def test_options_of_other_programs_are_known(program: str) -> None:
    if shutil.which(program) is None:
        pytest.skip(f"{program} is not on this machine")
    used = set()
    for path in FILES + sorted(INFRA.rglob("*.py")):
        lines = re.findall(rf"\b{program}\b(?!:)([^\n&]*)", path.read_text().replace("\\\n", " "))
        used |= {option for line in lines for option in re.findall(r"(?<![\w-])--[a-z][a-z-]+", line)}
    helped = subprocess.run([program, "--help"], capture_output=True, text=True, check=True).stdout
    assert used
    assert used <= set(re.findall(r"--[a-z][a-z-]+", helped))


def test_options_of_rays_nodes_under_slurm_are_known() -> None:
    from ray.scripts.scripts import start

    lines = re.findall(r"^(?:common=|on_node |    on_node ).*", (INFRA / "jobs/slurm/retrain.sbatch").read_text(), re.M)
    used = {option for line in lines for option in re.findall(r"(?<![\w-])--[a-z][a-z-]+", line)}
    assert len(used) > 5
    assert used <= {option for parameter in start.params for option in parameter.opts}
