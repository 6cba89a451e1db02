"""Reaching a store and recording runs, and the errors that a user reads where the store fails."""

import sqlite3
from contextlib import ExitStack
from pathlib import Path
from threading import Event
from types import SimpleNamespace
from typing import cast

import mlflow
import numpy as np
import pytest
from mlflow import MlflowClient, MlflowException
from mlflow.entities import Experiment
from sqlalchemy.exc import OperationalError

from elbowroom.tracking.config import RunConfig
from elbowroom.tracking.run import execute, execution
from elbowroom.tracking.store import client as reached
from elbowroom.tracking.store import recorder
from elbowroom.tracking.store.addresses import elsewhere
from elbowroom.tracking.store.client import find_experiment, reach_store
from elbowroom.tracking.store.errors import BadInput, one_line
from elbowroom.tracking.store.names import Metric, Tag
from elbowroom.tracking.store.recorder import Recorder, RunRecord
from tests.conftest import locked_for


def stored() -> MlflowException:
    """Return the exception that MLflow raises for an error of its database."""
    said = MlflowException(
        "(sqlite3.OperationalError) database or disk is full\n[SQL: INSERT INTO runs (a) VALUES (?)]"
    )
    said.__cause__ = OperationalError(
        "INSERT INTO runs (a) VALUES (?)", {}, sqlite3.OperationalError("database or disk is full")
    )
    return said


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ValueError("two\n  lines"), "two lines"),
        (KeyError("lr"), "KeyError: 'lr'"),
        (RuntimeError(""), "RuntimeError: "),
        (stored(), "OperationalError: database or disk is full"),
        (MlflowException("no\nsuch run"), "no such run"),
        (MlflowException("x" * 500), f"{'x' * 266}…{'x' * 133}"),
        (OSError("no route to postgresql://me:secret@host/db"), "OSError: no route to postgresql://me:***@host/db"),
    ],
)
def test_an_exception_is_one_line_of_what_and_not_how(error: Exception, line: str) -> None:
    assert one_line(error) == line


def test_a_deleted_experiment_says_how_to_restore_it(store: MlflowClient, monkeypatch: pytest.MonkeyPatch) -> None:
    number = store.create_experiment("mine")
    store.delete_experiment(number)
    for name, value in (("MLFLOW_EXPERIMENT_NAME", "mine"), ("MLFLOW_EXPERIMENT_ID", number)):
        monkeypatch.setenv(name, value)
        with pytest.raises(BadInput, match=rf"'mine' is deleted; restore it \(mlflow .* --experiment-id {number}\)"):
            execute(RunConfig(model="pca", dataset="digits"))


SERVER, FOLDER, HOST = "http://host:5000", "in a folder of this machine", "on another host"
PLACES = [
    (SERVER, "mlflow-artifacts:/1/a/artifacts", ""),
    (SERVER, "mlflow-artifacts://host:5000/1/a", ""),
    (SERVER, "mlflow-artifacts://other/1/a", HOST),
    (SERVER, "http://host:5000/api/2.0/mlflow-artifacts/artifacts/1", ""),
    (SERVER, "http://host:5000@other/x", HOST),
    (SERVER, "file:///home/me", FOLDER),
    (SERVER, " FILE://localhost/home/me", FOLDER),
    (SERVER, "", FOLDER),
    (SERVER, "//other/share", HOST),
    (SERVER, "s3://bucket/x", HOST),
    (SERVER, "http://[host", "at a malformed address"),
    (SERVER, "mlflow-artifacts://HOST:5000/1/a", ""),
    (SERVER, "mlflow-artifacts://host/1/a", HOST),
    (SERVER, "http://host:5001/x", HOST),
    (SERVER, "http://host:port/x", "at a malformed address"),
    (SERVER, r"http://other\@host:5000/x", "at a malformed address"),
    ("http://ada:pw@host:5000/", "mlflow-artifacts://host:5000/z", ""),
    ("http://ada:pw@host:5000/", "mlflow-artifacts:/z", ""),
    ("http://ada:pw@host:5000/", "mlflow-artifacts://ada:pw@other:5000/z", HOST),
    ("https://Host/mlflow", "mlflow-artifacts://host:443/z", ""),
    ("https://host:443", "https://host/z", ""),
    ("https://host", "http://host/z", HOST),
    ("http://host", "mlflow-artifacts://host:80/z", ""),
    ("http://[::1]:5000", "mlflow-artifacts://[::1]:5000/z", ""),
    ("databricks", "dbfs:/databricks/mlflow-tracking/1", ""),
    ("databricks://profile", "dbfs://other@databricks/x", HOST),
    ("sqlite:///mlflow.db", "file:///home/me/mlruns", ""),
    ("sqlite:///mlflow.db", "s3://bucket/x", ""),
    ("sqlite:///mlflow.db", "ftp://me:password@other/x", HOST),
    ("sqlite:///mlflow.db", "mlflow-artifacts:/1", HOST),
    ("postgresql://host/db", "gs://bucket/x", ""),
    ("postgresql://one:5432,two:5432/db", "s3://bucket/x", ""),
]


@pytest.mark.parametrize(("tracking_uri", "place", "where"), PLACES)
def test_a_server_has_files_on_itself_and_a_database_in_folders_and_buckets(
    tracking_uri: str, place: str, where: str
) -> None:
    assert elsewhere(place, tracking_uri) == where
    assert elsewhere(place, tracking_uri, writes=True) == ("" if place.startswith("s3:") else where)


def test_an_experiment_that_keeps_its_files_elsewhere_is_refused_before_training(
    store: MlflowClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.create_experiment("elbowroom", artifact_location="ftp://host/x")
    with pytest.raises(BadInput, match="experiment 'elbowroom' keeps its files on another host, ftp://host/x; allowed"):
        execute(RunConfig(model="pca", dataset="digits"))
    assert store.search_runs(["0", "1"]) == []
    there = Experiment("1", "theirs", "file:///home/me", "active")
    monkeypatch.setattr(MlflowClient, "get_experiment_by_name", lambda *_: there)
    with pytest.raises(BadInput, match="experiment 'theirs' keeps its files in a folder of this machine, file:///home"):
        find_experiment(MlflowClient("http://host:5000"))


@pytest.mark.parametrize("continued", [False, True])
def test_a_run_that_keeps_its_files_elsewhere_ends_before_training(
    store: MlflowClient, monkeypatch: pytest.MonkeyPatch, continued: bool
) -> None:
    place = store.create_experiment("theirs", artifact_location="ftp://host/x")
    if continued:  # as `mlflow run` has it, or a user: the run of another experiment
        monkeypatch.setenv("MLFLOW_RUN_ID", store.create_run(place).info.run_id)
    else:  # the server's answer names another place than its experiment has
        create = MlflowClient.create_run
        monkeypatch.setattr(MlflowClient, "create_run", lambda self, _, **said: create(self, place, **said))
    monkeypatch.setattr(execution, "fit", None)
    with pytest.raises(BadInput, match=r"^run \w{32} keeps its files on another host, ftp://host/x/.*; allowed: those"):
        execute(RunConfig(model="pca", dataset="digits"))
    (opened,) = store.search_runs([place])
    assert opened.info.status == "FAILED"
    assert opened.data.tags[Tag.REASON].startswith(f"run {opened.info.run_id} keeps its files on another host")


@pytest.mark.parametrize(
    ("location", "asked"),
    [("mlflow-artifacts:/0", ["mlflow-artifacts:/0"]), ("mlflow-artifacts://other/0", []), ("file:///home/me", [])],
)
def test_only_the_store_is_asked_for_its_first_experiments_artifacts(
    monkeypatch: pytest.MonkeyPatch, location: str, asked: list[str]
) -> None:
    """The experiment in use is not yet made."""
    first = Experiment("0", "Default", location, "active")
    client = SimpleNamespace(tracking_uri=SERVER, get_experiment=lambda _: first, get_experiment_by_name=lambda _: None)
    seen: list[str] = []
    repository = SimpleNamespace(list_artifacts=lambda _: None)
    monkeypatch.setattr(reached, "get_artifact_repository", lambda uri: seen.append(uri) or repository)
    reached._reach_artifacts(cast(MlflowClient, client))
    assert seen == asked


def test_the_address_of_the_code_is_recorded_without_its_password(
    store: MlflowClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = {"mlflow.source.git.repoURL": "https://me:token@host/code.git"}
    monkeypatch.setattr("elbowroom.tracking.store.recorder.resolve_tags", lambda: address)
    run = execute(RunConfig(model="pca", dataset="digits", artifacts="light"))
    assert store.get_run(run.run_id).data.tags["mlflow.source.git.repoURL"] == "https://me:***@host/code.git"


def test_a_store_that_answers_and_opens_no_run_is_bad_input(
    store: MlflowClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise MlflowException("permission denied")

    monkeypatch.setattr(MlflowClient, "create_run", refuse)
    with pytest.raises(BadInput, match=r"^tracking URI sqlite:///.* can't open a run: permission denied$"):
        execute(RunConfig(model="pca", dataset="digits"))


def test_a_database_that_is_no_file_is_asked_in_its_own_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mlflow, "get_tracking_uri", lambda: "postgresql+psycopg://ada:secret@127.0.0.1:1/runs")
    with pytest.raises(BadInput, match=r"ada:\*{3}@127.0.0.1:1/runs can't be used: OperationalError: connection "):
        reach_store()


def test_a_curve_longer_than_a_request_is_logged_whole(store: MlflowClient) -> None:
    run_id = store.create_run(store.create_experiment("long")).info.run_id
    values = np.linspace(2, 1, 1001)
    Recorder(store, run_id).write(RunRecord(curve=values), step=0)
    history = sorted(store.get_metric_history(run_id, Metric.CURVE_MSE), key=lambda m: m.step)
    assert [m.step for m in history] == list(range(1, 1002))
    assert [m.value for m in history] == values.tolist()


def test_a_run_waits_for_a_locked_file_as_long_as_we_say(
    store: MlflowClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = tmp_path / "mlflow.db"
    config = RunConfig(model="ae", dataset="digits", epochs=1, artifacts="light")
    with ExitStack() as locks:
        result = execute(config, on_epoch=lambda epoch: locks.enter_context(locked_for(0.5, database)))
    assert store.get_run(result.run_id).info.status == "FINISHED"

    monkeypatch.setattr("elbowroom.tracking.store.database.OUTAGE_SECONDS", 0.1)
    with locked_for(0.5, database), pytest.raises(MlflowException, match="database is locked"):
        store.set_tag(result.run_id, "a", "b")


def test_mlflows_variable_adds_the_use_of_the_machine(store: MlflowClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING", "true")
    monkeypatch.setenv("MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL", "0.01")
    run = store.get_run(execute(RunConfig(model="pca", dataset="digits")).run_id)
    assert run.info.status == "FINISHED"
    used = {
        name: run.data.metrics[f"system/{name}"]
        for name in ("cpu_utilization_percentage", "system_memory_usage_megabytes")
    }
    assert min(used.values()) > 0


def test_a_run_ends_while_its_monitor_waits_for_the_store(store: MlflowClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING", "true")
    monkeypatch.setattr(recorder, "ANSWER_SECONDS", 0.0)
    answered = Event()
    monkeypatch.setattr(recorder.SystemMetricsMonitor, "finish", lambda _: answered.wait())
    result = execute(RunConfig(model="pca", dataset="digits"))
    answered.set()
    assert store.get_run(result.run_id).info.status == "FINISHED"
