"""The query: runs of this project, finished, broken, doubled and mixed; and runs of other programs by `--map`."""

import json
import math
from collections.abc import Callable
from dataclasses import asdict
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlflow import MlflowClient
from mlflow.entities import Param, Run, RunData, RunInfo, RunTag
from mlflow.store.entities import PagedList

from elbowroom.analysis.runs.comparison import Comparison, Store, compare
from elbowroom.analysis.runs.query import _REPEATABLE, _SOURCES, _TARGETS, Columns, columns_of, read
from elbowroom.tracking.config import RunConfig
from elbowroom.tracking.store.errors import BadInput, one_line
from elbowroom.tracking.store.names import COORDINATES, CURVE_INDIFFERENT, Kind, Metric, Tag
from tests.analysis.example_runs import log


def compared(store: MlflowClient) -> Comparison:
    (comparison,) = compare(read(store, "e").cells)
    return comparison


def test_cells_have_what_the_run_says(store: MlflowClient) -> None:
    run_id = log(store, model="ae", dim3=4, seed=1, error=0.5, test=0.25)
    (cell,) = read(store, "e").cells
    assert (cell.run_id, cell.model, cell.dim3, cell.seed, cell.error, cell.test) == (run_id, "ae", 4, 1, 0.5, 0.25)
    assert (cell.on_validation, cell.trained, dict(cell.settings)["epochs"]) == (True, True, "20")
    # A new field of RunConfig splits curves, unless it is named among those that do not.
    placed = {name for name, _ in (*cell.settings, *cell.variant)} | set(COORDINATES)
    assert set(asdict(RunConfig())) - placed == set(CURVE_INDIFFERENT)


def test_without_validation_rows_the_test_error_is_judged(store: MlflowClient) -> None:
    log(store, dim3=2, error=None, test=0.25)
    (cell,) = read(store, "e").cells
    assert (cell.error, cell.on_validation) == (0.25, False)


def test_an_experiment_that_is_unknown_or_deleted_is_refused(store: MlflowClient) -> None:
    log(store, dim3=2, error=1)
    with pytest.raises(BadInput, match="no experiment 'mine'; there are: Default, e"):
        read(store, "mine")
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


def test_runs_that_are_unfinished_of_other_kinds_or_confirm_a_corner_stand_apart(store: MlflowClient) -> None:
    for kind in Kind:
        log(store, dim3=2, error=1.0, tags={Tag.KIND: kind})
    log(store, dim3=2, error=0.9, epochs=40, tags={Tag.CONFIRMS: "true"})
    log(store, dim3=3, error=1.0, status="FAILED", tags={Tag.REASON: "no room"})
    log(store, dim3=4, error=1.0, status="RUNNING")
    found = read(store, "e")
    assert [c.error for c in found.cells] == [1.0]
    assert [c.error for c in found.confirmations] == [0.9]
    assert sorted(o.why for o in found.unfinished) == ["FAILED: no room", "RUNNING"]
    assert len(found.studies) == 1


def test_of_doubled_cells_the_latest_counts(store: MlflowClient) -> None:
    first = log(store, dim3=2, error=1.0)
    second = log(store, dim3=2, error=2.0)
    log(store, dim3=2, error=3.0, status="FAILED")
    comparison = compared(store)
    assert comparison.series[0].errors().tolist() == [[2.0]]
    assert [d.run_id for d in comparison.doubled] == [first]
    assert second in comparison.doubled[0].why


def test_data_and_settings_are_never_mixed_and_pca_stands_in_each(store: MlflowClient) -> None:
    log(store, model="pca", dim3=2, error=1.0)
    log(store, dim3=2, error=0.5)
    log(store, dim3=3, error=0.5)
    log(store, dim3=2, error=0.4, lr=0.01)
    log(store, dim3=2, error=0.3, epochs=5)
    log(store, dim3=2, error=7.0, dataset="other")
    assert {c.name: [s.label for s in c.series] for c in compare(read(store, "e").cells)} == {
        "digits, 20 epochs, lr 0.001": ["pca", "ae"],
        "digits, 20 epochs, lr 0.01": ["pca", "ae"],
        "digits, 5 epochs": ["pca", "ae"],
        "other, 20 epochs": ["ae"],
    }


def test_losses_make_two_series_of_one_model(store: MlflowClient) -> None:
    log(store, dim3=2, error=1.0, facts={"loss": "mse"})
    log(store, dim3=2, error=2.0, facts={"loss": "bce"})
    assert sorted(s.label for s in compared(store).series) == ["ae", "ae (loss bce)"]


def test_the_seeds_that_all_dim3_have_are_judged(store: MlflowClient) -> None:
    for k in (2, 3):
        for seed in (0, 1):
            log(store, dim3=k, seed=seed, error=10.0 * seed + k)
    log(store, dim3=2, seed=2, error=99.0)
    (series,) = compared(store).series
    assert series.complete == ([2, 3], [0, 1])
    assert series.errors().tolist() == [[2.0, 3.0], [12.0, 13.0]]
    assert series.means("error") == {2: pytest.approx(113 / 3), 3: 8.0}


def test_larger_dim3_with_fewer_seeds_cost_the_others_no_seed(store: MlflowClient) -> None:
    for k in (2, 3, 4, 5, 8):
        for seed in range(1 if k == 8 else 3):
            log(store, dim3=k, seed=seed, error=1.0 / k)
    (series,) = compared(store).series
    assert series.complete == ([2, 3, 4, 5], [0, 1, 2])
    assert list(series.means("error")) == [2, 3, 4, 5, 8]


@pytest.mark.parametrize(("tags", "errors"), [({Tag.SEEDED: "yes"}, [[2.0, 3.0], [4.0, 5.0]]), ({}, [[4.0, 5.0]])])
def test_a_model_without_epochs_has_seeds_where_it_asks_for_one(
    store: MlflowClient, tags: dict, errors: list[list[float]]
) -> None:
    """A random projection does; PCA does not, and the later run of a dim3 stands for both."""
    for seed in (0, 1):
        for k in (2, 3):
            log(store, dim3=k, seed=seed, error=2.0 * seed + k, tags=tags, metrics={Metric.EPOCHS_TRAINED: 0})
    assert compared(store).series[0].errors().tolist() == errors


def test_without_a_common_seed_the_means_are_one_curve(store: MlflowClient) -> None:
    for dim3, seed, error in ((2, 0, 1.0), (2, 1, 3.0), (3, 2, 1.0)):
        log(store, dim3=dim3, seed=seed, error=error)
    assert compared(store).series[0].errors().tolist() == [[2.0, 1.0]]


BASE = "dim3=params.k,error=params.e"
SEEDED = f"{BASE},seed=params.s"
Params = Callable[[int, int], dict[str, object]]


def mapped(text: str, params: Params) -> Store:
    """Read runs of dim3 1 to 4, two each, with these params by dim3 and number; an error of 1 / dim3."""
    runs = []
    for k in range(1, 5):
        for n in range(2):
            info = RunInfo(f"{k}-{n}", "1", "", "FINISHED", k, k, "active", run_name="run")
            given = {"k": k, "e": 1 / k, **params(k, n)}
            words = [Param(name, str(value)) for name, value in given.items() if not name.startswith("tags.")]
            tags = [RunTag(name[5:], str(value)) for name, value in given.items() if name.startswith("tags.")]
            runs.append(Run(info, RunData([], words, tags)))
    client: Any = SimpleNamespace(
        get_experiment_by_name=lambda name: SimpleNamespace(experiment_id="1", lifecycle_stage="active"),
        search_runs=lambda *_, **__: PagedList(runs, None),
    )
    return read(client, "theirs", columns_of(text))


@pytest.mark.parametrize(
    ("text", "params", "targets"),
    [
        (BASE, lambda k, n: {"lr": (0.001, 0.1)[n]}, "settings=params.lr"),
        (BASE, lambda k, n: {"lr": 0.1 if (k, n) == (3, 1) else 0.001}, "settings=params.lr"),  # at one dim3
        (BASE, lambda k, n: {"lr": n, "width": 2 * n, "same": 1}, "settings=params.lr,settings=params.width"),
        (f"{BASE},settings=params.lr", lambda k, n: {"lr": 1, "width": n}, "settings=params.width"),
        (BASE, lambda k, n: {"tags.lr": n, "tags.mlflow.user": n, "tags.elbowroom.trial": n}, "settings=tags.lr"),
        (BASE, lambda k, n: {"dropout": 0.5} if n else {}, "settings=params.dropout"),  # which some lack
        (
            BASE,
            lambda k, n: {"seed": n, "lr": n, "out": f"runs/{k}/{n}"},
            "settings=params.lr,ignore=params.out",
        ),
        (BASE, lambda k, n: {"timestamp": 1.7e9 + 10 * k + n}, "ignore=params.timestamp"),
        (SEEDED, lambda k, n: {"s": 0, "lr": (0.001, 0.1)[n]}, "settings=params.lr"),
        (SEEDED, lambda k, n: {"s": n, "lr": (0.001, 0.1)[n]}, "settings=params.lr"),
    ],
)
def test_a_param_that_parts_runs_of_one_dim3_is_named_with_the_map_to_type(
    text: str, params: Params, targets: str
) -> None:
    with pytest.raises(BadInput) as raised:
        mapped(text, params)
    typed = str(raised.value).partition("try --map ")[2].partition(", where")[0]
    assert set(typed.split(",")) == {*text.split(","), *targets.split(",")}
    assert len(mapped(typed, params).cells) == 8


@pytest.mark.parametrize(
    ("text", "params"),
    [
        (BASE, lambda k, n: {"seed": n, "data_seed": 10 * k + n, "random_state": 5 + n}),
        (BASE, lambda k, n: {"lr": 1, "n_components": k, "width": 64 // k, "out": f"pca{k}.npy"}),  # go with dim3
        (SEEDED, lambda k, n: {"s": n, "out": f"runs/{k}/{n}"}),
        (f"{BASE},ignore=params.host", lambda k, n: {"host": n}),
    ],
)
def test_a_param_that_goes_with_dim3_or_names_a_run_is_no_setting(text: str, params: Params) -> None:
    (comparison,) = compare(mapped(text, params).cells)
    assert comparison.series[0].errors().tolist() == [[1, 1 / 2, 1 / 3, 1 / 4]] * 2


def test_settings_part_curves_and_are_their_names() -> None:
    text = f"{BASE},settings=params.lr,settings=params.width"
    found = mapped(text, lambda k, n: {"lr": (0.001, 0.1)[n], "e": (1, 30)[n] / k} | ({"width": 5} if n else {}))
    assert {c.name: c.series[0].errors().tolist() for c in compare(found.cells)} == {
        "data, lr 0.001, width none": [[1, 1 / 2, 1 / 3, 1 / 4]],
        "data, lr 0.1, width 5": [[30, 15, 10, 7.5]],
    }


def test_runs_of_others_through_a_column_map(store: MlflowClient) -> None:
    experiment = store.create_experiment("theirs")
    for size, loss in (("2", 4.0), ("3", 3.0), ("2", 3.5), ("x", 3.0), ("4", math.nan)):
        run = store.create_run(experiment, run_name=f"size {size}")
        store.log_param(run.info.run_id, "latent_size", size)
        store.log_param(run.info.run_id, "arch", "mlp")
        store.log_metric(run.info.run_id, "val_loss", loss)
        store.set_terminated(run.info.run_id)
    store.set_terminated(store.create_run(experiment, run_name="empty").info.run_id)
    found = read(store, "theirs", columns_of("dim3=params.latent_size, error=metrics.val_loss,model=params.arch"))
    assert sorted((c.model, c.dim3, c.error, c.seed) for c in found.cells) == [
        ("mlp", 2, 3.5, 1),
        ("mlp", 2, 4.0, 0),
        ("mlp", 3, 3.0, 0),
    ]
    assert {o.name: o.why for o in found.left_out} == {
        "size x": "its dim3 is 'x', no number",
        "size 4": "its error is nan; allowed: 0 to 1e+100",
        "empty": "it has no params.latent_size",
    }


@pytest.mark.parametrize(
    "text", ["dim3=params.k", "dim3=params.k,error=loss", "dim3=params.k,error=metrics.l,colour=tags.c", "dim3", ""]
)
def test_a_map_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(BadInput, match="map"):
        columns_of(text)


def test_a_mapping_gives_the_columns_of_its_text() -> None:
    given = {"dim3": "params.k", "error": "metrics.val/loss", "settings": ["params.lr", "tags.a.b"]}
    assert columns_of(given) == columns_of("dim3=params.k,error=metrics.val/loss,settings=params.lr,settings=tags.a.b")


NAMES = st.text(st.characters(exclude_categories=["Cs", "Cc", "Z"], exclude_characters=","), min_size=1, max_size=8)
PLACES = st.tuples(st.sampled_from(_SOURCES), NAMES)
SEVERAL = st.lists(PLACES, max_size=3)
EXAMPLES = ["=", ".", ",", " ", "dim3=params.k", "error=metrics.val/loss"]
WORDS = st.sampled_from([*_TARGETS, *_REPEATABLE, *_SOURCES, *EXAMPLES])


@pytest.mark.property
@given(st.lists(WORDS | st.text(max_size=4), max_size=12).map("".join))
def test_any_map_is_one_or_refused_in_one_line(text: str) -> None:
    try:
        found = columns_of(text)
    except BadInput as error:
        line = one_line(error)
        assert "map" in line
        assert line.isprintable()
        return
    assert {"dim3", "error"} <= set(found.targets) <= set(_TARGETS)
    assert all(source in _SOURCES and name for source, name in found.places)
    assert columns_of(found.text) == found


@pytest.mark.property
@given(st.dictionaries(st.sampled_from(_TARGETS), PLACES), SEVERAL, SEVERAL)
def test_a_map_is_parsed_as_it_is_written(targets: dict, settings: list, ignore: list) -> None:
    columns = Columns({"dim3": ("params", "k"), "error": ("metrics", "loss"), **targets}, settings, ignore)
    assert columns_of(columns.text.replace(",", " , ")) == columns
