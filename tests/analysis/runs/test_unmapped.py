"""Params of others' runs that nobody mapped: settings are never averaged as seeds, names of runs change nothing."""

from collections.abc import Callable

import pytest
from mlflow.entities import Param, Run, RunData, RunInfo, RunTag

from elbowroom.analysis.runs.comparison import compare
from elbowroom.analysis.runs.query import Cell, _mapped, parse_map
from elbowroom.analysis.runs.unmapped import check_settings
from elbowroom.tracking.store.errors import BadInput

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
            cell = _mapped(Run(info, RunData([], words, tags)), columns, "error")
            assert cell is not None
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
