"""The state of a study by the events of its jobs."""

from collections.abc import Mapping
from dataclasses import replace

from elbowroom.studies.execution.cell import Job, Outcome, Status
from elbowroom.studies.execution.state import CellState, Events, Place, Stage, StudyState
from elbowroom.tracking.config import RunConfig
from elbowroom.tracking.store.names import Kind
from elbowroom.tracking.store.recorder import Place as RunPlace

BASE = RunConfig(model="ae", dataset="digits", dim3=2, epochs=20)
CELLS = [CellState(Place(model, dim3)) for dim3 in (3, 2) for model in ("pca", "ae")]


def error(metrics: Mapping[str, float]) -> float:
    return metrics["error"]


def job(trial: int, config: RunConfig = BASE, kind: Kind = Kind.RUN) -> Job:
    return Job(config, trial, RunPlace("1", "parent", kind), "", "")


def stages(state: StudyState) -> dict[str, str]:
    return {f"{c.place.model}{c.place.dim3}": c.stage.value for c in state.cells}


def test_a_cell_waits_runs_and_is_done() -> None:
    events = Events("s", CELLS, ["pca", "ae"], total=4, value=error)
    assert stages(events.state()) == dict.fromkeys(("pca2", "pca3", "ae2", "ae3"), "waiting")
    events.began(job(5))
    events.began(job(6, replace(BASE, dim3=3)))
    events.heard({5: (7, "host 12 1.00"), 9: (1, "a run of an earlier start")})
    cell = next(c for c in events.state().cells if c.place == Place("ae", 2))
    assert (cell.stage, cell.epoch, cell.epochs, cell.worker) == (Stage.RUNNING, 7, 20, "host 12 1.00")
    events.ended(job(5), Outcome(Status.FINISHED, metrics={"error": 0.25}))
    events.ended(job(6, replace(BASE, dim3=3)), Outcome(Status.FAILED, reason="no threes"))
    state = events.state()
    assert stages(state) == {"pca2": "waiting", "pca3": "waiting", "ae2": "done", "ae3": "failed"}
    assert (state.total, state.done, [c.value for c in state.at(Stage.DONE)]) == (4, 1, [0.25])


def test_the_cell_of_a_dead_worker_waits_again() -> None:
    events = Events("s", CELLS, value=error)
    events.began(job(5))
    events.again(job(5))
    assert stages(events.state())["ae2"] == "waiting"
    events.began(job(6))
    assert stages(events.state())["ae2"] == "running"


def test_trials_have_numbers_and_the_settings_that_are_tuned() -> None:
    events = Events("t", (), total=9, objective="validation error", knobs=["lr", "dim2"], value=error)
    events.began(job(0, replace(BASE, lr=0.00123, dim2=64), Kind.TRIAL))
    events.ended(job(0, kind=Kind.TRIAL), Outcome(Status.PRUNED))
    (trial,) = events.state().cells
    assert (trial.place.trial, trial.stage, trial.settings) == (0, Stage.PRUNED, (("lr", "0.00123"), ("dim2", "64")))
    assert (events.state().total, events.state().done) == (9, 1)


def test_the_time_left_is_by_the_mean_time_of_each_model() -> None:
    """PCA takes 1 s and AE 10 s; half an AE, an AE and a PCA are left, and one cell runs."""
    done = [
        CellState(Place("pca", 2), Stage.DONE, value=1.0, began=5.0, ended=6.0),
        CellState(Place("ae", 2), Stage.DONE, value=1.0, began=5.0, ended=15.0),
    ]
    running = CellState(Place("ae", 3), Stage.RUNNING, epoch=10, epochs=20)
    left = [running, CellState(Place("ae", 4)), CellState(Place("pca", 3))]
    assert StudyState("s", (*done, *left), 5).seconds_left() == 16
    assert StudyState("s", (*done, *left), None).seconds_left() is None  # a seek
    assert StudyState("s", (*done, *left, CellState(Place("vae", 3))), 6).seconds_left() is None  # not known yet
