"""Runs of other programs by `--map`: what is read, what is refused, and params that nobody mapped."""

import math
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlflow import MlflowClient
from mlflow.entities import Param, Run, RunData, RunInfo, RunTag

from elbowroom.analysis.runs.comparison import Cell, compare
from elbowroom.analysis.runs.query import (
    REPEATABLE,
    SOURCES,
    TARGETS,
    Columns,
    Place,
    check_settings,
    columns_of,
    mapped_cell,
    parse_map,
    read,
)
from elbowroom.tracking.store.errors import BadInput, one_line
from elbowroom.tracking.store.names import Metric
from tests.analysis.example_runs import log

BASE = "dim3=params.k,error=params.e"
Params = Callable[[int, int], dict[str, object]]


def cells(text: str, params: Params) -> list[Cell]:
    """Runs of dim3 1 to 4, two each, with these params by dim3 and number; an error of 1 / dim3."""
    columns, made = parse_map(text), []
    for k in range(1, 5):
        for n in range(2):
            info = RunInfo(f"{k}-{n}", "1", "", "FINISHED", k, k, "active", run_name="run")
            given = {"k": k, "e": 1 / k, **params(k, n)}
            words = [Param(name, str(value)) for name, value in given.items() if not name.startswith("tags.")]
            tags = [RunTag(name[5:], str(value)) for name, value in given.items() if name.startswith("tags.")]
            cell = mapped_cell(Run(info, RunData([], words, tags)), columns, "error")
            made.append(cell if "seed" in columns.targets else cell._replace(seed=n))
    return made


def check(text: str, params: Params) -> None:
    check_settings(cells(text, params), parse_map(text))


REFUSED: dict[str, tuple[str, Params, str]] = {
    "a grid": (BASE, lambda k, n: {"lr": (0.001, 0.1)[n]}, "settings=params.lr"),
    "a grid at one dim3": (BASE, lambda k, n: {"lr": 0.1 if (k, n) == (3, 1) else 0.001}, "settings=params.lr"),
    "two settings": (
        BASE,
        lambda k, n: {"lr": n, "width": 2 * n, "same": 1},
        "settings=params.lr,settings=params.width",
    ),
    "one of them mapped": (f"{BASE},settings=params.lr", lambda k, n: {"lr": 1, "width": n}, "settings=params.width"),
    "a grid in tags": (
        BASE,
        lambda k, n: {"tags.lr": n, "tags.mlflow.user": n, "tags.elbowroom.study.trial": n},
        "settings=tags.lr",
    ),
    "a param that some lack": (BASE, lambda k, n: {"dropout": 0.5} if n else {}, "settings=params.dropout"),
    "seeds, settings and names": (
        BASE,
        lambda k, n: {"seed": n, "lr": n, "out": f"runs/{k}/{n}"},
        "settings=params.lr,ignore=params.out",
    ),
    "names of runs": (BASE, lambda k, n: {"out": f"runs/{k}/{n}"}, "ignore=params.out"),
    "times": (BASE, lambda k, n: {"timestamp": 1.7e9 + 10 * k + n}, "ignore=params.timestamp"),
    "a grid with one seed": (
        f"{BASE},seed=params.s",
        lambda k, n: {"s": 0, "lr": (0.001, 0.1)[n]},
        "settings=params.lr",
    ),
    "a grid whose runs have seeds of their own": (
        f"{BASE},seed=params.s",
        lambda k, n: {"s": n, "lr": (0.001, 0.1)[n]},
        "settings=params.lr",
    ),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_a_param_that_parts_runs_of_one_dim3_is_named_with_the_map_to_type(kind: str) -> None:
    text, params, targets = REFUSED[kind]
    with pytest.raises(BadInput) as raised:
        check(text, params)
    said = str(raised.value)
    typed = said.partition("try --map ")[2].partition(", where")[0]
    assert set(typed.split(",")) == {*text.split(","), *targets.split(",")}
    check(typed, params)  # it is one that works


READ: dict[str, tuple[str, Params]] = {
    "seeds": (BASE, lambda k, n: {"seed": n, "data_seed": 10 * k + n, "random_state": 5 + n}),
    "nothing differs": (BASE, lambda k, n: {"lr": 1}),
    "dim3 twice": (BASE, lambda k, n: {"n_components": k}),
    "a width that goes with dim3": (BASE, lambda k, n: {"width": 64 // k}),
    "a file for each dim3": (BASE, lambda k, n: {"out": f"pca{k}.npy"}),
    "a folder for each run of a seed": (f"{BASE},seed=params.s", lambda k, n: {"s": n, "out": f"runs/{k}/{n}"}),
    "what is ignored": (f"{BASE},ignore=params.host", lambda k, n: {"host": n}),
}


@pytest.mark.parametrize("kind", READ)
def test_a_param_that_goes_with_dim3_or_names_a_run_is_no_setting(kind: str) -> None:
    check(*READ[kind])


def test_settings_part_curves_and_are_their_names() -> None:
    text = f"{BASE},settings=params.lr,settings=params.width"
    found = compare(
        cells(text, lambda k, n: {"lr": (0.001, 0.1)[n], "e": (1, 30)[n] / k} | ({"width": 5} if n else {}))
    )
    assert {c.name: c.series[0].errors().tolist() for c in found} == {
        "data, lr 0.001, width none": [[1, 1 / 2, 1 / 3, 1 / 4]],
        "data, lr 0.1, width 5": [[30, 15, 10, 7.5]],
    }


def test_runs_of_others_through_a_column_map(store: MlflowClient) -> None:
    experiment = store.create_experiment("theirs")
    for size, loss in (("2", 4.0), ("3", 3.0), ("x", 3.0), ("4", math.nan)):
        run = store.create_run(experiment, run_name=f"size {size}")
        store.log_param(run.info.run_id, "latent_size", size)
        store.log_param(run.info.run_id, "arch", "mlp")
        store.log_metric(run.info.run_id, "val_loss", loss)
        store.set_terminated(run.info.run_id)
    store.set_terminated(store.create_run(experiment, run_name="empty").info.run_id)
    found = read(store, "theirs", parse_map("dim3=params.latent_size, error=metrics.val_loss,model=params.arch"))
    assert [(c.model, c.dim3, c.error, c.seed) for c in found.cells] == [("mlp", 2, 4.0, 0), ("mlp", 3, 3.0, 0)]
    assert {o.name: o.why for o in found.left_out} == {
        "size x": "its dim3 is 'x', no number",
        "size 4": "its error is nan; allowed: 0 to 1e+100",
        "empty": "it has no params.latent_size",
    }


def test_mapped_runs_of_one_place_are_its_seeds(store: MlflowClient) -> None:
    log(store, dim3=2, error=1.0)
    log(store, dim3=3, error=2.0)
    log(store, dim3=2, error=3.0)
    found = read(store, "e", parse_map(f"dim3=metrics.dim3,error=metrics.{Metric.VAL_MSE_FINAL}"))
    assert sorted((c.dim3, c.seed) for c in found.cells) == [(2, 0), (2, 1), (3, 0)]


@pytest.mark.parametrize(
    "text", ["dim3=params.k", "dim3=params.k,error=loss", "dim3=params.k,error=metrics.l,colour=tags.c", "dim3", ""]
)
def test_a_map_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(BadInput, match="map"):
        parse_map(text)


def test_a_mapping_gives_the_columns_of_its_text() -> None:
    given = {"dim3": "params.k", "error": "metrics.val/loss", "settings": ["params.lr", "tags.a.b"]}
    assert columns_of(given) == parse_map("dim3=params.k,error=metrics.val/loss,settings=params.lr,settings=tags.a.b")


NAMES = st.text(st.characters(exclude_categories=["Cs", "Cc", "Z"], exclude_characters=","), min_size=1, max_size=8)
PLACES = st.tuples(st.sampled_from(sorted(SOURCES)), NAMES)
EXAMPLES = ["=", ".", ",", " ", "dim3=params.k", "error=metrics.val/loss"]
WORDS = st.sampled_from([*TARGETS, *REPEATABLE, *SOURCES, *EXAMPLES])


def seen_as_one_line(error: BadInput) -> None:
    assert "map" in one_line(error)
    assert one_line(error).isprintable()


@pytest.mark.property
@given(st.lists(WORDS | st.text(max_size=4), max_size=12).map("".join))
def test_any_map_is_one_or_refused_in_one_line(text: str) -> None:
    try:
        found = parse_map(text)
    except BadInput as error:
        seen_as_one_line(error)
        return
    assert {"dim3", "error"} <= set(found.targets) <= set(TARGETS)
    assert all(source in SOURCES and name for source, name in found.places)
    assert parse_map(found.text) == found


@pytest.mark.property
@given(
    st.dictionaries(st.sampled_from(sorted(TARGETS)), PLACES),
    st.lists(PLACES, max_size=3),
    st.lists(PLACES, max_size=3),
)
def test_a_map_is_parsed_as_it_is_written(
    targets: dict[str, Place], settings: list[Place], ignore: list[Place]
) -> None:
    columns = Columns({"dim3": ("params", "k"), "error": ("metrics", "loss"), **targets}, settings, ignore)
    assert parse_map(columns.text.replace(",", " , ")) == columns
