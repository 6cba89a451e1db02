"""The query on runs of this project: finished, running, broken, doubled and mixed."""

import json
import math
from dataclasses import asdict

import pytest
from mlflow import MlflowClient

from elbowroom.analysis.runs.comparison import compare
from elbowroom.analysis.runs.query import read
from elbowroom.tracking.config import RunConfig
from elbowroom.tracking.store.errors import BadInput
from elbowroom.tracking.store.names import COORDINATES, CURVE_INDIFFERENT, Kind, Metric, Tag
from tests.analysis.example_runs import log


def test_cells_have_what_the_run_says(store: MlflowClient) -> None:
    run_id = log(store, model="ae", dim3=4, seed=1, error=0.5, test=0.25)
    (cell,) = read(store, "e").cells
    assert (cell.run_id, cell.model, cell.dim3, cell.seed, cell.error, cell.test) == (run_id, "ae", 4, 1, 0.5, 0.25)
    assert cell.on_validation
    assert cell.trained
    assert dict(cell.settings)["epochs"] == "20"


def test_without_validation_rows_the_test_error_is_judged(store: MlflowClient) -> None:
    log(store, dim3=2, error=None, test=0.25)
    (cell,) = read(store, "e").cells
    assert (cell.error, cell.on_validation) == (0.25, False)


def test_an_unknown_experiment_is_refused_with_those_that_there_are(store: MlflowClient) -> None:
    log(store, dim3=2, error=1)
    with pytest.raises(BadInput, match="no experiment 'mine'; there are: Default, e"):
        read(store, "mine")


def test_a_deleted_experiment_is_refused_with_how_to_restore_it(store: MlflowClient) -> None:
    log(store, dim3=2, error=1)
    store.delete_experiment("1")
    with pytest.raises(BadInput, match=r"'e' is deleted; restore it \(mlflow experiments restore --experiment-id 1\)"):
        read(store, "e")


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"error": math.nan}, f"its {Metric.VAL_MSE_FINAL} is nan"),
        ({"error": math.inf}, f"its {Metric.VAL_MSE_FINAL} is infinite"),
        ({"error": None, "test": None}, f"it has no metric {Metric.TEST_MSE}"),
        ({"tags": {Tag.CONFIG: "{"}}, f"its tag {Tag.CONFIG} is missing or broken"),
        ({"tags": {Tag.CONFIG: json.dumps({"model": "ae", "dim3": "two", "seed": 0})}}, "its dim3 is 'two', no number"),
    ],
)
def test_what_is_no_point_is_left_out_and_named(store: MlflowClient, change: dict, why: str) -> None:
    log(store, dim3=2, error=1.0)
    bad = log(store, **{"dim3": 3, "error": 1.0, "name": "the bad one"} | change)
    found = read(store, "e")
    assert [c.dim3 for c in found.cells] == [2]
    assert [(o.run_id, o.name) for o in found.left_out] == [(bad, "the bad one")]
    assert why in found.left_out[0].why


def test_runs_that_have_not_finished_are_named_with_their_reason(store: MlflowClient) -> None:
    log(store, dim3=2, error=1.0)
    log(store, dim3=3, error=1.0, status="FAILED", tags={Tag.REASON: "no room"})
    log(store, dim3=4, error=1.0, status="RUNNING")
    assert sorted(o.why for o in read(store, "e").unfinished) == ["FAILED: no room", "RUNNING"]


def test_other_kinds_of_runs_are_not_read(store: MlflowClient) -> None:
    for kind in Kind:
        log(store, dim3=2, error=1.0, tags={Tag.KIND: kind})
    found = read(store, "e")
    assert len(found.cells) == 1
    assert len(found.studies) == 1


def test_confirmations_stand_apart(store: MlflowClient) -> None:
    log(store, dim3=2, error=1.0)
    log(store, dim3=2, error=0.9, epochs=40, tags={Tag.CONFIRMS: "true"})
    found = read(store, "e")
    assert [c.error for c in found.cells] == [1.0]
    assert [c.error for c in found.confirmations] == [0.9]


def test_of_doubled_cells_the_latest_counts(store: MlflowClient) -> None:
    first = log(store, dim3=2, error=1.0)
    second = log(store, dim3=2, error=2.0)
    log(store, dim3=2, error=3.0, status="FAILED")
    (comparison,) = compare(read(store, "e").cells)
    assert comparison.series[0].errors().tolist() == [[2.0]]
    assert [d.run_id for d in comparison.doubled] == [first]
    assert second in comparison.doubled[0].why


def test_data_and_epochs_are_never_mixed_and_pca_stands_in_each(store: MlflowClient) -> None:
    for k in (2, 3):
        log(store, model="pca", dim3=k, error=1.0 / k)
        log(store, dim3=k, error=0.5 / k)
        log(store, dim3=k, error=0.4 / k, epochs=40)
        log(store, dim3=k, error=7.0, dataset="other")
    names = {c.name: [s.label for s in c.series] for c in compare(read(store, "e").cells)}
    assert names == {"digits, 20 epochs": ["pca", "ae"], "digits, 40 epochs": ["pca", "ae"], "other, 20 epochs": ["ae"]}


def test_comparisons_that_differ_in_a_setting_have_names_that_differ(store: MlflowClient) -> None:
    log(store, dim3=2, error=1.0)
    log(store, dim3=3, error=1.0)
    log(store, dim3=2, error=1.0, lr=0.01)
    log(store, dim3=2, error=1.0, epochs=5)
    log(store, dim3=2, error=1.0, dataset="other")
    assert [c.name for c in compare(read(store, "e").cells)] == [
        "digits, 20 epochs, lr 0.001",
        "digits, 20 epochs, lr 0.01",
        "digits, 5 epochs",
        "other, 20 epochs",
    ]


def test_losses_make_two_series_of_one_model(store: MlflowClient) -> None:
    log(store, dim3=2, error=1.0, facts={"loss": "mse"})
    log(store, dim3=2, error=2.0, facts={"loss": "bce"})
    (comparison,) = compare(read(store, "e").cells)
    assert sorted(s.label for s in comparison.series) == ["ae", "ae (loss bce)"]


def test_the_seeds_that_all_dim3_have_are_judged(store: MlflowClient) -> None:
    for k in (2, 3):
        for seed in (0, 1):
            log(store, dim3=k, seed=seed, error=10.0 * seed + k)
    log(store, dim3=2, seed=2, error=99.0)
    (comparison,) = compare(read(store, "e").cells)
    series = comparison.series[0]
    assert series.seeds == [0, 1]
    assert series.errors().tolist() == [[2.0, 3.0], [12.0, 13.0]]
    assert [c.error for c in series.dropped] == [99.0]


@pytest.mark.parametrize(("tags", "errors"), [({Tag.SEEDED: "yes"}, [[2.0, 3.0], [4.0, 5.0]]), ({}, [[4.0, 5.0]])])
def test_a_model_without_epochs_has_seeds_where_it_asks_for_one(
    store: MlflowClient, tags: dict, errors: list[list[float]]
) -> None:
    """A random projection does; PCA does not, and the later run of a dim3 stands for both."""
    for seed in (0, 1):
        for k in (2, 3):
            log(store, dim3=k, seed=seed, error=2.0 * seed + k, tags=tags, metrics={Metric.EPOCHS_TRAINED: 0})
    (comparison,) = compare(read(store, "e").cells)
    assert comparison.series[0].errors().tolist() == errors


def test_without_a_common_seed_the_means_are_one_curve(store: MlflowClient) -> None:
    log(store, dim3=2, seed=0, error=1.0)
    log(store, dim3=2, seed=1, error=3.0)
    log(store, dim3=3, seed=2, error=1.0)
    (comparison,) = compare(read(store, "e").cells)
    assert comparison.series[0].errors().tolist() == [[2.0, 1.0]]


def test_every_field_of_the_configuration_has_its_place(store: MlflowClient) -> None:
    """A new field of RunConfig splits curves, unless it is named among those that do not."""
    log(store, dim3=2, error=1.0)
    (cell,) = read(store, "e").cells
    placed = {name for name, _ in (*cell.settings, *cell.variant)} | set(COORDINATES)
    assert set(asdict(RunConfig())) - placed == set(CURVE_INDIFFERENT)
