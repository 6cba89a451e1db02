"""The curve as numbers, table and picture."""

from mlflow import MlflowClient

from elbowroom.studies.records.results import Point, csv, draw, record_curve, table
from elbowroom.tracking.store.recorder import Recorder

POINTS = [
    Point("pca", 2, {0: 0.5}),
    Point("pca", 3, {0: 0.25}),
    Point("ae", 2, {0: 0.25, 2: 0.75}),  # seed 1 failed
    Point("ae", 3, {0: 0.1, 1: 0.2, 2: 0.3}),
]


def test_each_error_stands_beside_its_own_seed() -> None:
    assert csv(POINTS).splitlines() == [
        "dim3,error,seed,model",
        "2,0.5,0,pca",
        "3,0.25,0,pca",
        "2,0.25,0,ae",
        "2,0.75,2,ae",
        "3,0.1,0,ae",
        "3,0.2,1,ae",
        "3,0.3,2,ae",
    ]


def test_the_table_says_where_seeds_are_missing() -> None:
    assert [line.split() for line in table(POINTS).splitlines()] == [
        ["dim3", "pca", "ae"],
        ["2", "0.5000", "0.5000", "±0.35", "(2)"],
        ["3", "0.2500", "0.2000", "±0.1"],
    ]
    assert table([]) == "no cell has finished"


def test_the_picture_has_a_line_a_model_and_a_dot_a_seed() -> None:
    (axes,) = draw(POINTS, "title", "validation error").axes
    pca, ae, dots = axes.get_lines()
    assert list(pca.get_xydata()[:, 1]) == [0.5, 0.25]
    assert [round(y, 9) for y in ae.get_xydata()[:, 1]] == [0.5, 0.2]
    assert sorted(dots.get_xydata()[:, 1]) == [0.1, 0.2, 0.25, 0.3, 0.75]
    assert axes.get_ylim()[0] == 0
    assert [t.get_text() for t in axes.get_legend().get_texts()] == ["pca", "ae, mean of 2 to 3 seeds"]


def test_a_point_of_the_curve_is_logged_again_only_where_it_has_changed(store: MlflowClient) -> None:
    run_id = store.create_run(store.create_experiment("e")).info.run_id
    for points in (POINTS, [*POINTS[:-1], Point("ae", 3, {0: 0.1})]):
        record_curve(Recorder(store, run_id), points, "title", "validation error")
    for model, logged in {"pca": [(2, 0.5), (3, 0.25)], "ae": [(2, 0.5), (3, 0.2), (3, 0.1)]}.items():
        assert [(m.step, round(m.value, 9)) for m in store.get_metric_history(run_id, f"curve/{model}")] == logged
