"""Who imports whom (DESIGN.md), and other rules about all files, read from their syntax trees.

infra -> pipelines (stages) -> pipelines.tasks -> rnn_core -> torch, numpy, pyarrow, safetensors
"""

import ast
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SOURCES = sorted(p for folder in ("rnn_core", "pipelines", "infra") for p in (ROOT / folder).rglob("*.py"))
ALL = SOURCES + sorted((ROOT / "tests").rglob("*.py"))
STAGES = ("fetch", "preprocess", "train", "evaluate", "register")
VARIABLES_OF_MAKE = {"PYTHON", "UPGRADE"}
"""Not of a deployment: infra/ reads them before or beside the pipelines."""

# In rnn_core a file imports only from files to its left in a chain, or from the first group.
FIRST = ("rnn_core", "rnn_core.errors", "rnn_core.config")
ALLOWED_IN_CORE = {
    "errors": (),
    "config": ("errors",),
    "products": (),
    "cells": ("products",),
    "dropout": (),
    "looking": (),
    "kernels": ("cells", "products", "looking"),
    "layers": ("cells", "kernels", "dropout", "motion", "products"),
    "attention": ("products",),
    "models": (
        *("cells", "kernels", "layers", "dropout", "products", "attention", "decoding"),
        *("readouts", "lanes", "buckets", "arrow", "text", "speech", "images", "series"),
    ),
    "readouts": (),
    "heads": ("dropout", "lanes", "looking", "products", "readouts", "series"),
    "arrow": (),
    "memory": (),
    "packing": (),
    "lanes": ("arrow", "dropout", "packing"),
    "averaging": (),
    "buckets": ("lanes", "packing"),
    "speech": ("bptt", "dropout", "lanes"),
    "images": ("arrow", "dropout", "lanes"),
    "series": ("arrow", "bptt", "lanes", "prefetch"),
    "text": ("arrow", "lanes", "packing"),
    "motion": ("dropout",),
    "metrics": (),
    "decoding": (),
    "inspect": ("cells", "lanes", "bptt", "optim", "speech"),
    "optim": (),
    "prefetch": ("lanes",),
    "bptt": ("lanes", "dropout", "optim", "prefetch"),
    "checkpoint": ("bptt", "optim", "lanes"),
    "saver": ("checkpoint", "bptt"),
    "networks": ("models", "heads", "lanes"),
    "classes": ("arrow", "bptt", "lanes", "metrics", "models", "networks", "readouts"),
    "graph": ("looking", "kernels"),
}


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


@cache
def imported(path: Path) -> frozenset[str]:
    """Dotted names of all that a file imports, wherever in it; `from a import b` gives `a` and `a.b`."""
    names = set()
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name(path)}:{node.lineno}: a relative import"
            names |= {node.module or ""} | {f"{node.module}.{alias.name}" for alias in node.names}
    return frozenset(names)


def packages(path: Path) -> set[str]:
    return {module.partition(".")[0] for module in imported(path)}


def part(path: Path) -> str:
    """The piece of rnn_core that a file belongs to: `cells` for rnn_core/cells/lstm.py."""
    return path.relative_to(ROOT / "rnn_core").parts[0].removesuffix(".py")


def inside(folder: str) -> list[Path]:
    return [path for path in SOURCES if path.is_relative_to(ROOT / folder)]


@pytest.mark.parametrize("path", inside("rnn_core"), ids=name)
def test_rnn_core_stands_on_four_libraries(path: Path) -> None:
    allowed = {"rnn_core", "torch", "triton", "numpy", "pyarrow", "safetensors", *sys.stdlib_module_names}
    assert packages(path) <= allowed


@pytest.mark.parametrize("path", inside("rnn_core"), ids=name)
def test_order_inside_rnn_core(path: Path) -> None:
    if path == ROOT / "rnn_core/__init__.py":
        assert not imported(path)
        return
    own = part(path)
    assert own in ALLOWED_IN_CORE, f"{name(path)}: a new piece of rnn_core wants its place in DESIGN and here"
    met = {module.split(".")[1] for module in imported(path) if module.startswith("rnn_core.")}
    assert met <= {own, "errors", "config", *ALLOWED_IN_CORE[own]} - ({"config"} if own == "errors" else set())


def test_pipelines_and_infra_are_imported_from_above_only() -> None:
    assert not [name(path) for path in inside("pipelines") if "infra" in packages(path)]


@pytest.mark.parametrize(
    ("library", "owners"),
    [
        ("mlflow", ("pipelines/tracking.py", "pipelines/tracking/")),
        # search.py: Ray Tune runs a sweep's trials, in a session that `cluster` starts and ends.
        ("ray", ("pipelines/cluster/", "pipelines/tuning/search.py")),
        ("dvc", ()),
    ],
)
def test_one_owner_a_library(library: str, owners: tuple[str, ...]) -> None:
    users = [name(path) for path in SOURCES if library in packages(path)]
    assert [user for user in users if not user.startswith(owners or ("-",))] == []


def test_tasks_know_no_stage_and_no_other_task() -> None:
    for path in inside("pipelines/tasks"):
        own = f"pipelines.tasks.{path.stem}"
        modules = {str(p.relative_to(ROOT).with_suffix("")).replace("/", ".") for p in inside("pipelines/tasks")}
        met = {module for module in imported(path) if module.startswith("pipelines.")}
        others = met & (modules - {own, "pipelines.tasks.__init__"})
        assert path.stem == "__init__" or not others, f"{name(path)} imports {others}"
        known = ("pipelines.tasks", "pipelines.parsers", "pipelines.rivals")
        outside = {module for module in met if not module.startswith(known)}
        assert not outside, f"{name(path)} imports {outside}"


def test_parsers_know_rnn_core_and_no_other_part_of_the_pipelines() -> None:
    for path in inside("pipelines/parsers"):
        met = {module for module in imported(path) if module.startswith("pipelines.")}
        assert not {module for module in met if not module.startswith("pipelines.parsers")}, name(path)


def test_stages_meet_through_files() -> None:
    stages = {f"pipelines.{stage}" for stage in STAGES}
    for stage in STAGES:
        path = ROOT / f"pipelines/{stage}.py"
        assert not (imported(path) & stages), f"{name(path)} imports {imported(path) & stages}"


def environment_reads(path: Path) -> set[str]:
    """Names of the environment variables that a file reads.

    A key is a literal, a constant of the file, or an argument of a function that is called with literals in the file.
    """
    constants = {
        ast.unparse(node.targets[0]): node.value.value
        for node in tree(path).body
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
    }
    found = set()
    for function in [tree(path), *(n for n in ast.walk(tree(path)) if isinstance(n, ast.FunctionDef))]:
        for key in environment_keys(function):
            if isinstance(key, ast.Constant):
                found.add(str(key.value))
            elif ast.unparse(key) in constants:
                found.add(str(constants[ast.unparse(key)]))
            elif isinstance(function, ast.FunctionDef):
                found |= first_arguments(path, function.name)
    return found


def environment_keys(scope: ast.AST) -> list[ast.expr]:
    """The keys in `os.environ[key]`, `os.environ.get(key)`, `os.getenv(key)`."""
    keys = []
    for node in ast.walk(scope):
        if isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Load):
            if ast.unparse(node.value) == "os.environ":
                keys.append(node.slice)
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in ("os.environ.get", "os.getenv"):
            keys.append(node.args[0])
    return keys


def first_arguments(path: Path, function: str) -> set[str]:
    """The literals that a function of a file is called with, all over the file."""
    calls = [node for node in ast.walk(tree(path)) if isinstance(node, ast.Call) and node.args]
    arguments = [call.args[0] for call in calls if ast.unparse(call.func) == function]
    assert arguments, f"{name(path)}: {function} reads the environment, but nobody calls it with a name"
    return {str(argument.value) for argument in arguments if isinstance(argument, ast.Constant)}


def test_environment_variables_are_read_in_four_places() -> None:
    allowed = ("pipelines/cluster/", "pipelines/tracking", "pipelines/paths.py", "pipelines/sources/")
    # environment.py: what a scheduled tick is told, and what the commands below it are.
    setting = ("pipelines/telemetry.py", "infra/", "pipelines/retrain/environment.py")
    for path in SOURCES:
        mentions = {ast.unparse(node) for node in ast.walk(tree(path)) if isinstance(node, ast.Attribute)}
        if mentions & {"os.environ", "os.getenv", "os.putenv"}:
            assert name(path).startswith((*allowed, *setting)), f"{name(path)} uses the environment"


def test_the_table_of_environment_variables_is_complete() -> None:
    """README.md: rows `| `NAME` | what | `file` |`, one for each variable and with the file that reads it."""
    rows = re.findall(r"^\| `([A-Z_]+)`.*\| `([a-z_/.]+\.py)` \|$", (ROOT / "README.md").read_text(), re.MULTILINE)
    read = {(variable, name(path)) for path in SOURCES for variable in environment_reads(path)}
    assert set(rows) == {row for row in read if row[0] not in VARIABLES_OF_MAKE}


@pytest.mark.parametrize("path", SOURCES, ids=name)
def test_no_pickle(path: Path) -> None:
    assert not packages(path) & {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve"}
    calls = {ast.unparse(node.func) for node in ast.walk(tree(path)) if isinstance(node, ast.Call)}
    assert not calls & {"torch.load", "torch.save", "np.load", "numpy.load", "pd.read_pickle"}


@pytest.mark.parametrize("path", ALL, ids=name)
def test_first_lines_say_what_the_file_is(path: Path) -> None:
    assert ast.get_docstring(tree(path)), f"{name(path)} has no docstring"


def test_no_path_of_one_machine() -> None:
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    ).stdout.decode()
    homes = re.compile(rb"(?<![\w.])/(home|Users|root|work|farm)/\w")
    files = [ROOT / entry for entry in listed.split("\0") if entry and (ROOT / entry).is_file()]
    assert not [name(path) for path in files if homes.search(path.read_bytes())]


def test_copies_of_dvc_yaml_are_identical() -> None:
    for copy in (ROOT / "pipelines/suites").glob("*/dvc.yaml"):
        assert copy.read_bytes() == (ROOT / "dvc.yaml").read_bytes(), f"{name(copy)}: `make {name(copy)}` copies it"
