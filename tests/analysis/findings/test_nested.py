"""Curves that one training gave whole: kept apart from all that is judged, and shown beside the dedicated ones."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mlflow import MlflowClient
from mlflow.entities import Metric as LoggedMetric

from elbowroom.analysis.figures.curves import STYLES
from elbowroom.analysis.findings.find import ComparisonFinding, find
from elbowroom.analysis.findings.nested import _errs, _share
from elbowroom.analysis.report import main
from elbowroom.analysis.reporting.publish import _description
from elbowroom.analysis.runs.comparison import compare
from elbowroom.analysis.runs.query import columns_of, read
from elbowroom.tracking.store.names import Metric, Param
from tests.analysis.example_runs import FIGURES, log, log_curve
from tests.analysis.figures.test_curves import drawn, legend_of, line_of, outside, overlaps

DIM3 = range(2, 12)


def dedicated(store: MlflowClient, folder: Path | None = None, seeds: int = 1) -> None:
    """PCA, and autoencoders whose test error is 1/dim3; their fit takes 2 + dim3 seconds."""
    log_curve(store, {k: 2 / k for k in DIM3}, model="pca")
    for seed in range(seeds):
        log_curve(store, {k: 1 / k for k in DIM3}, folder, seed=seed)


@pytest.fixture(scope="module", autouse=True)
def _dedicated(shared_store: MlflowClient) -> None:
    dedicated(shared_store)


def nested(store: MlflowClient, factor: float = 1.2, dim3: int = 16, **more: Any) -> str:
    """A run with a curve of its own: `factor` times the dedicated one."""
    run_id = log(store, model="nested-ae", dim3=dim3, error=0.01, test=factor / dim3, epochs=60, **more)
    curve = [LoggedMetric(Metric.CURVE_MSE, factor / k, 0, k) for k in range(1, dim3 + 1)]
    store.log_batch(run_id, metrics=curve)
    return run_id


def found(store: MlflowClient) -> ComparisonFinding:
    (comparison,) = find(read(store, "e")).comparisons
    return comparison


def test_the_store_keeps_it_apart(store_copy: MlflowClient) -> None:
    run_id = nested(store_copy)
    there = read(store_copy, "e")
    assert [n.cell.run_id for n in there.nested] == [run_id]
    assert there.nested[0].curve == pytest.approx({k: 1.2 / k for k in range(1, 17)})
    assert run_id not in {c.run_id for c in [*there.cells, *there.confirmations]}
    assert {s.label for c in compare(there.cells) for s in c.series} == {"pca", "ae"}
    mapped = read(store_copy, "e", columns_of("dim3=metrics.dim3,error=metrics.test/mse"))
    assert [o.run_id for o in mapped.left_out] == [run_id]
    assert "a curve of its own" in mapped.left_out[0].why


def test_nothing_is_concluded_from_it(store_copy: MlflowClient) -> None:
    """Judged values, choice, pick and the experiment's description are the same bytes with it as without it."""
    before = find(read(store_copy, "e"))
    assert "nested" not in before.to_json()
    for seed in range(3):
        nested(store_copy, factor=0.01, seed=seed)  # far better than all others: it would be the pick
    after = find(read(store_copy, "e"))
    assert _description(after) == _description(before)
    plain, more = json.loads(before.to_json()), json.loads(after.to_json())
    for comparison in more["comparisons"]:
        assert len(comparison.pop("nested")) == 1
    assert more["comparisons"] == plain["comparisons"]
    assert set(more["runs"]) - set(plain["runs"]) == {n.cell.run_id for n in read(store_copy, "e").nested}


def test_gaps_and_costs_are_those_by_hand(store: MlflowClient) -> None:
    dedicated(store, seeds=2)
    nested(store, factor=1.1)
    (one,) = found(store).nested
    seconds = sum(2.0 + k for k in DIM3)
    assert (one.dedicated, one.replaced, one.seeds) == ("ae", 20, [0])
    assert (one.fit_seconds, one.dedicated_seconds, one.curve_seconds) == (18.0, 2 * seconds, seconds)
    assert one.cost == pytest.approx(18 / (2 * seconds))
    by_dim3 = {p.dim3: p for p in one.points}
    assert sorted(by_dim3) == list(range(1, 17))
    assert by_dim3[4].gap == pytest.approx(0.1)
    assert by_dim3[4].dedicated == pytest.approx(0.25)
    assert by_dim3[1].gap is by_dim3[16].gap is by_dim3[4].least is None
    assert one.sentence == (
        "One training of 16 latents by nested-ae (60 epochs) takes 1/9.4 of the time of the 20 ae runs (1/4.7 of those "
        "of one seed) and errs 10 % more at dim3 2 to 11; it is not judged: its points are parts of one model, a "
        "compromise among all dim3"
    )


def test_seeds_are_one_curve_with_its_least_and_most(store_copy: MlflowClient) -> None:
    for seed, factor in enumerate((1.0, 1.1, 1.5)):
        nested(store_copy, factor=factor, seed=seed)
    (one,) = found(store_copy).nested
    point = one.points[3]
    assert (point.error, point.least, point.most) == pytest.approx((1.2 / 4, 1.0 / 4, 1.5 / 4))
    assert one.seeds == [0, 1, 2]
    nested(store_copy, dim3=5)  # replaces only the smaller dedicated runs
    smaller = next(n for n in found(store_copy).nested if n.dim3 == 5)
    assert (smaller.replaced, smaller.dedicated_seconds) == (4, 4 + 5 + 6 + 7)


def test_configurations_stand_apart_and_a_later_run_of_one_counts(store_copy: MlflowClient) -> None:
    nested(store_copy, factor=2.0)
    last = nested(store_copy, factor=1.3)
    other = nested(store_copy, factor=1.4, lr=3e-3)
    assert sorted(f.runs[0] for f in found(store_copy).nested) == sorted([last, other])


@pytest.mark.parametrize("more", [{"dataset": "mnist"}, {"facts": {"loss": "bce"}}], ids=["other data", "another loss"])
def test_it_is_compared_with_nothing_else(store_copy: MlflowClient, more: dict[str, Any]) -> None:
    nested(store_copy, **more)
    shown = found(store_copy).nested
    assert all(f.dedicated is None and f.cost is None for f in shown)
    assert len(shown) == (0 if "dataset" in more else 1)
    assert all("nothing to compare with: no ae runs of the same layers and loss" in f.sentence for f in shown)


def test_other_threads_are_said(store_copy: MlflowClient) -> None:
    nested(store_copy)
    assert found(store_copy).nested[0].caution == ""
    for run in store_copy.search_runs([read(store_copy, "e").experiment_id]):
        store_copy.log_param(run.info.run_id, Param.THREADS_USED, 2 if Metric.CURVE_MSE in run.data.metrics else 1)
    assert found(store_copy).nested[0].caution == "the seconds were taken with 2 threads here and 1 there"


def test_the_report_shows_it_and_the_registry_does_not_take_it(
    store: MlflowClient, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dedicated(store, tmp_path / "arrays")
    run_id = nested(store)
    given = ["--experiment", "e", "--tracking-uri", store.tracking_uri, "--out", "out"]
    assert main(given) == 0
    assert "One training of 16 latents by nested-ae (60 epochs) takes" in capsys.readouterr().out
    html = Path("out/report.html").read_text()
    for said in ("The whole curve from one training", "+20.0\N{NO-BREAK SPACE}%", run_id):
        assert said in html
    assert Path("out/figures/nested.png").exists()
    assert "nested-ae" not in Path("out/curves.csv").read_text()
    assert main([*given, "--choose", "model=nested-ae,dim3=16"]) == 2
    assert "choose model=nested-ae: allowed: pca, ae" in capsys.readouterr().err


def test_alone_it_is_no_curve_to_judge(store: MlflowClient, capsys: pytest.CaptureFixture[str]) -> None:
    nested(store)
    assert main(["--experiment", "e", "--tracking-uri", store.tracking_uri, "--out", "out"]) == 2
    assert "1 have a curve of their own, which is shown beside one and not judged" in capsys.readouterr().err


def test_the_figure_has_both_curves_and_the_gap(store_copy: MlflowClient) -> None:
    assert FIGURES["nested"](found(store_copy)) is None
    for seed, factor in enumerate((1.1, 1.3)):
        nested(store_copy, factor=factor, seed=seed)
    figure = drawn(FIGURES["nested"](found(store_copy)))
    nested_colour, ae_colour = STYLES[5].colour, STYLES[1].colour
    np.testing.assert_allclose(line_of(figure, nested_colour).get_ydata(), [1.2 / k for k in range(1, 17)])
    np.testing.assert_allclose(line_of(figure, ae_colour).get_ydata(), [1 / k for k in DIM3])
    gap = np.asarray(line_of(figure, nested_colour, 1).get_ydata(), dtype=float)
    np.testing.assert_allclose(gap[1:11], 20.0)
    assert legend_of(figure) == [
        "ae, one training for each dim3",
        "nested-ae (60 epochs), the first of 16 latents",
        "band: least and most of its seeds",
        "0: as much as a dedicated one",
    ]
    assert overlaps(figure) == []
    assert outside(figure) == []


@pytest.mark.parametrize(
    ("gaps", "said"),
    [
        ({2: 0.09, 3: 0.04}, "4 to 9 % more at dim3 2 to 3 (most at 2)"),
        ({2: -0.03, 3: 0.04}, "from 3 % less to 4 % more at dim3 2 to 3 (most at 3)"),
        ({2: -0.03, 3: -0.01}, "from 3 % less to 1 % less at dim3 2 to 3 (most at 3)"),
        ({2: 0.101, 3: 0.102}, "10 % more at dim3 2 to 3"),
    ],
)
def test_gaps_in_words(gaps: dict[int, float], said: str) -> None:
    assert _errs(gaps) == said


def test_shares_in_words() -> None:
    assert [_share(r) for r in (0.111, 0.5, 1.0, 1.34)] == ["1/9", "1/2", "1 times", "1.3 times"]
