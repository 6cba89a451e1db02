"""The grid of a study: its cells, what makes two the same, and how ranges are typed."""

from dataclasses import replace
from typing import Any

import pytest

from elbowroom.studies.grid import PRESETS, Grid, cell_key, parse_range, study_settings
from elbowroom.tracking.config import RunConfig
from elbowroom.tracking.store.errors import BadInput


@pytest.mark.parametrize(
    ("text", "values"),
    [("2:5", (2, 3, 4, 5)), ("2:8:3", (2, 5, 8)), ("8, 2,4", (2, 4, 8)), ("7", (7,)), ("2:3,9", (2, 3, 9))],
)
def test_ranges(text: str, values: tuple[int, ...]) -> None:
    assert parse_range(text) == values


@pytest.mark.parametrize(
    "text", ["", "5:2", "0:3", "-1", "a:b", "2.5", "2:9:0", "1:2:3:4", "2,,3", ":", f"1:{10**20}", "9" * 5000]
)
def test_bad_ranges_are_refused(text: str) -> None:
    with pytest.raises(BadInput, match="dim3"):
        parse_range(text)


def test_pca_has_one_seed_and_one_seed_keeps_everything() -> None:
    cells = Grid({"pca": (2, 3), "ae": (2, 3, 4)}, 3, RunConfig()).cells()
    assert len(cells) == 2 + 3 * 3
    assert {c.seed for c in cells if c.model == "pca"} == {0}
    assert {c.seed for c in cells if c.artifacts == "full"} == {0}
    assert {c.threads for c in cells} == {1}
    assert [c.seed for c in cells] == sorted(c.seed for c in cells)  # the whole curve before a second seed


def test_the_assignment_has_the_cells_it_asks_for() -> None:
    grid = PRESETS["assignment"]
    assert len(grid.cells()) == grid.count() == 21 + 2 * 3 * 21 + 3 * 22
    assert (grid.dim3["ae"][-3:], grid.dim3["vae"][-4:]) == ((20, 24, 32), (20, 24, 32, 48))
    assert {*range(2, 21)} <= {*grid.dim3["pca"]}
    assert (grid.base.epochs, grid.base.dataset) == ("auto", "mnist")


def test_confirmations_are_at_the_corner_beside_it_and_at_the_end_at_twice_the_epochs() -> None:
    grid = Grid({"pca": (2, 3, 4, 5, 6), "ae": (2, 3, 4, 5, 6)}, 2, RunConfig(epochs=7))
    assert {(c.model, c.dim3, c.epochs) for c in grid.confirmations({"ae": 3})} == {
        ("ae", dim3, 14) for dim3 in (2, 3, 4, 6)
    }
    with pytest.raises(BadInput, match="confirm 9"):
        grid.confirmations({"ae": 9})


def test_cells_that_are_measured_are_repeated_and_the_others_are_not() -> None:
    grid = Grid({"pca": (2, 3), "ae": (2, 3)}, 1, RunConfig(), measured=(2,), repeats=3)
    cells = [(c.model, c.dim3, c.seed, c.measure) for c in grid.cells()]
    assert len(cells) == grid.count()
    first = [("pca", 2, 0, "yes"), ("ae", 2, 0, "yes"), ("pca", 3, 0, "no"), ("ae", 3, 0, "no")]
    assert cells == [*first, ("ae", 2, 1, "yes"), ("ae", 2, 2, "yes")]


def test_the_whole_grid_is_measured_but_for_its_confirmations() -> None:
    grid = Grid({"pca": (2, 3), "ae": (2, 3)}, 2, RunConfig(epochs=5, measure="yes"))
    assert [c.measure for c in grid.cells()] == ["yes"] * 6
    assert [c.measure for c in grid.confirmations({"ae": 2})] == ["no"] * 4


def test_a_model_whose_one_training_gives_the_curve_is_not_scanned_over_dim3() -> None:
    assert [c.dim3 for c in Grid({"nested-ae": (32,)}, 2, RunConfig()).cells()] == [32, 32]
    with pytest.raises(BadInput, match=r"allowed: one dim3, like --models nested-ae --dim3 20$"):
        Grid({"ae": (2, 3), "nested-ae": (2, 20)}, 1, RunConfig()).cells()


@pytest.mark.parametrize(("dim3", "seeds"), [({}, 1), ({"ae": ()}, 1), ({"ae": (0,)}, 1), ({"ae": (2,)}, 0)])
def test_an_empty_grid_is_refused(dim3: dict[str, tuple[int, ...]], seeds: int) -> None:
    with pytest.raises(BadInput):
        Grid(dim3, seeds, RunConfig())


def test_a_grid_of_too_many_cells_is_refused_before_they_are_listed() -> None:
    with pytest.raises(BadInput, match="make 38,000,019 cells; allowed: at most 100,000"):
        Grid(dict.fromkeys(("pca", "ae", "vae"), tuple(range(2, 21))), 1_000_000, RunConfig()).cells()


ONE = RunConfig(model="ae", dim3=3)


@pytest.mark.parametrize(
    ("changes", "same_key", "same_settings"),
    [
        ({"artifacts": "light", "threads": 1, "header": "yes"}, True, True),
        ({"seed": 1}, False, True),
        ({"model": "vae"}, False, True),
        ({"dim3": 9}, False, True),
        ({"measure": "yes"}, False, True),
        ({"epochs": 2}, False, False),
        ({"lr": 0.1}, False, False),
        ({"dim2": 5}, False, False),
        ({"schedule": "constant"}, False, False),
    ],
)
def test_a_key_holds_what_changes_numbers_and_the_settings_what_the_cells_share(
    changes: dict[str, Any], same_key: bool, same_settings: bool
) -> None:
    other = replace(ONE, **changes)
    assert (cell_key(ONE, "d") == cell_key(other, "d")) is same_key
    assert (study_settings(ONE, "d") == study_settings(other, "d")) is same_settings


def test_a_study_with_patience_is_none_of_those_that_stopped_by_validation_rows() -> None:
    assert study_settings(ONE, "d")["patience"] == 0
    assert study_settings(replace(ONE, patience=3), "d")["patience"] == "3, by a tenth of the training rows"


def test_a_key_has_the_data_by_their_digest_and_no_field_at_the_value_of_runs_before_it() -> None:
    assert cell_key(ONE, "d") == cell_key(replace(ONE, dataset="elsewhere.csv"), "d") != cell_key(ONE, "e")
    before = cell_key(RunConfig(edition=1, schedule="constant"), "d")
    assert "edition" not in before
    assert "schedule" not in before
