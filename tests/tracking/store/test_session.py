"""Which experiment is read where none is named."""

import logging
from pathlib import Path

import pytest
from mlflow import MlflowClient

from elbowroom.analysis.reporting import report, report_table
from elbowroom.tracking.store.errors import BadInput
from elbowroom.tracking.store.session import opened
from tests.analysis.example_runs import log

pytestmark = pytest.mark.integration


@pytest.fixture(autouse=True)
def nothing_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_EXPERIMENT_NAME", raising=False)
    monkeypatch.delenv("MLFLOW_EXPERIMENT_ID", raising=False)


def read(store: MlflowClient, name: str | None = None) -> str:
    with opened(store.tracking_uri, name, log=True) as (_, experiment):
        return experiment


def test_the_only_one_with_our_finished_runs_is_read(store: MlflowClient, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "elbowroom")
    assert read(store) == "elbowroom"  # there is none yet
    store.create_experiment("elbowroom")
    log(store, dim3=2, error=0.1, experiment="Default", status="FAILED")
    store.create_run(store.create_experiment("others"))
    assert read(store) == "elbowroom"
    assert caplog.messages == []
    log(store, dim3=2, error=0.1, experiment="Default")
    assert read(store) == "Default"
    assert caplog.messages == ["experiment Default: the only one with runs of this project"]


def test_of_several_one_has_to_be_named(store: MlflowClient, monkeypatch: pytest.MonkeyPatch) -> None:
    log(store, dim3=2, error=0.1, experiment="elbowroom")
    assert read(store) == "elbowroom"
    for dim3 in (2, 3):
        log(store, dim3=dim3, error=0.1, experiment="b")
    with pytest.raises(
        BadInput, match=r"several .*: 'b' \(2 runs\), 'elbowroom' \(1 runs\); --experiment names the one"
    ):
        read(store)
    assert read(store, "b") == "b"
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "elbowroom")
    assert read(store) == "elbowroom"


def test_a_report_does_not_replace_that_of_another_experiment(store: MlflowClient) -> None:
    for name in ("a", "b"):
        for dim3 in (2, 3):
            log(store, dim3=dim3, error=1 / dim3, experiment=name)
    page = report(experiment="a", log=False).page
    before = page.read_bytes()
    report(experiment="a", log=False)
    with pytest.raises(BadInput, match="out reports: has the report of 'a'; --out names another folder"):
        report(experiment="b", log=False)
    Path("t.csv").write_text("dim3,error\n2,0.5\n3,0.4\n")
    with pytest.raises(BadInput, match="has the report of 'a'"):
        report_table("t.csv")
    assert page.read_bytes() == before
    report(experiment="b", log=False, out="of_b")
