"""Runs and reports against `mlflow server` over HTTP, and errors when the server ends."""

import subprocess
import sys
import threading
from pathlib import Path

import mlflow
import numpy as np
import pytest
from mlflow import MlflowClient
from mlflow.utils.request_utils import _cached_get_request_session

from elbowroom.analysis import report
from elbowroom.tracking.config import RunConfig
from elbowroom.tracking.data import load_dataset
from elbowroom.tracking.run import execute
from elbowroom.tracking.store.names import Artifact, Tag
from tests.analysis.test_report import fill, result
from tests.conftest import environment
from tests.studies.harness import mlflow_server
from tests.tracking.run.test_execution import artifacts

pytestmark = [pytest.mark.integration, pytest.mark.server]
CONFIG = RunConfig(model="vae", dataset="digits", epochs=3, dim2=16, threads=1)


def test_over_http_a_run_is_what_it_is_in_sqlite(store: MlflowClient, server: str) -> None:
    local = store.get_run(execute(CONFIG).run_id)
    kept = artifacts(store, local.info.run_id)
    mlflow.set_tracking_uri(server)
    client = MlflowClient(server)
    remote = client.get_run(execute(CONFIG).run_id)
    timed = {"fit_seconds", "samples_per_second"}
    assert {k: v for k, v in remote.data.metrics.items() if k not in timed} == {
        k: v for k, v in local.data.metrics.items() if k not in timed
    }
    assert remote.data.params == local.data.params
    assert remote.info.status == "FINISHED"
    assert remote.data.tags[Tag.DIGEST] == local.data.tags[Tag.DIGEST]
    fixed = {p for p in kept if not p.startswith("images/")}  # pictures by step have a random part in their names
    assert fixed <= artifacts(client, remote.info.run_id)
    model = mlflow.pyfunc.load_model(f"runs:/{remote.info.run_id}/model")
    codes = np.load(client.download_artifacts(remote.info.run_id, Artifact.CODES))
    assert np.allclose(model.predict(load_dataset("digits").x_test, params={"op": "encode"}), codes, atol=1e-5)


def test_a_report_of_a_server_over_http(
    store: MlflowClient, server: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    _cached_get_request_session.cache_clear()  # it may have been made outside a command
    client = MlflowClient(server)
    mlflow.set_tracking_uri(server)
    fill(client, tmp_path / "arrays")
    assert report.main(["--experiment", "e", "--tracking-uri", server, "--out", "out", "--no-log"]) == 0
    assert "Connection pool is full" not in caplog.text
    (comparison,) = result()["comparisons"]
    assert [m["label"] for m in comparison["models"]] == ["pca", "ae"]
    assert all(p["low"] is not None for m in comparison["models"] for p in m["points"])
    assert f"{server}/#/experiments/" in Path("out/report.html").read_text()


@pytest.mark.slow
def test_a_server_that_goes_during_a_run_ends_it_with_one_line(tmp_path: Path) -> None:
    server = mlflow_server(tmp_path, f"sqlite:///{tmp_path}/mlflow.db")
    server.start()
    command = [sys.executable, "-m", "tracking.train", "--dataset", "digits", "--epochs", "100000"]
    process = subprocess.Popen(
        [*command, "--tracking-uri", server.uri],
        cwd=tmp_path,
        env=environment(MLFLOW_HTTP_REQUEST_MAX_RETRIES="1"),
        stderr=subprocess.PIPE,
        text=True,
    )
    guard = threading.Timer(240, process.kill)
    guard.start()
    assert "epoch 1/" in process.stderr.readline()
    server.kill()
    _, err = process.communicate()
    guard.cancel()
    assert process.returncode == 1
    assert "Traceback" not in err
    assert err.splitlines()[-1].startswith("error: run ")
    assert f"port={server.port}" in err.splitlines()[-1]
