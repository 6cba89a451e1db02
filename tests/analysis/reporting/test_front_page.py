"""The saved views and the description of an experiment: how often they are written, and what of others they keep."""

import base64
import json
import logging
import zlib
from typing import Any

import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from elbowroom.analysis.reporting.front_page import describe_experiment, links_line, write_views
from elbowroom.tracking.store.names import Kind, Metric, Tag
from tests.analysis.example_runs import log

CURVE = "mlflow.sharedViewState.elbowroom-curve"
pytestmark = pytest.mark.integration


@pytest.fixture
def place(store: MlflowClient) -> str:
    """An experiment with a cell, and the study's run with two curves."""
    log(store, dim3=2, error=1.0, metrics={"own/metric": 1.0})
    place = str(store.get_experiment_by_name("e").experiment_id)
    study = store.create_run(place, tags={Tag.KIND: Kind.STUDY}).info.run_id
    for model in ("ae", "pca"):
        store.log_metric(study, f"curve/{model}", 0.5, step=2)
    return place


def tags(store: MlflowClient, place: str) -> dict[str, str]:
    return dict(store.get_experiment(place).tags)


def state(value: str) -> dict[str, Any]:
    packed = json.loads(value)["state"].removeprefix("deflate;")
    return json.loads(zlib.decompress(base64.b64decode(packed)))


def test_the_views_have_the_charts_that_are_asked_for_and_no_others(store: MlflowClient, place: str) -> None:
    links = write_views(store, place)
    assert list(links) == ["Curve", "Cells", "Scatter", "Training", "Pictures"]
    assert links["Scatter"] == (
        f"#/experiments/{place}/runs?viewStateShareKey=elbowroom-scatter"
        "&compareRunsMode=CHART&workflowType=machine_learning"
    )
    found = tags(store, place)
    assert found["mlflow.experimentKind"] == "custom_model_development"
    views = {name.rpartition("-")[2]: state(v) for name, v in found.items() if name.startswith(CURVE[:-5])}
    shown = {name: [c for c in view["compareRunCharts"] if "deleted" not in c] for name, view in views.items()}
    (line,) = shown["curve"]
    assert (line["type"], line["xAxisScaleType"], line["scaleType"]) == ("LINE", "log", "log")
    assert line["selectedMetricKeys"] == ["curve/ae", "curve/pca"]
    assert [(c["xaxis"]["key"], c["yaxis"]["key"]) for c in shown["cells"]] == [
        ("dim3", "test/mse"),
        ("dim3", "test/explained_variance"),
    ]
    assert [c["metricKey"] for c in shown["training"]] == ["val/mse"]
    assert [c["imageKeys"] for c in shown["pictures"]] == [["reconstructions"]]
    for name, view in views.items():  # the UI makes a chart of each metric without one
        deleted = [c.get("metricKey") for c in view["compareRunCharts"] if "deleted" in c]
        has = {*deleted, *(c.get("metricKey") for c in shown[name])}
        assert {"own/metric", *Metric, "measure/samples/own/recall", "curve/pca", "curve/ae"} <= has
        assert len(deleted) == len(set(deleted))


def test_a_view_is_written_again_only_where_it_is_ours_and_has_changed(store: MlflowClient, place: str) -> None:
    write_views(store, place)
    first = tags(store, place)
    write_views(store, place)
    assert tags(store, place) == first
    study = store.search_runs([place], f"tags.`{Tag.KIND}` = '{Kind.STUDY}'")[0].info.run_id
    store.log_metric(study, "curve/vae", 0.5, step=2)
    cells, training = (f"mlflow.sharedViewState.elbowroom-{name}" for name in ("cells", "training"))
    store.set_experiment_tag(place, cells, "a user's")
    store.delete_experiment_tag(place, training)
    links = write_views(store, place)
    found = tags(store, place)
    assert state(found[CURVE])["compareRunCharts"][0]["selectedMetricKeys"] == ["curve/ae", "curve/pca", "curve/vae"]
    assert found[cells] == "a user's"
    assert training not in found
    assert list(links) == ["Curve", "Cells", "Scatter", "Pictures"]


@pytest.mark.parametrize(
    ("version", "names"),
    [
        ("3.14.0", None),
        ("3.15.1", {"name", "createdAt", "state"}),
        ("3.16.0.dev1", {"name", "createdAt", "updatedAt", "state"}),
    ],
)
def test_the_version_of_the_server_decides_the_form(
    store: MlflowClient, place: str, version: str, names: set[str] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mlflow.version.VERSION", version)
    write_views(store, place)
    value = json.loads(tags(store, place)[CURVE])
    assert value["orderByKey"] == "attributes.start_time" if names is None else set(value) == names


def test_a_store_that_refuses_the_views_costs_a_line(
    store: MlflowClient, place: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*_: object) -> None:
        raise MlflowException("no EDIT permission")

    monkeypatch.setattr(store, "set_experiment_tag", refuse)
    with caplog.at_level(logging.WARNING):
        assert write_views(store, place) == {}
        describe_experiment(store, place, "pca 3", Kind.STUDY)
    assert [r.getMessage() for r in caplog.records] == [
        "the views of the MLflow UI are not saved: no EDIT permission",
        "the experiment is not described: no EDIT permission",
    ]


@pytest.mark.parametrize("text", ["no JSON", "3", "[1, 2, 3]", '{"views": 1}'])
def test_a_tag_of_a_stranger_is_no_record_of_ours(store: MlflowClient, place: str, text: str) -> None:
    store.set_experiment_tag(place, Tag.FRONT_PAGE, text)
    assert len(write_views(store, place)) == 5


def test_our_part_of_the_description_is_replaced_and_no_other(store: MlflowClient, place: str) -> None:
    def text() -> str:
        return tags(store, place)[Tag.DESCRIPTION]

    store.set_experiment_tag(place, Tag.DESCRIPTION, "Mine.")
    describe_experiment(store, place, "pca 3\n\ntable", Kind.STUDY)
    assert text() == "Mine.\n\npca 3\n\ntable"
    store.set_experiment_tag(place, Tag.DESCRIPTION, text() + "\n\nMine too.")
    describe_experiment(store, place, "pca 4", Kind.STUDY)
    assert text() == "Mine.\n\npca 4\n\nMine too."
    describe_experiment(store, place, "pca 5", Kind.ANALYSIS)
    describe_experiment(store, place, "pca 6", Kind.STUDY)  # it has read fewer runs
    assert text() == "Mine.\n\npca 5\n\nMine too."
    store.set_experiment_tag(place, Tag.DESCRIPTION, "Mine: pca is 5")
    describe_experiment(store, place, "pca 7", Kind.ANALYSIS)
    assert text() == "Mine: pca is 5"
    store.set_experiment_tag(place, Tag.DESCRIPTION, "")
    describe_experiment(store, place, "pca 8", Kind.STUDY)
    assert text() == "pca 8"


def test_the_name_of_a_link_is_no_markup() -> None:
    assert links_line({"a](x) <b>": "#/1", "b": "#/2"}) == r"[a\](x) &lt;b\>](#/1) · [b](#/2)"
