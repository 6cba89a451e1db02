"""The grid of a study: its cells, what makes two the same, and how ranges are typed."""

from dataclasses import replace

import pytest

from elbowroom.studies.grid import PRESETS, Grid, cell_key, parse_range, study_settings
from elbowroom.tracking.config import RunConfig
from elbowroom.tracking.store.errors import BadInput


@pytest.mark.parametrize(
    ("text", "values"),
    [("2:5", (2, 3, 4, 5)), ("2:8:3", (2, 5, 8)), ("8,2,4", (2, 4, 8)), ("7", (7,)), ("2:3,9", (2, 3, 9))],
)
def test_ranges(text: str, values: tuple[int, ...]) -> None:
    assert parse_range(text) == values


@pytest.mark.parametrize("text", ["", "5:2", "0:3", "-1", "a:b", "2.5", "2:9:0", "1:2:3:4", "2,,3", ":", f"1:{10**20}"])
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
    assert len(grid.cells()) == grid.count() == 19 + 3 * 19 + 3 * (19 + 3)
    assert grid.dim3["vae"][-3:] == (24, 32, 48)
    assert (grid.base.epochs, grid.base.dataset) == (12, "mnist")


def test_confirmations_are_at_the_corner_beside_it_and_at_the_end_at_twice_the_epochs() -> None:
    grid = Grid({"pca": (2, 3, 4, 5, 6), "ae": (2, 3, 4, 5, 6)}, 2, RunConfig(epochs=7))
    cells = grid.confirmations({"ae": 3})
    assert sorted({c.dim3 for c in cells}) == [2, 3, 4, 6]
    assert {c.epochs for c in cells} == {14}
    assert {c.model for c in cells} == {"ae"}
    with pytest.raises(BadInput, match="confirm 9"):
        grid.confirmations({"ae": 9})


def test_a_model_whose_one_training_gives_the_curve_is_not_scanned_over_dim3() -> None:
    assert [c.dim3 for c in Grid({"nested-ae": (32,)}, 2, RunConfig()).cells()] == [32, 32]
    with pytest.raises(BadInput, match=r"allowed: one dim3, like --models nested-ae --dim3 20$"):
        Grid({"ae": (2, 3), "nested-ae": (2, 20)}, 1, RunConfig()).cells()


def test_a_key_holds_what_changes_numbers_and_nothing_else() -> None:
    a = RunConfig(model="ae", dim3=3)
    same = replace(a, artifacts="light", threads=1, dataset="elsewhere.csv", header="yes")
    assert cell_key(a, "d") == cell_key(same, "d")
    others = [replace(a, **{k: v}) for k, v in {"seed": 1, "epochs": 2, "lr": 0.1, "dim2": 5, "model": "vae"}.items()]
    assert len({cell_key(c, "d") for c in [a, *others]} | {cell_key(a, "e")}) == 7


def test_a_field_at_the_value_of_runs_before_it_is_no_part_of_a_key() -> None:
    before = RunConfig(edition=1, schedule="constant")
    assert "edition" not in cell_key(before, "d")
    assert "schedule" not in cell_key(before, "d")
    assert cell_key(before, "d") != cell_key(RunConfig(schedule="constant"), "d")


def test_settings_are_what_the_cells_share() -> None:
    assert study_settings(RunConfig(dim3=2, seed=1), "d") == study_settings(
        RunConfig(dim3=9, seed=4, artifacts="light"), "d"
    )
    assert study_settings(RunConfig(epochs=3), "d") != study_settings(RunConfig(epochs=4), "d")


@pytest.mark.parametrize(("dim3", "seeds"), [({}, 1), ({"ae": ()}, 1), ({"ae": (0,)}, 1), ({"ae": (2,)}, 0)])
def test_an_empty_grid_is_refused(dim3: dict[str, tuple[int, ...]], seeds: int) -> None:
    with pytest.raises(BadInput):
        Grid(dim3, seeds, RunConfig())


def test_cells_that_are_measured_are_repeated_and_the_others_are_not() -> None:
    grid = Grid({"pca": (2, 3), "ae": (2, 3)}, 1, RunConfig(), measured=(2,), repeats=3)
    cells = [(c.model, c.dim3, c.seed, c.measure) for c in grid.cells()]
    assert len(cells) == grid.count()
    assert cells == [
        ("pca", 2, 0, "yes"),
        ("ae", 2, 0, "yes"),
        ("pca", 3, 0, "no"),
        ("ae", 3, 0, "no"),
        ("ae", 2, 1, "yes"),
        ("ae", 2, 2, "yes"),
    ]


def test_a_grid_of_too_many_cells_is_refused_before_they_are_listed() -> None:
    with pytest.raises(BadInput, match="make 38,000,019 cells; allowed: at most 100,000"):
        Grid(dict.fromkeys(("pca", "ae", "vae"), tuple(range(2, 21))), 1_000_000, RunConfig()).cells()


def test_a_study_may_have_measured_cells_and_others() -> None:
    assert study_settings(RunConfig(measure="yes"), "d") == study_settings(RunConfig(), "d")
    assert cell_key(RunConfig(measure="yes"), "d") != cell_key(RunConfig(), "d")
