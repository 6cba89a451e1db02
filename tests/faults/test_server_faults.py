"""Behind a bad tracking server a run, a study and a report are complete, or fail with a clear message."""

import itertools
import random
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import NamedTuple

import mlflow
import pytest
from mlflow import MlflowClient

from elbowroom.analysis import report
from elbowroom.analysis.runs import query
from elbowroom.studies.records.study import OPENED_TWICE
from elbowroom.tracking.config import RunConfig
from elbowroom.tracking.run import execute, execution
from elbowroom.tracking.store.errors import BadInput, RunFailed
from elbowroom.tracking.store.names import Kind, Tag
from tests.analysis.example_runs import errors, log
from tests.faults.cells import Cells
from tests.faults.proxy import FAULTS, Fault, Proxy, Request
from tests.faults.truth import Kept, Truth
from tests.studies.harness import Study

pytestmark = [pytest.mark.integration, pytest.mark.server]
LIGHT = RunConfig(model="ae", dataset="digits", dim2=8, epochs=2, threads=1, artifacts="light")
FULL = RunConfig(model="ae", dataset="digits", dim2=8, epochs=2, threads=1)
LONGEST = 500  # characters of an error message
names = (f"e{number}" for number in itertools.count())


@pytest.fixture(autouse=True)
def _one_figure(monkeypatch: pytest.MonkeyPatch) -> None:
    """Draw one figure: to draw all would take most of a run's time."""
    monkeypatch.setattr(execution, "FIGURES", {"losses": execution.FIGURES["losses"]})


def attempt(config: RunConfig, experiment: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """Record a run in this experiment; the error message, empty where there is none."""
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", experiment)
    try:
        execute(config)
    except (BadInput, RunFailed) as error:
        return str(error) or "?"
    return ""


def disturbed(
    proxy: Proxy, truth: Truth, config: RunConfig, number: int, fault: str, monkeypatch: pytest.MonkeyPatch, like: Kept
) -> str:
    """Record a run whose n-th request is disturbed; the error message, empty where the run is complete."""
    experiment = next(names)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1" if FAULTS[fault].silent else "60")
    proxy.watch(lambda n, request: FAULTS[fault] if n == number else None)
    said = attempt(config, experiment, monkeypatch)
    where = proxy.hit
    assert len(where) == 1, (number, fault)
    runs = [r for r in truth.runs(experiment) if r.info.status != "RUNNING"]
    orphans = [r for r in truth.runs(experiment) if r.info.status == "RUNNING"]  # of a request that was repeated
    assert len(orphans) <= where[0][1].path.endswith("runs/create"), where
    assert all((r.data.params, r.data.metrics) == ({}, {}) for r in orphans), where
    if not said:
        assert len(runs) == 1, where
        assert truth.kept(runs[0]) == like, where
        return ""
    assert len(said) <= LONGEST, (where, said)
    assert "\n" not in said, (where, said)
    assert [r.info.status for r in runs] in ([], ["FAILED"]), (where, said)
    return said


class Undisturbed(NamedTuple):
    """A run without faults, and its requests, in a new experiment."""

    kept: Kept
    requests: list[Request]


@cache
def undisturbed(proxy: Proxy, truth: Truth, config: RunConfig) -> Undisturbed:
    """Once for all tests."""
    experiment = next(names)
    proxy.watch()
    with pytest.MonkeyPatch.context() as monkeypatch:
        assert attempt(config, experiment, monkeypatch) == ""
    (run,) = truth.runs(experiment)
    return Undisturbed(truth.kept(run), proxy.seen)


@pytest.mark.parametrize(
    ("kind", "fault", "whole"),
    [
        ("runs/create", "500 after it was done", True),
        ("log-inputs", "reset after it was done", True),
        ("log-batch", "429 with Retry-After", True),
        ("artifacts/codes", "404", False),
        ("runs/update", "401", False),
    ],
)
def test_a_run_is_whole_or_says_that_it_is_not(
    proxy: Proxy, truth: Truth, monkeypatch: pytest.MonkeyPatch, kind: str, fault: str, whole: bool
) -> None:
    """The last request of each kind, of one run each; which come out whole is known."""
    like, requests = undisturbed(proxy, truth, LIGHT)
    number = max(n for n, request in enumerate(requests) if kind in request.path)
    said = disturbed(proxy, truth, LIGHT, number, fault, monkeypatch, like)
    assert (said == "") is whole, said


@pytest.mark.soak
@pytest.mark.timeout(3000)
@pytest.mark.parametrize(("config", "step"), [(LIGHT, 1), (FULL, 9)], ids=["light", "full"])
def test_a_run_is_whole_or_says_that_it_is_not_whatever_request_is_disturbed(
    proxy: Proxy, truth: Truth, monkeypatch: pytest.MonkeyPatch, config: RunConfig, step: int
) -> None:
    """Every request of a light run, and every ninth of a full one, with faults that take turns."""
    like, requests = undisturbed(proxy, truth, config)
    faults = itertools.cycle(FAULTS)
    numbers = range(0, len(requests), step)
    whole = [disturbed(proxy, truth, config, n, next(faults), monkeypatch, like) == "" for n in numbers]
    assert sum(whole) > len(whole) / 2  # most faults pass


# A report


@pytest.mark.soak
@pytest.mark.timeout(3000)
def test_a_report_is_whole_or_not_written(
    proxy: Proxy, truth: Truth, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    experiment = next(names)
    direct = MlflowClient(truth.server)
    mlflow.set_tracking_uri(truth.server)
    for k, model in itertools.product(range(1, 9), ("pca", "ae")):
        rows = errors(1 / k, 1 / k, k)
        log(direct, model=model, dim3=k, error=1 / k, test=1 / k, arrays=rows, folder=tmp_path, experiment=experiment)
    given = ["--experiment", experiment, "--tracking-uri", proxy.uri, "--no-log", "--out"]
    proxy.watch()
    assert report.main([*given, "whole"]) == 0
    whole, count = Path("whole/result.json").read_bytes(), len(proxy.seen)
    faults = itertools.cycle(("500", "503", "429", "silence", "reset", "reset after it was done"))
    for number in range(0, count, 5):
        fault = FAULTS[next(faults)]
        monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1" if fault.silent else "60")
        proxy.watch(lambda n, request, number=number, fault=fault: fault if n == number else None)
        out = tmp_path / str(number)
        capsys.readouterr()
        code, err = report.main([*given, str(out)]), capsys.readouterr().err
        assert len(proxy.hit) == 1
        if code == 0:
            assert (out / "result.json").read_bytes() == whole, proxy.hit
            continue
        assert code in (1, 2), proxy.hit
        assert len(err.splitlines()) == 1, (proxy.hit, err)
        assert len(err) < LONGEST, (proxy.hit, err)
        assert [p for p in out.rglob("*") if p.is_file()] == [], proxy.hit


# A study

TINY = ("--models", "pca", "--dim3", "2:3", "--seeds", "1", "--dataset", "digits")


def test_a_request_that_is_repeated_after_a_lost_answer_counts_no_cell_twice(
    proxy: Proxy, truth: Truth, tmp_path: Path, cells: Cells, cells_here: None
) -> None:
    """Each run of the study is opened twice. What nobody writes to is closed; studies and readers take the other."""
    experiment = next(names)
    study = Study(tmp_path, proxy.uri, f"sqlite:///{tmp_path}/optuna.db", experiment)
    repeated = itertools.cycle([FAULTS["500 after it was done"], None])
    proxy.watch(lambda n, request: next(repeated) if request.path.endswith("runs/create") else None)
    assert study.run_here(*TINY) == 0
    assert len(proxy.hit) == 3  # the study and its two cells
    direct = Study(tmp_path, f"sqlite:///{truth.folder}/mlflow.db", study.storage, experiment)

    def closed(kind: Kind) -> list[str]:
        assert {r.info.status for r in direct.runs(kind)} == {"FINISHED", "FAILED"}
        return [r.data.tags[Tag.REASON] for r in direct.runs(kind) if r.info.status == "FAILED"]

    assert (closed(Kind.STUDY), closed(Kind.RUN)) == ([OPENED_TWICE], [OPENED_TWICE] * 2)
    done = direct.finished()
    assert sorted(r.info.run_name for r in done) == ["pca-d2-s0", "pca-d3-s0"]
    read = query.read(direct.client, experiment)
    assert sorted(cell.run_id for cell in read.cells) == sorted(r.info.run_id for r in done)

    # A coordinator that dies before its end leaves them RUNNING, and the next start closes them.
    orphans = [r for kind in (Kind.STUDY, Kind.RUN) for r in direct.runs(kind) if r.info.status == "FAILED"]
    for run in orphans:
        direct.client.update_run(run.info.run_id, status="RUNNING")
    assert len(query.read(direct.client, experiment).cells) == 2
    proxy.watch()
    assert study.run_here(*TINY) == 0
    assert (closed(Kind.STUDY), closed(Kind.RUN)) == ([OPENED_TWICE], [OPENED_TWICE] * 2)
    assert sorted(r.info.run_id for r in direct.finished()) == sorted(r.info.run_id for r in done)

    # Without Optuna's database the study is found by its parent, and not by the empty one.
    fresh = Study(tmp_path, proxy.uri, f"sqlite:///{tmp_path}/fresh.db", experiment)
    assert fresh.run_here(*TINY) == 0
    assert sorted(r.info.run_id for r in direct.runs()) == sorted(
        r.info.run_id for r in [*done, *(r for r in orphans if r.data.tags[Tag.KIND] == Kind.RUN)]
    )


GRID = ("--models", "pca,ae", "--dim3", "2:4", "--seeds", "1", "--dataset", "digits", "--dim2", "8", "--epochs", "2")
ASKED = 6
SHARE = 0.04  # of the requests to which something happens
STARTS = 3  # behind the bad server; then it is a good one


def now_and_then(seed: int) -> Callable[[int, Request], Fault | None]:
    """Any fault, at requests drawn with this seed; silence would only take time."""
    dice = random.Random(seed)
    kinds = [fault for fault in FAULTS.values() if not fault.silent]
    return lambda number, request: dice.choice(kinds) if dice.random() < SHARE else None


@pytest.mark.soak
@pytest.mark.timeout(1800)
def test_a_study_behind_a_bad_server_loses_and_doubles_no_cell(
    proxy: Proxy, truth: Truth, tmp_path: Path, cells: Cells
) -> None:
    experiment = next(names)
    study = Study(tmp_path, proxy.uri, f"sqlite:///{tmp_path}/optuna.db", experiment)
    proxy.watch(now_and_then(seed=0))
    codes = []
    while not codes or (codes[-1] != 0 and len(codes) < STARTS):
        codes.append(study.run(*GRID, "--workers", "1", seconds=900))
    hits = [name for _, _, name in proxy.hit]
    proxy.watch()
    if codes[-1] != 0:
        codes.append(study.run(*GRID, "--workers", "1", seconds=900))
    assert codes[-1] == 0, study.log
    assert set(codes) <= {0, 1, 2}
    assert "Traceback" not in study.log
    assert len(hits) >= 5, hits
    direct = Study(tmp_path, f"sqlite:///{truth.folder}/mlflow.db", study.storage, experiment)
    cells.count(direct, ASKED)
    like = {run.info.run_name: set(run.data.metrics) for run in direct.finished()}
    assert all({"test/mse", "val/mse/final", "dim3", "fit_seconds"} <= names for names in like.values())
