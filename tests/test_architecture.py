"""The directions of the imports, and that MLproject, the command line and RunConfig say the same."""

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import fields
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from types import ModuleType

import pytest
import yaml
from packaging.version import Version

from elbowroom.analysis import report
from elbowroom.studies import assignment, scan, seek, tune
from elbowroom.tracking import train
from elbowroom.tracking.config import RunConfig
from tests.conftest import ROOT, environment

pytestmark = pytest.mark.integration

# What a package may import of the others, and which third parties it may not.
ALLOWED = {
    "models": set(),
    "tracking": {"models"},
    "studies": {"models", "tracking", "analysis"},
    "analysis": {"tracking.store", "tracking.drawing", "tracking.cli"},
}
REFUSED = {
    "models": {"mlflow", "optuna", "pathlib"},
    "tracking": {"torch", "torchvision", "optuna"},  # models/__init__.py sets a variable before torch is loaded
    "studies": {"torch", "torchvision"},
    "analysis": {"torch", "torchvision", "optuna"},
}
STANDARD = {("tracking", "store", f"{name}.py") for name in ("names", "text", "errors", "addresses", "terminal")}
"""What needs the standard library alone: a table's verdict waits for nothing else."""
DISTRIBUTIONS = {"PIL": "pillow", "sklearn": "scikit-learn", "yaml": "PyYAML"}
FILES = sorted(f for package in ALLOWED for f in (ROOT / package).rglob("*.py"))
PACKAGES = {"elbowroom", *(".".join(("elbowroom", *f.parent.relative_to(ROOT).parts)) for f in FILES)}


def statements(tree: ast.AST, parents: tuple[str, ...]) -> Iterator[str]:
    """Every module that import statements below a node name, absolutely; `parents` are the packages the file is in."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = ["elbowroom", *parents[: len(parents) - node.level + 1]] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            whole = not node.module or module in PACKAGES  # of a whole package: each name may be a module
            yield from (f"{module}.{alias.name}" if whole else module for alias in node.names)


def imports(tree: ast.AST, parents: tuple[str, ...]) -> Iterator[str]:
    """Every module that the statements name, and each of ours that `import_module` is given."""
    yield from statements(tree, parents)
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module"):
            names = [given.value for given in node.args if isinstance(given, ast.Constant)]
            yield from (name for name in names if name.partition(".")[0] in {"elbowroom", *ALLOWED})


def faults(source: str, *place: str) -> list[str]:
    """The imports of a file, `models/pca.py` as ("models", "pca.py"), that point the wrong way, sorted."""
    package, tree = place[0], ast.parse(source)
    allowed = {f"elbowroom.{name}" for name in (*ALLOWED[package], package, "aliases")}
    found = set()
    for name in imports(tree, place[:-1]):
        top = name.partition(".")[0]
        wrong = top == "elbowroom" and not any(f"{name}.".startswith(f"{one}.") for one in allowed)
        if wrong or top in REFUSED[package] or top in ALLOWED:  # by its bare name, which is an alias
            found.add(name)
        if place in STANDARD and top not in {*sys.stdlib_module_names, "elbowroom"}:
            found.add(name)
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            found |= {f"{name} in {node.name}" for name in statements(node, place[:-1])}
    return sorted(found)


@pytest.mark.parametrize("file", FILES, ids=lambda f: str(f.relative_to(ROOT)))
def test_imports_flow_one_way(file: Path) -> None:
    assert faults(file.read_text(), *file.relative_to(ROOT).parts) == []


@pytest.mark.parametrize(
    ("source", "place", "fault"),
    [
        ("import mlflow.pyfunc", ("models", "vae.py"), ["mlflow.pyfunc"]),
        ("from ...tracking import run", ("models", "deep", "vae.py"), ["elbowroom.tracking.run"]),
        ("import mlflow", ("tracking", "store", "errors.py"), ["mlflow"]),
        ("import torch.nn as nn", ("tracking", "run.py"), ["torch.nn"]),
        ("from elbowroom.tracking.store import names", ("analysis", "runs", "query.py"), []),
        ("from elbowroom.tracking import run", ("analysis", "store.py"), ["elbowroom.tracking.run"]),
        ("from elbowroom import models", ("analysis", "store.py"), ["elbowroom.models"]),
        ("from tracking import schema", ("analysis", "store.py"), ["tracking"]),
        ("x = importlib.import_module('elbowroom.studies.scan')", ("tracking", "run.py"), ["elbowroom.studies.scan"]),
        ("def f():\n    from .registry import build", ("models", "pca.py"), ["elbowroom.models.registry in f"]),
    ],
)
def test_wrong_ways_are_found(source: str, place: tuple[str, ...], fault: list[str]) -> None:
    assert faults(source, *place) == fault


def test_a_folder_has_at_most_ten_entries() -> None:
    folders = {f.parent for f in FILES}
    entries = {folder: {p.name for p in folder.iterdir()} - {"__init__.py", "__pycache__"} for folder in folders}
    assert {str(folder): found for folder, found in entries.items() if len(found) > 10} == {}


def graph(files: dict[Path, str]) -> dict[str, set[str]]:
    """The modules of ours that each module imports, late ones by `import_module` too."""
    named = {f: ".".join(("elbowroom", *f.with_suffix("").parts)).removesuffix(".__init__") for f in files}
    modules = set(named.values())
    found: dict[str, set[str]] = {}
    for f, source in files.items():
        names = imports(ast.parse(source), f.parts[:-1])
        found[named[f]] = {name if name in modules else name.rpartition(".")[0] for name in names} & modules
    return found


def test_no_modules_import_each_other_in_a_circle() -> None:
    files = {f.relative_to(ROOT): f.read_text() for f in FILES}
    assert list(TopologicalSorter(graph(files)).static_order())  # raises CycleError
    for line in ("from ..findings import find", "from ..findings.find import find"):
        with pytest.raises(CycleError, match=r"analysis\.runs\.comparison"):
            TopologicalSorter(graph(files | {Path("analysis/runs/comparison.py"): line})).prepare()


def test_contributing_names_every_module() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text()
    folders: list[str] = []
    named = set()
    for line in re.search(r"```text\n(.*?)```", text, re.DOTALL)[1].splitlines():  # type: ignore[index]
        depth, name = (len(line) - len(line.lstrip())) // 2, line.split()[0]
        folders[depth:] = [name.rstrip("/")] if name.endswith("/") else []
        if not name.endswith("/"):
            named.add("/".join([*folders, f"{name}.py"]))
    assert named == {str(f.relative_to(ROOT)) for f in FILES if f.stem != "__init__"}


def test_everything_imported_is_required() -> None:
    places = [(f, f.relative_to(ROOT).parts[:-1]) for f in FILES]
    tops = {name.partition(".")[0] for f, parents in places for name in imports(ast.parse(f.read_text()), parents)}
    third = tops - set(sys.stdlib_module_names) - {"elbowroom"}
    names = {re.split(r"[=<>\[]", line)[0] for line in (ROOT / "requirements.txt").read_text().splitlines()}
    assert {DISTRIBUTIONS.get(t, t) for t in third} <= names
    assert "mlflow" in third


def project() -> dict:
    return yaml.safe_load((ROOT / "MLproject").read_text())


def flags(module: ModuleType) -> dict[str, str]:
    """The defaults of a command's flags by name, but for those that MLflow sets itself."""
    actions = [a for a in module.parser()._actions if a.dest not in ("help", "experiment", "tracking_uri")]
    assert [a.option_strings for a in actions] == [[f"--{a.dest.replace('_', '-')}"] for a in actions]
    return {a.dest: str(a.default or "default") for a in actions}


def test_the_command_line_has_the_fields_of_the_configuration() -> None:
    assert flags(train) == {f.name: str(f.default) for f in fields(RunConfig)}


@pytest.mark.parametrize("module", [train, scan, seek, tune, report, assignment], ids=lambda module: module.__name__)
def test_mlproject_has_the_flags_and_defaults_of_the_command_line(module: ModuleType) -> None:
    name = module.__name__.removeprefix("elbowroom.")
    declared = project()["entry_points"]["main" if module is train else name.partition(".")[2]]
    assert {k: str(v["default"]) for k, v in declared["parameters"].items()} == flags(module)
    assert {v["type"] for v in declared["parameters"].values()} <= {"string", "float"}  # `path` would be downloaded
    typed = "".join(f" --{flag.replace('_', '-')} {{{flag}}}" for flag in declared["parameters"])
    assert declared["command"] == f"python -m {name}{typed}"


def test_versions_live_in_requirements_alone() -> None:
    assert project()["conda_env"] == "conda.yaml"
    python, *others = yaml.safe_load((ROOT / "conda.yaml").read_text())["dependencies"]
    assert re.fullmatch(r"python=3\.\d+\.\d+", python)
    assert others == ["pip", {"pip": ["-r requirements.txt"]}]
    lines = (ROOT / "requirements.txt").read_text().splitlines()
    pinned = [line for line in lines if line and not line.startswith("#")]
    assert [line for line in pinned if not re.fullmatch(r"[\w-]+(\[\w+\])?==[\d.]+", line)] == []


def test_the_package_needs_what_the_requirements_pin_in_versions_that_are_no_higher() -> None:
    """pyproject.toml has the lowest versions that work, the requirements files those that all is tested with."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for name, ranges in {"": project["dependencies"], **project["optional-dependencies"]}.items():
        lines = (ROOT / f"requirements{name and f'-{name}'}.txt").read_text().splitlines()
        pins = dict(f"{line}==".split("==")[:2] for line in lines if re.match(r"\w", line))
        lowest = dict(r.split(">=") for r in ranges)
        assert set(lowest) == set(pins)
        for package, version in lowest.items():
            assert not pins[package] or Version(version) <= Version(pins[package]), package


@pytest.mark.parametrize(
    ("modules", "refused"),
    [
        ([f.stem for f in (ROOT / "analysis").glob("[a-z]*.py")], ["torch", "torchvision", "optuna"]),
        (["report"], ["mlflow", "pandas", "torch"]),  # a table's verdict: mlflow takes seconds to import
    ],
)
def test_a_process_that_imports_the_analysis_loads_nothing_large(modules: list[str], refused: list[str]) -> None:
    names = ", ".join(f"elbowroom.analysis.{module}" for module in modules)
    asked = f"import sys, {names}; print([m for m in {refused} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", asked], cwd=ROOT, env=environment(), capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "[]\n"), done.stderr
