"""The state of a study: the time that is left."""

import pytest

from elbowroom.studies.execution.state import CellState, Place, Stage, StudyState

DONE = [
    CellState(Place("pca", 2), Stage.DONE, value=1.0, began=5.0, ended=6.0),
    CellState(Place("ae", 2), Stage.DONE, value=1.0, began=5.0, ended=15.0),
]
LEFT = [
    CellState(Place("ae", 3), Stage.RUNNING, epoch=10, epochs=20),
    CellState(Place("ae", 4)),
    CellState(Place("pca", 3)),
]


@pytest.mark.parametrize(("workers", "seconds"), [(1, 16), (2, 8), (9, 16 / 3)])
def test_the_time_left_is_by_the_mean_time_of_each_model(workers: int, seconds: float) -> None:
    """PCA takes 1 s and AE 10 s; half an AE, an AE and a PCA are left, for so many workers, of which one is busy."""
    assert StudyState("s", (*DONE, *LEFT), 5, workers=workers).seconds_left() == seconds


def test_the_time_left_is_not_guessed() -> None:
    assert StudyState("s", (*DONE, *LEFT), None).seconds_left() is None  # a seek
    assert StudyState("s", (*DONE, *LEFT, CellState(Place("vae", 3))), 6).seconds_left() is None  # its first cell


def test_a_trial_that_failed_is_not_left() -> None:
    """Six trials of 10 s: two are done, one has failed, one is at half its epochs, and two wait."""
    stages = [Stage.DONE, Stage.PRUNED, Stage.FAILED]
    ended = [CellState(Place(trial=n), stage, began=5.0, ended=15.0) for n, stage in enumerate(stages)]
    running = CellState(Place(trial=3), Stage.RUNNING, epoch=10, epochs=20)
    state = StudyState("t", (*ended, running), 6, tuned=True)
    assert state.seconds_left() == 25
    assert state.stopped("interrupted").cells == tuple(ended)  # another trial will take its place
