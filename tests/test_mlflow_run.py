"""`mlflow run`, for real, as the README says it."""

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
from mlflow import MlflowClient

from tests.conftest import BIN, ROOT, environment
from tracking.config import RunConfig
from tracking.schema import Metric, Tag

pytestmark = pytest.mark.server


def command(*parameters: str) -> list[str]:
    given = [word for parameter in parameters for word in ("-P", parameter)]
    return [str(BIN / "mlflow"), "run", str(ROOT), "--env-manager", "local", "--experiment-name", "headline", *given]


def mlflow_run(store: MlflowClient, folder: Path, *parameters: str) -> subprocess.CompletedProcess[str]:
    env = environment(MLFLOW_TRACKING_URI=store.tracking_uri)
    return subprocess.run(command(*parameters), cwd=folder, env=env, capture_output=True, text=True)


def test_trains_and_continues_the_run_that_mlflow_opened(store: MlflowClient, tmp_path: Path) -> None:
    done = mlflow_run(store, tmp_path, "model=ae", "dataset=digits", "epochs=2", "lr=1e-3", "artifacts=light")
    assert done.returncode == 0, done.stderr
    (run,) = store.search_runs([store.get_experiment_by_name("headline").experiment_id])
    assert (run.info.status, run.info.run_name) == ("FINISHED", "ae-d2-s0")
    wanted = RunConfig(model="ae", dataset="digits", epochs=2, artifacts="light")
    assert RunConfig.from_json(run.data.tags[Tag.CONFIG]) == wanted
    assert run.data.params["lr"] == "1e-3"  # as typed
    assert run.data.metrics[Metric.TEST_MSE] > 0
    assert f"run ae-d2-s0, id {run.info.run_id}" in done.stdout


def test_bad_input_ends_the_run_failed_with_the_reason(store: MlflowClient, tmp_path: Path) -> None:
    done = mlflow_run(store, tmp_path, "dataset=digits", "dim3=65")
    assert done.returncode == 1
    (run,) = store.search_runs([store.get_experiment_by_name("headline").experiment_id])
    assert run.info.status == "FAILED"
    assert run.data.tags[Tag.DESCRIPTION].startswith("Not run: dim3 must be from 1 to 64")


def test_ctrl_c_ends_the_run_killed(store: MlflowClient, tmp_path: Path) -> None:
    """As a terminal sends it: to `mlflow run`, which would call the run FAILED, and to the training."""
    env = environment(MLFLOW_TRACKING_URI=store.tracking_uri)
    given = command("model=ae", "dataset=digits", "epochs=1000000", "artifacts=light")
    with subprocess.Popen(
        given,
        cwd=tmp_path,
        env=env,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        assert process.stderr is not None
        assert any("epoch 1/" in line for line in process.stderr)
        os.killpg(process.pid, signal.SIGINT)
        process.stderr.read()
    (run,) = store.search_runs([store.get_experiment_by_name("headline").experiment_id])
    assert run.data.tags[Tag.REASON] == "interrupted by SIGINT"
    end = time.monotonic() + 60
    while (status := store.get_run(run.info.run_id).info.status) != "KILLED":
        assert time.monotonic() < end, status
        time.sleep(0.2)
