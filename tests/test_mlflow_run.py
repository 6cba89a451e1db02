"""`mlflow run`, for real, as the README says it."""

import os
import subprocess
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run

from elbowroom.analysis import report
from elbowroom.studies import scan
from elbowroom.tracking.config import RunConfig
from elbowroom.tracking.store.names import Kind, Metric, Tag
from tests.analysis.example_runs import log
from tests.conftest import BIN, ROOT, environment, signals_kept

pytestmark = [pytest.mark.integration, pytest.mark.server]


def mlflow_run(store: MlflowClient, folder: Path, *parameters: str, entry_point: str = "main") -> str:
    """Return the output of the command, which must succeed."""
    where = ("-e", entry_point, "--env-manager", "local", "--experiment-name", "headline")
    command = [BIN / "mlflow", "run", ROOT, *where, *(word for parameter in parameters for word in ("-P", parameter))]
    env = environment(MLFLOW_TRACKING_URI=store.tracking_uri, ELBOWROOM_CACHE=str(folder / "cache"))
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def runs_of(store: MlflowClient) -> list[Run]:
    return list(store.search_runs([store.get_experiment_by_name("headline").experiment_id]))


def opened(store: MlflowClient) -> str:
    """The id of a run as `mlflow run` opens it for its command, which the test calls itself."""
    return str(store.create_run(store.get_experiment_by_name("headline").experiment_id).info.run_id)


def test_trains_and_continues_the_run_that_mlflow_opened(store: MlflowClient, tmp_path: Path) -> None:
    said = mlflow_run(store, tmp_path, "model=ae", "dataset=digits", "epochs=2", "lr=1e-3", "artifacts=light")
    (run,) = runs_of(store)
    assert (run.info.status, run.info.run_name) == ("FINISHED", "ae-d2-s0")
    wanted = RunConfig(model="ae", dataset="digits", epochs=2, lr=1e-3, artifacts="light")
    assert RunConfig.from_json(run.data.tags[Tag.CONFIG]) == wanted
    assert run.data.params["lr"] == "1e-3"  # as typed
    assert run.data.metrics[Metric.TEST_MSE] > 0
    assert f"run ae-d2-s0, id {run.info.run_id}" in said


@pytest.mark.slow
@pytest.mark.usefixtures("cells_here")
def test_a_scan_is_a_tree_below_the_first_invocation_and_the_second_is_linked(
    store: MlflowClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = ["models=pca,ae", "seeds=1", "dataset=digits", "epochs=2", "study=s", "workers=1"]
    given += [f"storage=sqlite:///{tmp_path}/optuna.db"]
    mlflow_run(store, tmp_path, *given, "dim3=2:3", entry_point="scan")
    monkeypatch.setenv("MLFLOW_RUN_ID", opened(store))
    with signals_kept():
        assert scan.main([*(f"--{word}" for word in given), "--dim3=2:4"]) == 0
    store.set_terminated(os.environ["MLFLOW_RUN_ID"])  # as `mlflow run` does
    runs = runs_of(store)
    by_kind: dict[str, list[Run]] = {}
    for run in runs:
        by_kind.setdefault(run.data.tags[Tag.KIND], []).append(run)
    assert {run.info.status for run in runs} == {"FINISHED"}
    assert {kind: len(of_kind) for kind, of_kind in by_kind.items()} == {"study": 1, "invocation": 1, "run": 6}
    parent = by_kind["study"][0].info.run_id
    assert {r.data.tags[Tag.PARENT] for r in [*by_kind["run"], *by_kind["invocation"]]} == {parent}
    assert by_kind["study"][0].data.params["dim3"] == "2:3"


@pytest.mark.slow
def test_a_seek_answers_in_the_run_that_mlflow_opened(store: MlflowClient, tmp_path: Path) -> None:
    given = ["models=pca", "dataset=digits", "rule=keep:0.80", "workers=1", f"storage=sqlite:///{tmp_path}/optuna.db"]
    said = mlflow_run(store, tmp_path, *given, entry_point="seek")
    assert "pca keeps 80 % of the variance with dim3 13 (12 is not " in said
    (parent,) = [r for r in runs_of(store) if r.data.tags[Tag.KIND] == Kind.STUDY]
    assert (parent.info.status, parent.data.params["rule"]) == ("FINISHED", "keep:0.80")
    assert len(runs_of(store)) == 1 + 5


@pytest.mark.slow
def test_a_report_is_the_run_that_mlflow_opened(
    store: MlflowClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for k in range(2, 11):
        log(store, dim3=k, error=1.0 / k, test=1.0 / k, experiment="headline")
    assert "ae: no share of the variance: " in mlflow_run(
        store, tmp_path, f"out={tmp_path / 'out'}", entry_point="report"
    )
    assert (tmp_path / "out" / "report.html").exists()
    runs = runs_of(store)
    (analysis,) = [r for r in runs if r.data.tags[Tag.KIND] == Kind.ANALYSIS]
    assert analysis.info.status == "FINISHED"
    assert len(runs) == 10
    monkeypatch.setenv("MLFLOW_RUN_ID", opened(store))
    assert report.main(["--experiment", "headline", "--tracking-uri", store.tracking_uri, "--choose", "12"]) == 2
    refused = store.get_run(os.environ["MLFLOW_RUN_ID"])
    assert refused.info.status == "FAILED"
    assert refused.data.tags[Tag.DESCRIPTION].startswith("Not run: choose '12': allowed is")
