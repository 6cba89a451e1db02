"""The cost of a scan, estimated from its finished cells."""

from dataclasses import replace
from types import SimpleNamespace

from elbowroom.studies.execution.progress import cost_left, cost_table, estimate_costs
from elbowroom.studies.grid import Grid
from elbowroom.studies.records.study import FinishedCell, StudySpec
from elbowroom.tracking.config import RunConfig
from elbowroom.tracking.store.names import Kind, Metric

GRID = Grid({"pca": (2, 3), "ae": (2, 3)}, 2, RunConfig(epochs=5))
SPEC = StudySpec("s", "a scan of dim3", {}, Kind.RUN, "d")


def finished(config: RunConfig, seconds: float, artifacts: str, **metrics: float) -> tuple[str, FinishedCell]:
    info = SimpleNamespace(start_time=1000, end_time=1000 + 1000 * seconds, artifact_uri=artifacts)
    return SPEC.key(config), FinishedCell(SimpleNamespace(info=info), config, metrics)


def test_what_is_left_is_the_mean_of_each_model_over_the_workers(tmp_path) -> None:
    (tmp_path / "a").write_bytes(bytes(2_000_000))
    cells = GRID.cells()
    pca, *_ = [c for c in cells if c.model == "pca"]
    first, second, *_ = [c for c in cells if c.model == "ae"]
    done = dict(
        [
            finished(pca, 1.0, str(tmp_path)),
            finished(first, 8.0, f"file://{tmp_path}"),
            finished(second, 12.0, f"file://{tmp_path}"),
        ]
    )
    known = estimate_costs(SPEC.match(cells, done))
    assert [(c.name, c.cells, c.done, c.seconds, c.megabytes) for c in known] == [
        ("pca", 2, 1, 1.0, 2.0),
        ("ae", 4, 2, 10.0, 2.0),
    ]
    # (1 pca of 1 s + 2 ae of 10 s) / 2 workers; 3 cells of 2 MB
    assert cost_left(known, 2) == "left: 3 cells, about 10 s on 2 workers, 6 MB"
    assert "ae           4       2      10.0     2.00" in cost_table(known, 2)


def test_nothing_is_guessed() -> None:
    cells = GRID.cells()
    assert "time and disk are estimated once" in cost_left(estimate_costs(SPEC.match(cells, {})), 2)
    everything = dict(finished(c, 1.0, "http://elsewhere") for c in cells)
    assert cost_left(estimate_costs(SPEC.match(cells, everything)), 2) == "complete: nothing to run"


def test_the_seconds_of_measures_are_those_of_measured_cells_alone() -> None:
    """A measured cell of 10 s, 4 of them measures, is a cell of 6 s where no measures are asked for."""
    grid = replace(GRID, measured=(2,), dim3={"ae": (2, 3)})
    measured, *_ = cells = grid.cells()
    took = {Metric.MEASURE_SECONDS: 4.0}
    done = dict([finished(measured, 10.0, "http://elsewhere", **took), finished(cells[1], 5.0, "http://elsewhere")])
    costs = estimate_costs(SPEC.match(cells, done))
    assert [(c.name, c.cells, c.done, c.seconds, c.measures) for c in costs] == [
        ("ae measured", 2, 1, 10.0, 4.0),
        ("ae", 2, 1, 5.0, 0.0),
    ]
    assert cost_left(costs, 1) == "left: 2 cells, about 15 s (4 s of it for the measures) on 1 workers, 0 MB"
    stands = {SPEC.key(replace(measured, measure="no")): done[SPEC.key(measured)]}
    (cost,) = estimate_costs(SPEC.match([replace(measured, measure="no")], stands))
    assert (cost.name, cost.seconds, cost.measures) == ("ae", 6.0, 0.0)


def test_cells_that_run_longer_are_counted_apart() -> None:
    cells = [*GRID.cells(), *GRID.confirmations({"ae": 2})]
    done = dict(finished(c, 1.0, "http://elsewhere") for c in GRID.cells())
    assert [(c.name, c.cells, c.done) for c in estimate_costs(SPEC.match(cells, done))] == [
        ("pca", 2, 2),
        ("ae", 4, 4),
        ("ae 10 ep.", 4, 0),
    ]
