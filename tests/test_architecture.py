"""The directions of the imports, and that MLproject, the command line and RunConfig say the same."""

import ast
import re
import sys
from dataclasses import fields
from pathlib import Path

import pytest
import yaml

from tests.conftest import ROOT
from tracking.config import RunConfig
from tracking.train import parser

ALLOWED = {
    "models": set(),
    "tracking": {"models"},
    "studies": {"models", "tracking", "analysis"},
    "analysis": {"tracking"},
}
NOT_IN_MODELS = {"mlflow", "optuna", "pathlib"}
FILES = sorted(f for package in ALLOWED for f in (ROOT / package).rglob("*.py"))


def imports(tree: ast.AST) -> set[str]:
    """The absolute names of every module imported below a node."""
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            found.add(node.module or "")
    return found


@pytest.mark.parametrize("file", FILES, ids=lambda f: str(f.relative_to(ROOT)))
def test_imports_flow_one_way(file: Path) -> None:
    package = file.relative_to(ROOT).parts[0]
    tree = ast.parse(file.read_text())
    tops = {name.partition(".")[0] for name in imports(tree)}
    assert tops & set(ALLOWED) <= ALLOWED[package] | {package}
    if package == "models":
        assert not tops & NOT_IN_MODELS
    if file.name == "schema.py":
        assert tops <= set(sys.stdlib_module_names)
    inside = [n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef) and imports(n)]
    assert [n.name for n in inside] == []


def test_everything_imported_is_required() -> None:
    tops = {name.partition(".")[0] for f in FILES for name in imports(ast.parse(f.read_text()))}
    third = tops - set(sys.stdlib_module_names) - set(ALLOWED)
    names = {re.split(r"[=<>]", line)[0] for line in (ROOT / "requirements.txt").read_text().splitlines()}
    assert {{"PIL": "pillow", "sklearn": "scikit-learn"}.get(t, t) for t in third} <= names


def project() -> dict:
    return yaml.safe_load((ROOT / "MLproject").read_text())


def test_mlproject_has_the_fields_and_defaults_of_the_configuration() -> None:
    main = project()["entry_points"]["main"]
    assert {k: str(v["default"]) for k, v in main["parameters"].items()} == {
        f.name: str(f.default) for f in fields(RunConfig)
    }
    assert {v["type"] for v in main["parameters"].values()} == {"string", "float"}
    flags = "".join(f" --{f.name.replace('_', '-')} {{{f.name}}}" for f in fields(RunConfig))
    assert main["command"] == f"python -m tracking.train{flags}"


def test_the_command_line_has_the_fields_of_the_configuration() -> None:
    flags = {a.dest: a.default for a in parser()._actions}
    assert set(flags) == {f.name for f in fields(RunConfig)} | {"help", "experiment", "tracking_uri"}
    assert {f.name: flags[f.name] for f in fields(RunConfig)} == {f.name: str(f.default) for f in fields(RunConfig)}


def test_versions_live_in_requirements_alone() -> None:
    assert project()["conda_env"] == "conda.yaml"
    conda = yaml.safe_load((ROOT / "conda.yaml").read_text())
    assert conda["dependencies"][1:] == ["pip", {"pip": ["-r requirements.txt"]}]
