"""The state of a study, read from the tracking store: the same as by the events of its jobs."""

import json
from collections.abc import Iterable
from dataclasses import replace
from itertools import count, islice
from types import SimpleNamespace
from typing import cast

import pytest
from mlflow import MlflowClient
from mlflow.entities import Metric as Logged
from mlflow.entities import Run, RunTag

from elbowroom.studies import tune
from elbowroom.studies.execution.processes import process_tag
from elbowroom.studies.execution.state import Answer, CellState, Place, Stage, StudyState
from elbowroom.studies.records import stored_state
from elbowroom.studies.records.stored_state import StoredStudy, states
from elbowroom.studies.records.study import FinishedCell
from elbowroom.studies.seek import main as seek
from elbowroom.tracking.config import RunConfig
from elbowroom.tracking.store.names import EXPERIMENT, Kind, Metric, Tag
from tests.hostile import NAMES
from tests.studies.harness import Patch, Study

pytestmark = pytest.mark.integration

CONFIG = RunConfig(model="ae", dataset="digits", dim3=2, epochs=20)
SMALL = ["--workers", "1", "--dataset", "digits", "--epochs", "3", "--dim2", "8"]


def last(study: Study) -> StudyState:
    """The state of a study that has ended, with its choices."""
    return next(states(StoredStudy(study.client, study.parent())))


@pytest.mark.usefixtures("cells_here")
def test_a_scan_and_the_seek_that_takes_its_cells_over(filed: Study) -> None:
    grid = ["--models", "pca,ae", "--dim3", "2,4", "--seeds", "2"]
    assert filed.run_here(*SMALL, *grid) == 0
    scanned = last(filed)
    assert (scanned.total, scanned.done, [a.model for a in scanned.answers]) == (6, 6, ["pca", "ae"])
    assert (scanned.measure, scanned.workers) == ("validation mean squared error", 1)
    assert [cell.place[:3] for cell in scanned.cells[1:4]] == [("pca", 4, 0), ("ae", 2, 0), ("ae", 2, 1)]
    assert filed.errors()["ae-d4-s1"] == scanned.cells[-1].value

    sought = replace(filed, name="sought", module="studies.seek")
    assert seek([*sought.command(*SMALL, "--models", "ae", "--max-cells", "2")[3:]]) == 0
    found = last(sought)
    assert {c.place.model for c in found.cells} == {"ae"}
    assert (found.total, found.done) == (None, 6)
    assert found.answers[0].text.startswith("ae keep:0.90: dim3 8 (keeps ")


@pytest.mark.usefixtures("cells_here")
def test_a_tuning(filed: Study) -> None:
    tuned = replace(filed, name="tuned")
    words = ["--workers", "1", "--dataset", "digits", "--model", "vae", "--dim3", "2", "--trials", "2", "--epochs", "3"]
    assert tune.main(tuned.command(*words)[3:]) == 0
    found = last(tuned)
    assert (found.total, found.done, found.measure) == (2, 2, "validation -ELBO (nats)")
    assert [name for name, _ in found.cells[0].settings] == ["dim2", "epochs", "batch_size", "lr", "beta"]
    (first, *_) = tuned.trials()
    assert found.cells[0].value == pytest.approx(first.value)
    assert dict(found.cells[0].settings)["lr"] == f"{first.params['lr']:.3g}"


def log_study(client: MlflowClient, coordinator_tag: str, name: str = "s") -> Run:
    """A study with a cell that is done, one at epoch 7 of 20, one that failed, and one that waits."""
    found = client.get_experiment_by_name(EXPERIMENT)
    place = client.create_experiment(EXPERIMENT) if found is None else found.experiment_id
    tags = {Tag.KIND: Kind.STUDY, Tag.STUDY: name, Tag.COORDINATOR: coordinator_tag, Tag.STUDY_SETTINGS: "{}"}
    grid = {"dim3": {"ae": [2, 3, 4, 5]}, "seeds": 1}
    parent = client.create_run(place, tags={**tags, Tag.GRID: json.dumps(grid)})
    for trial, (dim3, status) in enumerate(((2, "FINISHED"), (3, "RUNNING"), (4, "FAILED"))):
        about = {Tag.KIND: Kind.RUN, Tag.PARENT: parent.info.run_id, Tag.TRIAL: str(trial), Tag.DIGEST: "d"}
        about |= {Tag.CONFIG: replace(CONFIG, dim3=dim3).to_json(), Tag.WORKER: "host 12 1.00"}
        run_id = client.create_run(place, tags=about).info.run_id
        if status == "FINISHED":
            client.log_batch(run_id, [Logged(Metric.VAL_MSE_FINAL, 0.25, 0, 0), Logged(Metric.TEST_MSE, 0.3, 0, 0)])
        if status == "RUNNING":
            client.log_batch(run_id, [Logged(Metric.TRAIN_LOSS, 0.5, n, n) for n in range(1, 8)])
        else:
            client.set_terminated(run_id, status)
    return client.get_run(parent.info.run_id)


def stages(state: StudyState) -> list[str]:
    return [cell.stage.value for cell in state.cells]


def test_a_study_that_runs_and_one_whose_process_died(store: MlflowClient) -> None:
    parent = log_study(store, f"{process_tag()} token")
    study = StoredStudy(store, parent)
    state = study.state()
    assert state.running
    assert stages(state) == ["done", "running", "failed", "waiting"]
    assert next(states(study)).answers == ()  # dim3 5 may still reach what 2 does not
    (running,) = state.at(Stage.RUNNING)
    assert (running.place, running.epoch, running.epochs) == (Place("ae", 3), 7, 20)

    machine, *_ = process_tag().split()
    dead = StoredStudy(store, log_study(store, f"{machine} 1 1.00 token"))
    state = dead.state()
    assert (state.running, stages(state)) == (False, ["done", "waiting", "failed", "waiting"])
    assert state.note.startswith("no sign of life since 20")
    assert state.note.endswith(": its process ended without finishing (start the same command to go on)")


def test_a_study_of_another_machine_may_have_died_when_it_wrote_nothing_for_long(
    store: MlflowClient, monkeypatch: Patch
) -> None:
    study = StoredStudy(store, log_study(store, "far 1 1.00 token"))
    assert study.state().running
    monkeypatch.setattr(stored_state, "_SILENT_SECONDS", -1.0)
    state = study.state()
    assert not state.running
    assert state.note.endswith(": its process on far may have ended (start the same command to go on)")


def test_choices_that_take_long_are_made_less_often(monkeypatch: Patch) -> None:
    clock, made = [1.0], []

    def pass_time(seconds: float) -> None:
        clock[0] += seconds

    def choose(cells: Iterable[FinishedCell]) -> tuple[Answer, ...]:
        made.append(clock[0])
        pass_time(5)
        return ()

    monkeypatch.setattr(stored_state, "answers_of", choose)
    monkeypatch.setattr(stored_state, "time", SimpleNamespace(thread_time=lambda: 0.0, monotonic=lambda: clock[0]))
    cell = CellState(Place("ae", 2), Stage.DONE)
    grown = (StudyState("s", (cell,) * number) for number in count(1))
    study = SimpleNamespace(sought=False, done=[cell], state=lambda: next(grown))
    for _ in islice(states(cast(StoredStudy, study), pass_time), 60):
        pass
    assert made == [1, 108]  # after 20 times the 5 seconds, at the next of the readings


def test_a_confirmation_that_failed_is_shown(store: MlflowClient) -> None:
    study = StoredStudy(store, log_study(store, f"{process_tag()} token"))
    (failed,) = store.search_runs([study.parent.info.experiment_id], "attributes.status = 'FAILED'")
    _set(store, failed.info.run_id, [Tag.CONFIRMS], "true")
    assert [cell.place for cell in study.state().at(Stage.FAILED)] == [Place("ae", 4, confirms=True)]


def test_an_assignment_repeats_some_dim3(store: MlflowClient) -> None:
    parent = log_study(store, "")
    grid = {"dim3": {"pca": [2, 3], "ae": [2, 3]}, "seeds": 1, "repeated": [[2], 3]}
    _set(store, parent.info.run_id, [Tag.GRID], json.dumps(grid))
    places = [cell.place[:3] for cell in StoredStudy(store, store.get_run(parent.info.run_id)).state().cells]
    assert places == [("pca", 2, 0), ("pca", 3, 0), ("ae", 2, 0), ("ae", 2, 1), ("ae", 2, 2), ("ae", 3, 0)]


@pytest.mark.parametrize(
    "text",
    [
        *NAMES.values(),
        "[]",
        "[[1]]",
        '{"most epochs": 1, "dim3": 5}',
        '{"dim3": {"ae": [2]}, "seeds": 99999999}',
        '{"dim3": {}, "repeated": [5, 1], "seeds": 1}',
    ],
)
def test_tags_of_a_stranger_are_left_out(store: MlflowClient, text: str) -> None:
    text = text.encode(errors="replace").decode().replace("\0", "")[:5000]
    parent = log_study(store, text)
    run_id = parent.info.run_id
    for names in ((Tag.GRID, Tag.STUDY_SETTINGS), (Tag.SEEK, Tag.SEEK_STATE, Tag.TRIALS)):
        _set(store, run_id, names, text)
        state = StoredStudy(store, store.get_run(run_id)).state()
        assert len(state.cells) <= 3
        assert state.answers == ()


def _set(client: MlflowClient, run_id: str, names: Iterable[Tag], text: str) -> None:
    client.log_batch(run_id, tags=[RunTag(name, text) for name in names])


def test_a_seek_of_a_stranger_is_words(store: MlflowClient) -> None:
    parent = log_study(store, "")
    _set(store, parent.info.run_id, [Tag.SEEK], '{"codes": {"ae": ""}, "round": {"ae": [[9, 0]]}}')
    _set(store, parent.info.run_id, [Tag.SEEK_STATE], '[["ae", null, "[red]x"]]')
    state = StoredStudy(store, store.get_run(parent.info.run_id)).state()
    assert state.answers == (Answer("ae", None, "[red]x"),)
    assert [cell.place.dim3 for cell in state.cells] == [2, 9]
