"""The assignment as one command: what is missing is run, what is there is not, and the page is written."""

import json
from pathlib import Path

import pytest
from mlflow import MlflowClient

from elbowroom.studies import assignment, scan
from elbowroom.studies.grid import PRESETS, Grid
from elbowroom.tracking.config import RunConfig
from elbowroom.tracking.store.names import Artifact, Kind, Metric, Tag
from tests.studies.harness import Capture, Patch

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("cells_here")]


TINY = Grid(
    {"pca": (2, 3), "ae": (2, 3)}, 1, RunConfig(dataset="digits", dim2=16, epochs=2, batch_size=256), label="quick"
)


@pytest.fixture(autouse=True)
def _tiny(monkeypatch: Patch) -> None:
    monkeypatch.setitem(PRESETS, "digits", TINY)


def runs(store: MlflowClient, kind: str = Kind.RUN) -> list:
    experiment = store.get_experiment_by_name("elbowroom")
    return [] if experiment is None else store.search_runs([experiment.experiment_id], f"tags.`{Tag.KIND}` = '{kind}'")


def assign(*more: str) -> int:
    return assignment.main(["--preset", "digits", "--show", "2", "--repeats", "2", "--workers", "2", *more])


@pytest.mark.slow
def test_what_is_missing_is_run_and_the_page_is_written(store: MlflowClient, tmp_path: Path, capsys: Capture) -> None:
    assert scan.main(["--preset", "digits", "--models", "pca,ae,vae", "--workers", "2"]) == 0
    assert len(runs(store)) == 6
    capsys.readouterr()
    assert assign() == 0
    assert "3 finished cells lack the measures and are trained anew with them\n" in capsys.readouterr().out
    made = runs(store)
    # dim3 2 measured, second seeds of all but pca; at dim3 3 pca-mlp is missing; autoencoders with the VAE's loss
    assert len(made) == 6 + 4 + 3 + 1 + 2
    measured = [r for r in made if Metric.MEASURE_SECONDS in r.data.metrics]
    assert sorted(r.info.run_name for r in measured) == [
        "ae-d2-s0", "ae-d2-s0", "ae-d2-s1", "ae-d2-s1", "pca-d2-s0", "pca-mlp-d2-s0", "pca-mlp-d2-s1",
        "vae-d2-s0", "vae-d2-s1",
    ]  # fmt: skip
    vae = next(r for r in measured if r.info.run_name == "vae-d2-s1")
    arrays = {item.path for item in store.list_artifacts(vae.info.run_id, "measure")}
    assert {Artifact.KL_BY_DIM, Artifact.ROBUSTNESS, Artifact.DRAWS, Artifact.PLANE} <= arrays
    page = (tmp_path / "reports" / "assignment.html").read_text()
    headings = ("1. The autoencoder", "2. The PCA", "3. The error", "4. The variational", "too few epochs to quote")
    assert [heading in page for heading in headings] == [True] * 5
    assert page.count("<script") == 2  # the data, and what draws them
    numbers = (tmp_path / "reports" / "assignment.json").read_bytes()
    found = json.loads(numbers)["answers"]
    assert [r["names"] for r in found["repeats"]] == [
        ["scikit-learn", "another exact solver"],
        ["seed 0", "seed 1"],
        ["seed 0", "seed 1"],
        ["seed 0", "seed 1"],
        ["seed 0", "seed 1"],
    ]
    assert found["cast"] == {"pca": "pca", "ae": "ae", "vae": "vae", "same": "ae (loss bce)"}
    assert found["notes"] == []
    (logged,) = runs(store, Kind.ANALYSIS)
    paths = {item.path for item in store.list_artifacts(logged.info.run_id)}
    assert {"assignment.html", "assignment.json", "assignment-figures"} == paths

    capsys.readouterr()
    assert assign() == 0  # again: nothing is left to run, and the same is said of it
    assert "nothing was left to run" in capsys.readouterr().out
    assert len(runs(store)) == len(made)
    assert (tmp_path / "reports" / "assignment.json").read_bytes() == numbers

    assert scan.main(["--preset", "digits", "--models", "pca,ae,vae", "--seeds", "2", "--workers", "2"]) == 0
    assert len(runs(store)) == len(made) + 2  # dim3 3 with seed 1; the measured ones stand for dim3 2


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--preset", "digits", "--show", "7"], "show 7: not among the dim3 of pca; allowed: 2, 3"),
        (["--preset", "digits", "--show", "x"], "dim3 'x' is no range"),
        (["--preset", "digits", "--show", "2", "--repeats", "0"], "repeats must be a whole number of at least 1"),
        (["--preset", "digits", "--full"], "full is the preset assignment, and 'digits' was asked for"),
        (["--preset", "digits", "--show", "2", "--out", "file"], "out file: can't be written"),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(
    store: MlflowClient, tmp_path: Path, capsys: Capture, more: list[str], said: str
) -> None:
    (tmp_path / "file").touch()
    assert assignment.main(more) == 2
    err = capsys.readouterr().err
    assert err.startswith(f"error: {said}")
    assert err.count("\n") == 1
    assert runs(store) == runs(store, Kind.STUDY) == []
    assert not (tmp_path / "optuna.db").exists()


def test_full_is_the_preset_assignment_with_a_vae_everywhere() -> None:
    grid = assignment._parse(["--full"])[1]
    assert (grid.study, grid.seeds, grid.base.epochs, grid.measured) == ("assignment", 3, "auto", (2, 10))
    grid = assignment._parse([])[1]
    assert (grid.study, grid.label, grid.repeats) == ("quick", "quick", 3)
    assert len(grid.cells()) == 64 + 12


def test_only_the_costs_are_said(store: MlflowClient, capsys: Capture, tmp_path: Path) -> None:
    assert assign("--dry-run") == 0
    said = capsys.readouterr().out
    assert "study digits: 11 cells on digits" in said
    assert "study digits ae-bce: 2 cells on digits" in said
    assert runs(store) == []
    assert not (tmp_path / "reports" / "assignment.html").exists()
