"""README's table of additions: each is made in a copy of the tree, in the files that the table names, and found."""

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.conftest import ROOT, environment
from tests.tracking.logged_model.test_log import OWN_REDUCER

pytestmark = [pytest.mark.integration, pytest.mark.slow]


class Edit(NamedTuple):
    """Text put before the first line that begins with `before`; without it, a new file."""

    file: str
    text: str
    before: str = ""


MODEL = OWN_REDUCER.replace("elbowroom.models.base", "..base")
READER = """
import numpy as np
import pyarrow as pa

from .base import Contents, Table


def read_words(path, wanted):
    return Contents(Table(np.loadtxt(path), pa.table({})))
"""
FIGURE = """
def _plot_first(view):
    figure = Figure()
    figure.suptitle(view.title)
    return figure


"""
PURPOSE = """
from .choice import Choice


def first(label):
    return Choice(1, None, (1, 1), True, 1.0, 1, 60, f"{label} is first with dim3 1")
"""
ADDED = {
    "a model": (
        Edit("models/neural/first.py", MODEL),
        Edit("models/registry.py", "from .neural.first import Keep\n", "from .neural.nested"),
        Edit("models/registry.py", '    "first": Keep,\n', '    "vae": VAE'),
    ),
    "a file format or data source": (
        Edit("tracking/data/files/words.py", READER),
        Edit("tracking/data/datasets.py", "from .files.words import read_words\n", "from .files.tables"),
        Edit("tracking/data/datasets.py", '    ".words": DataSource(read=read_words),\n', '    ".npy": DataSource'),
    ),
    "a criterion": (
        Edit("analysis/elbow/criteria.py", "def first(curve):\n    return int(curve.dim3[0])\n\n\n", "CRITERIA"),
        Edit("analysis/elbow/criteria.py", '    "first_of_all": first,\n', '    "kneedle": kneedle'),
    ),
    "a purpose": (
        Edit("analysis/purposes/first.py", PURPOSE),
        Edit("analysis/purposes/__init__.py", "from .first import first\n", "from .generate"),
        Edit(
            "analysis/purposes/__init__.py",
            '    "first": Purpose(lambda e, _: first(e.label), "the first dim3", lambda _: "be first"),\n',
            '    "gain": Purpose(',
        ),
    ),
    "a figure of a run": (
        Edit("tracking/run/figures.py", FIGURE, "FIGURES"),
        Edit("tracking/run/figures.py", '    "first": _plot_first,\n', '    "losses": _plot_losses'),
    ),
    "a section of the report": (
        Edit(
            "analysis/pages/report.py",
            "def _first(c):\n    return [_Table(['how many'], [['forty-two']])]\n\n\n",
            "SECTIONS",
        ),
        Edit("analysis/pages/report.py", '    Section("first", "A section of mine", table=_first),\n', "    Section("),
    ),
    "a metric in the report": (
        Edit(
            "tracking/store/names.py",
            '    Metric.SAMPLES_PER_SECOND: Column("rows_a_second", "rows a second"),\n',
            "    Metric.FIT_SECONDS: Column",
        ),
    ),
    "a setting": (
        Edit("tracking/config.py", '    answer: int = 42\n    """A number."""\n', "    dim2: int"),
        Edit("MLproject", "      answer: {type: float, default: 42}\n", "      dim2: {type: float"),
        Edit("MLproject", "      --answer {answer}\n", "      --dim2 {dim2}"),
        Edit("tracking/estimator.py", "        answer: int = RunConfig.answer,\n", "        dim2: int ="),
        Edit("tracking/estimator.py", "        self.answer = answer\n", "        self.dim2 = dim2"),
    ),
}
FOUND = """
import mlflow, pathlib, yaml
from elbowroom.analysis.reporting import report
from elbowroom.tracking.config import RunConfig
from elbowroom.tracking.estimator import LatentTransformer
from elbowroom.tracking.run import execute
from elbowroom.tracking.train import parser

mlflow.set_tracking_uri("sqlite:///mlflow.db")
rng = __import__("numpy").random.default_rng(0)
__import__("numpy").savetxt("mine.words", rng.random((60, 12)))
for dim3 in (1, 2, 3, 4):
    full = "full" if dim3 == 1 else "light"
    run = execute(RunConfig(model="first", dataset="mine.words", dim3=dim3, artifacts=full))
    first = run.run_id if dim3 == 1 else first
paths = {f.path for f in mlflow.MlflowClient().list_artifacts(first, "figures")}
assert "figures/first.png" in paths, paths
assert mlflow.get_run(first).data.params["answer"] == "42"
assert parser().parse_args(["--answer", "7"]).answer == "7"
assert LatentTransformer(answer=7)._config().answer == 7
main = yaml.safe_load((pathlib.Path(ROOT) / "MLproject").read_text())["entry_points"]["main"]
assert set(main["parameters"]) == set(RunConfig.__dataclass_fields__)
done = report(out="reports", log=False, rule="first")
(comparison,) = done.findings.comparisons
assert comparison.models[0].sentence.endswith("is first with dim3 1")
assert comparison.models[0].verdict.criteria["first_of_all"] == 1
page = done.page.read_text()
assert "A section of mine" in page and "forty-two" in page and "rows a second" in page
assert "rows_a_second" in pathlib.Path("reports/curves.csv").read_text().splitlines()[0]
assert '"rows_a_second"' in pathlib.Path("reports/result.json").read_text()
"""


def make(edit: Edit, tree: Path) -> None:
    path = tree / edit.file
    if not edit.before:
        assert not path.exists()
        path.write_text(edit.text)
        return
    lines = path.read_text().splitlines(keepends=True)
    at = next(i for i, line in enumerate(lines) if line.startswith(edit.before))
    path.write_text("".join([*lines[:at], edit.text, *lines[at:]]))


def test_each_addition_takes_the_files_that_the_table_names_and_is_found_where_it_counts(tmp_path: Path) -> None:
    rows = re.findall(r"^\| (an? [^|]+?) \| (.*) \|$", (ROOT / "README.md").read_text(), re.MULTILINE)
    named = {what: re.findall(r"`([\w/]+(?:\.py|/)|MLproject)`", where) for what, where in rows}
    assert list(named) == list(ADDED)
    for what, edits in ADDED.items():
        touched = {edit.file if edit.before else f"{Path(edit.file).parent}/" for edit in edits}
        assert touched == set(named[what]), what
    for name in ("models", "tracking", "studies", "analysis", "elbowroom"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "MLproject", tmp_path)
    for edits in ADDED.values():
        for edit in edits:
            make(edit, tmp_path)
    work = tmp_path / "work"
    work.mkdir()
    code = f"ROOT = {str(tmp_path)!r}\n{FOUND}"
    env = environment(PYTHONPATH=str(tmp_path), ELBOWROOM_CACHE=str(tmp_path / "cache"))
    done = subprocess.run([sys.executable, "-c", code], cwd=work, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
