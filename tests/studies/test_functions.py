"""The commands as functions: they return values, print nothing and leave the process as it was."""

import gc
import logging
import os
import signal
import subprocess
import sys
import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import mlflow
import numpy as np
import pytest
import torch
from matplotlib import style
from mlflow import MlflowClient

from elbowroom.analysis.report import judge_table
from elbowroom.analysis.reporting import report, report_table
from elbowroom.studies import oracles
from elbowroom.studies.assignment import assignment_grid
from elbowroom.studies.grid import PRESETS, Grid
from elbowroom.studies.options import Options
from elbowroom.studies.oracles import Finding, ask
from elbowroom.studies.scan import ScanResult, estimate, scan
from elbowroom.studies.tune import Search, tune
from elbowroom.tracking.config import RunConfig
from elbowroom.tracking.store.names import Kind, Tag
from elbowroom.tracking.store.session import borrowed
from tests.conftest import ROOT, environment, marked
from tests.studies.harness import Capture, Patch

pytestmark = pytest.mark.integration

BASE = RunConfig(dataset="digits", epochs=2, dim2=8)
NAMES = ("optuna", "alembic", "mlflow", "mlflow.store.db.utils", "tracking", "studies", "urllib3.connectionpool")


def _is_pytests(handler: logging.Handler) -> bool:
    return type(handler).__module__.startswith("_pytest")


def process() -> dict[str, Any]:
    """Return the global state of this process: signal handlers, environment, loggers."""
    loggers = {name: logging.getLogger(name) for name in ("", *NAMES)}
    return {
        "signals": {n: signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)},
        "environment": {k: v for k, v in os.environ.items() if k != "PYTEST_CURRENT_TEST"},
        "loggers": {
            name: (each.level, [h for h in each.handlers if not _is_pytests(h)]) for name, each in loggers.items()
        },
        "warnings": list(warnings.filters),
        "uri": mlflow.get_tracking_uri(),
        "folder": Path.cwd(),
        "threads": torch.get_num_threads(),
        "backend": plt.get_backend(),
        "style": dict(plt.rcParams),
        "figures": plt.get_fignums(),
        "collects": gc.isenabled(),
        "hides": (logging.getLogRecordFactory(), warnings.formatwarning, sys.excepthook),
    }


@pytest.fixture
def _as_it_was(store: MlflowClient, capsys: Capture) -> Iterator[None]:
    plt.switch_backend("svg")  # none that anything here would choose
    optuna_level = logging.getLogger("optuna").level
    logging.getLogger("optuna").setLevel(logging.INFO)
    before = process()
    yield
    after = process()
    assert {k: (before[k], after[k]) for k in before if before[k] != after[k]} == {}
    said = capsys.readouterr()
    assert (said.out, said.err) == ("", "")
    plt.switch_backend("agg")
    logging.getLogger("optuna").setLevel(optuna_level)


def elsewhere(store: MlflowClient, study: str = "") -> Options:
    """Not the store in use, nor its experiment."""
    return Options(study, workers=1, tracking_uri=store.tracking_uri, experiment="mine")


def kinds(store: MlflowClient, experiment: str = "mine") -> list[str]:
    found = store.get_experiment_by_name(experiment)
    return sorted(r.data.tags[Tag.KIND] for r in store.search_runs([found.experiment_id]))


@pytest.mark.usefixtures("_as_it_was")
def test_a_scan_and_its_report(store: MlflowClient, monkeypatch: Patch) -> None:
    """In a store that is not the one in use; what the invocation of an `mlflow run` above says stays as well."""
    mlflow.set_tracking_uri("http://127.0.0.1:9")  # nobody answers there
    monkeypatch.setenv("MLFLOW_EXPERIMENT_ID", "77")
    before = process()
    wanted = Grid.of("pca", [5, 2, 3, np.int64(4)], base=BASE), elsewhere(store, "s")
    assert [(c.name, c.cells, c.done) for c in estimate(*wanted).costs] == [("pca", 4, 0)]
    made = scan(*wanted)
    assert isinstance(made, ScanResult)
    assert (made.complete, made.study, made.failures, made.confirmed) == (True, "s", (), ())
    assert [(p.model, p.dim3) for p in made.points] == [("pca", k) for k in (2, 3, 4, 5)]
    assert [p.mean for p in made.points] == sorted((p.mean for p in made.points), reverse=True)
    assert made.verdicts["pca"].kind == "none"
    assert store.get_run(made.run_id).info.experiment_id == made.experiment_id
    assert estimate(*wanted).left == 0
    assert scan(*wanted).points == made.points
    assert kinds(store) == [Kind.RUN] * 4 + [Kind.STUDY]

    where = {"tracking_uri": store.tracking_uri, "experiment": "mine"}
    found = report(**where, out="there", choose=("pca", 3), log=False)
    assert found.page == Path("there/report.html")
    assert found.page.exists()
    assert found.registered is found.run_id is None
    (comparison,) = found.findings.comparisons
    assert [m.label for m in comparison.models] == ["pca"]
    assert "pca keeps 90 % of the variance with dim3 21 (20 is not enough; " in found.text
    logged = report(**where, choose=3, columns={"dim3": "metrics.dim3", "error": "metrics.test/mse"})
    assert kinds(store) == [Kind.ANALYSIS] + [Kind.RUN] * 4 + [Kind.STUDY]
    assert logged.run_id in {r.info.run_id for r in store.search_runs([made.experiment_id])}
    with pytest.raises(ValueError, match="no experiment 'none'"):
        report(tracking_uri=store.tracking_uri, experiment="none")
    assert process() == before
    mlflow.set_tracking_uri(store.tracking_uri)
    monkeypatch.delenv("MLFLOW_EXPERIMENT_ID")


@pytest.mark.usefixtures("_as_it_was")
def test_a_tuning(store: MlflowClient) -> None:
    made = tune(Search.of(replace(BASE, model="ae"), dim3=3, trials=2), elsewhere(store, "t"))
    assert (made.complete, made.trials, made.objective) == (True, 2, "validation mean squared error")
    (best,) = made.best
    assert best.config.dim3 == 3
    assert store.get_run(best.run_id).data.metrics["val/mse/final"] == best.values[0]
    assert kinds(store) == [Kind.STUDY] + [Kind.TRIAL] * 2


def drawn(store: MlflowClient, run_id: str, folder: Path) -> dict[str, bytes]:
    """The figures of a run in the store, as files."""
    folder.mkdir()
    return {p.name: p.read_bytes() for p in Path(store.download_artifacts(run_id, "figures", str(folder))).iterdir()}


@pytest.mark.slow
@pytest.mark.usefixtures("cells_here")
def test_figures_are_the_same_in_whatever_style_the_caller_draws(store: MlflowClient, tmp_path: Path) -> None:
    """A notebook's, or the one that Optuna sets where it draws. A study that is there is drawn again."""
    grid, search = Grid.of("pca", [2, 3, 4, 5], base=BASE), Search.of(replace(BASE, model="ae"), dim3=3, trials=2)
    seen = []
    for number, name in enumerate(("default", "ggplot", "dark_background")):
        folder = tmp_path / str(number)
        with style.context(name):
            made = [scan(grid, elsewhere(store, "s")), tune(search, elsewhere(store, "t"))]
            page = report(tracking_uri=store.tracking_uri, experiment="mine", out=folder, log=False).page
        seen.append({p.name: p.read_bytes() for p in page.parent.rglob("*.png")})
        seen[-1] |= {k: v for m in made for k, v in drawn(store, m.run_id, folder / m.study).items()}
    plain, *others = seen
    assert {"error.png", "curve.png", "history.png"} <= set(plain)
    assert [[name for name in plain if plain[name] != other[name]] for other in others] == [[], []]


@pytest.mark.usefixtures("_as_it_was")
def test_the_oracles(store: MlflowClient, monkeypatch: Patch) -> None:
    asked = {
        "right": lambda x: Finding(True, "fine", {"rows": len(x)}),
        "wrong": lambda x: Finding(False, "2 is 3", {}),
    }
    with monkeypatch.context() as patched:
        patched.setattr(oracles, "ORACLES", asked)
        found = ask(tracking_uri=store.tracking_uri, experiment="mine")
    assert {name: finding.holds for name, finding in found.items()} == {"right": True, "wrong": False}
    assert found["right"].numbers == {"rows": 1498}
    assert kinds(store) == [Kind.ORACLE] * 3


@pytest.mark.usefixtures("_as_it_was")
def test_a_table(tmp_path: Path) -> None:
    path = tmp_path / "curve.csv"
    rows = [f"{k},{1 - 0.1 * (k - 2) if k < 8 else 0.4 - 0.01 * (k - 8)},mine" for k in range(2, 21)]
    path.write_text("\n".join(["dim3,error,model", *rows, "1,1,few"]))
    mine, few = judge_table(path)
    assert (mine.model, mine.verdict.dim3, few.verdict) == ("mine", 8, None)
    assert mine.choice.sentence.startswith("mine: no share of the variance without the mean row's error")
    assert report_table(path, out=tmp_path / "out").page.exists()


@pytest.mark.usefixtures("_as_it_was")
@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda s: Grid.of(dim3="2:4"), "dim3 must be a whole number of at least 1, got '2'"),
        (lambda s: Grid.of(dim3=[]), "dim3 of pca must be whole numbers of at least 1"),
        (lambda s: Search.of(replace(BASE, patience=1)), "allowed: patience 0"),
        (lambda s: Search.of(dim3=()), "dim3 '' is empty"),
        (lambda s: scan(Grid.of(base=BASE), Options(tracking_uri="gopher://127.0.0.1")), "can't be used"),
        (lambda s: scan(Grid.of(base=BASE, confirm={"ae": 99}), elsewhere(s)), "confirm 99: not among the dim3 of ae"),
        (lambda s: scan(Grid.of("__main__:x", base=BASE), elsewhere(s)), "model '__main__:x'"),
        (lambda s: report(tracking_uri=s.tracking_uri, rule="best"), "rule"),
    ],
)
def test_bad_input_is_an_exception_and_leaves_nothing(store: MlflowClient, call: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message) as refused:
        call(store)
    assert type(refused.value).__name__ == "BadInput"
    assert "\n" not in str(refused.value)
    assert [r for e in store.search_experiments() for r in store.search_runs([e.experiment_id])] == []


def test_what_nobody_has_set_is_unset_again(monkeypatch: Patch, tmp_path: Path) -> None:
    """So that a later variable, or another folder, is still listened to."""
    monkeypatch.chdir(tmp_path)
    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(None)
    try:
        with borrowed("sqlite:///a.db", "mine"):
            assert mlflow.get_tracking_uri() == "sqlite:///a.db"
            assert os.environ["MLFLOW_EXPERIMENT_NAME"] == "mine"
        assert not mlflow.is_tracking_uri_set()
        assert "MLFLOW_EXPERIMENT_NAME" not in os.environ
        monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///b.db")
        with pytest.raises(RuntimeError), borrowed("sqlite:///a.db"):
            raise RuntimeError
        monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///c.db")
        assert mlflow.get_tracking_uri() == "sqlite:///c.db"
    finally:
        mlflow.set_tracking_uri(before)


def test_the_grid_is_the_presets_but_for_what_is_given() -> None:
    grid = Grid.of()
    assert (list(grid.dim3), grid.dim3["ae"]) == (["pca", "pca-mlp", "ae", "vae"], tuple(range(2, 21)))
    assert (grid.seeds, grid.study) == (3, "scan-mnist")
    grid = Grid.of(["vae", "mine:Model"], preset="assignment", seeds=1, base=BASE)
    assert grid.dim3 == {"vae": PRESETS["assignment"].dim3["vae"], "mine:Model": PRESETS["assignment"].dim3["pca"]}
    assert (grid.seeds, grid.base, grid.study) == (1, BASE, "assignment")
    shown = assignment_grid("digits", show=[2, 3], repeats=4)
    assert (shown.measured, shown.repeats, shown.study) == ((2, 3), 4, "digits")


MODEL = """
from torch import nn
def factory(dim1, dim3):
    print("a model may print", flush=True)
    return nn.Linear(dim1, dim3), nn.Linear(dim3, dim1)
"""
SCRIPT = f"""
import sys
from pathlib import Path
from elbowroom.studies.grid import Grid
from elbowroom.studies.options import Options
from elbowroom.studies.scan import scan
from elbowroom.tracking.config import RunConfig
{MODEL}
with Path("began").open("a") as file:
    file.write("x")
base = RunConfig(dataset="digits", epochs=1)
options = Options(tracking_uri="sqlite:///mlflow.db", workers=1)
Path("complete").write_text(str(scan(Grid.of("own_linear:factory", [2], seeds=1, base=base), options).complete))
try:
    scan(Grid.of("__main__:factory", [2], seeds=1, base=base), options)
except ValueError as error:
    Path("refused").write_text(str(error))
"""


@pytest.mark.parametrize("closed", ["", *marked("slow", ">&-", "2>&-")])
def test_a_script_needs_no_guard_and_a_notebook_no_file(store: MlflowClient, tmp_path: Path, closed: str) -> None:
    """From standard input, as a notebook's cells are run: workers import what a model needs, and never the caller."""
    (tmp_path / "own_linear.py").write_text(MODEL)
    env = environment(ELBOWROOM_CACHE=str(tmp_path / "cache"), PYTHONPATH=os.pathsep.join([str(ROOT), str(tmp_path)]))
    command = ["sh", "-c", f'"$0" - {closed}', sys.executable]
    done = subprocess.run(command, input=SCRIPT, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert set((done.stdout + done.stderr).splitlines()) <= {"a model may print"}
    assert Path("complete").read_text() == "True"
    refused = "model '__main__:factory': what a script or notebook defines can't be imported"
    assert Path("refused").read_text().startswith(refused)
    assert Path("began").read_text() == "x"
