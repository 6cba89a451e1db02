"""The time that a scan spends on each part: from times whose answer is known, and from a real scan of seconds."""

import json
from pathlib import Path

import pytest

from benchmarks import start
from benchmarks.scan import Cell, Scan, beside, cells_of, edges, main, outside, plain_seconds, run_scan, summary

pytestmark = pytest.mark.integration

CELLS = [
    Cell("pca", 2, began=110, ended=112, fit=1),
    Cell("ae", 2, began=110, ended=130, fit=18),
    Cell("vae", 2, began=112, ended=140, fit=26),
    Cell("ae", 3, began=130, ended=145, fit=15),
]
SCAN = Scan(began=100, ended=150, workers=2, cells=CELLS, memory=0)


def test_shares_and_edges() -> None:
    assert outside(SCAN) == pytest.approx(1 - 60 / 100)
    assert edges(SCAN) == (10, 5)
    assert beside(CELLS) == {"pca": 1, "ae": 1, "vae": 2}


def test_the_plain_approach_trains_the_models_that_have_epochs() -> None:
    assert plain_seconds(CELLS, {"ae": 5.0, "vae": 6.0}) == 20 * (2 * 5 + 6)
    assert plain_seconds(CELLS, {"ae": 5.0, "vae": 6.0}, epochs=1) == 16


def test_the_summary_says_how_many_times_the_scan_the_plain_approach_takes() -> None:
    said = summary(SCAN, {"ae": 5.0, "vae": 6.0}, epochs=5).splitlines()
    assert "| ae | 2 | 16.5 | 1.0 |" in said
    assert said[-4].endswith("outside training 40.0 %; 10.0 s before the first cell, 5.0 s after the last")
    assert said[-2:] == [
        "20 epochs each (its recipe): 320 s, 6.4 times the scan",
        "5 epochs each (as the scan): 80 s, 1.6 times the scan",
    ]
    assert "plain" not in summary(SCAN, {}, epochs=5)


@pytest.mark.soak
def test_a_real_scan_is_timed(tmp_path: Path) -> None:
    flags = ["--models", "pca,ae", "--dim3", "2:3", "--seeds", "1", "--dataset", "digits", "--epochs", "1"]
    scan = run_scan(tmp_path / "scan", flags, workers=1, weigh=True)
    assert sorted((c.model, c.dim3) for c in scan.cells) == [("ae", 2), ("ae", 3), ("pca", 2), ("pca", 3)]
    assert all(0 < c.fit < c.ended - c.began for c in scan.cells)
    assert scan.began < min(c.began for c in scan.cells) < max(c.ended for c in scan.cells) < scan.ended
    assert 0.5 < outside(scan) < 1
    assert scan.memory > 100 << 20  # torch alone is more


@pytest.mark.soak
def test_the_command_times_a_scan_without_a_plain_loop_where_the_data_are_not_mnist(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = tmp_path / "lines.jsonl"
    assert main(["--preset", "digits", "--epochs", "1", "--parts", "scan", "--jsonl", str(lines)]) == 0
    found = [json.loads(line) for line in lines.read_text().splitlines()][1]
    assert (found["part"], found["epochs"], found["plain_epoch_s"]) == ("scan", 1, {})
    assert set(found["beside_s"]) == {"pca", "pca-mlp", "ae"}
    assert 0 < sum(found["edges_s"]) < found["wall_s"]
    said = capsys.readouterr().out
    assert "| ae | 18 |" in said
    assert "plain" not in said


@pytest.mark.slow
def test_the_driver_ends_where_the_first_epoch_begins(tmp_path: Path) -> None:
    flags = ["--model", "ae", "--dataset", "digits", "--tracking-uri", f"sqlite:///{tmp_path}/mlflow.db"]
    assert 0 < start.seconds("", []) < start.seconds(start.DRIVER, flags)


@pytest.mark.slow
def test_a_scan_is_timed_to_its_new_cell(tmp_path: Path) -> None:
    assert all(start.to_first_cell(tmp_path / "scan", "digits", dim3) > 0 for dim3 in (1, 2))
    assert [cell.dim3 for cell in cells_of(f"sqlite:///{tmp_path}/scan/mlflow.db")] == [2, 1]
