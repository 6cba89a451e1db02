"""Behind a bad tracking server a run is complete or fails with a clear message, and no cell counts twice."""

import itertools
from pathlib import Path

import pytest
from mlflow import MlflowClient

from elbowroom.analysis.runs import query
from elbowroom.studies.records.study import OPENED_TWICE
from elbowroom.tracking.config import RunConfig
from elbowroom.tracking.run import execute
from elbowroom.tracking.store.errors import BadInput, RunFailed
from elbowroom.tracking.store.names import Kind, Metric, Tag
from elbowroom.tracking.train import main
from tests.conftest import signals_kept
from tests.faults.proxy import FAULTS, Answer, Fault, Proxy
from tests.studies.harness import Study

pytestmark = [pytest.mark.integration, pytest.mark.server]
CONFIG = RunConfig(model="ae", dataset="digits", dim2=8, epochs=2, threads=1, artifacts="light")


@pytest.mark.parametrize(
    ("kind", "fault", "statuses"),
    [
        ("runs/create", "500 after it was done", ["FINISHED", "RUNNING"]),  # MLflow repeats it, and opens a second run
        ("log-batch", "500 after it was done", ["FINISHED"]),
        ("artifacts/codes", "404", ["FAILED"]),
        ("runs/update", "401", ["FAILED"]),
    ],
)
def test_a_run_is_whole_or_says_that_it_is_not(
    proxy: Proxy, server: str, monkeypatch: pytest.MonkeyPatch, kind: str, fault: str, statuses: list[str]
) -> None:
    """The first request of each kind is disturbed."""
    name = f"disturbed {kind}"
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", name)
    proxy.watch(lambda n, request: FAULTS[fault] if kind in request.path and not proxy.hit else None)
    said = ""
    try:
        execute(CONFIG)
    except (BadInput, RunFailed) as error:
        said = str(error)
    client = MlflowClient(server)
    runs = client.search_runs([client.get_experiment_by_name(name).experiment_id])
    assert sorted(run.info.status for run in runs) == statuses
    assert all(run.data.params == {} for run in runs if run.info.status == "RUNNING")
    assert (said == "") is ("FINISHED" in statuses)
    assert len(said) <= 500
    assert "\n" not in said
    (written,) = (run for run in runs if run.info.status != "RUNNING")
    history = client.get_metric_history(written.info.run_id, Metric.VAL_MSE)
    assert [m.step for m in history] == [1, 2]  # nothing is lost, and nothing is there twice


TINY = ("--models", "pca", "--dim3", "2:3", "--seeds", "1", "--dataset", "digits")


@pytest.mark.slow
def test_a_request_that_is_repeated_after_a_lost_answer_counts_no_cell_twice(
    proxy: Proxy, server: str, tmp_path: Path, cells_here: None
) -> None:
    """Each run of the study is opened twice. What nobody writes to is closed; studies and readers take the other."""
    study = Study(tmp_path, proxy.uri, f"sqlite:///{tmp_path}/optuna.db", "opened twice")
    repeated = itertools.cycle([FAULTS["500 after it was done"], None])
    proxy.watch(lambda n, request: next(repeated) if request.path.endswith("runs/create") else None)
    assert study.run_here(*TINY) == 0
    assert len(proxy.hit) == 3  # the study and its two cells
    direct = Study(tmp_path, server, study.storage, study.experiment)

    def closed(kind: Kind) -> list[str]:
        assert {r.info.status for r in direct.runs(kind)} == {"FINISHED", "FAILED"}
        return [r.data.tags[Tag.REASON] for r in direct.runs(kind) if r.info.status == "FAILED"]

    assert (closed(Kind.STUDY), closed(Kind.RUN)) == ([OPENED_TWICE], [OPENED_TWICE] * 2)
    done = direct.finished()
    assert sorted(r.info.run_name for r in done) == ["pca-d2-s0", "pca-d3-s0"]
    read = query.read(direct.client, study.experiment)
    assert sorted(cell.run_id for cell in read.cells) == sorted(r.info.run_id for r in done)

    # A coordinator that dies before its end leaves them RUNNING, and the next start closes them.
    orphans = [r for kind in (Kind.STUDY, Kind.RUN) for r in direct.runs(kind) if r.info.status == "FAILED"]
    for run in orphans:
        direct.client.update_run(run.info.run_id, status="RUNNING")
    assert len(query.read(direct.client, study.experiment).cells) == 2
    proxy.watch()
    assert study.run_here(*TINY) == 0
    assert (closed(Kind.STUDY), closed(Kind.RUN)) == ([OPENED_TWICE], [OPENED_TWICE] * 2)
    assert sorted(r.info.run_id for r in direct.finished()) == sorted(r.info.run_id for r in done)

    # Without Optuna's database the study is found by its parent, and not by the empty one.
    fresh = Study(tmp_path, proxy.uri, f"sqlite:///{tmp_path}/fresh.db", study.experiment)
    assert fresh.run_here(*TINY) == 0
    assert sorted(r.info.run_id for r in direct.runs()) == sorted(
        r.info.run_id for r in [*done, *(r for r in orphans if r.data.tags[Tag.KIND] == Kind.RUN)]
    )


def test_a_server_whose_address_is_redirected_is_named(proxy: Proxy, capsys: pytest.CaptureFixture[str]) -> None:
    moved = Fault("moved", Answer(308, {"Location": "https://127.0.0.1:9/"}, b""))
    proxy.watch(lambda number, request: moved)
    with signals_kept():
        assert main(["--model", "pca", "--dataset", "digits", "--tracking-uri", proxy.uri]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "failed with error code 308" in line
