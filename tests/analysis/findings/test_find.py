"""The findings of experiments whose answers are known."""

import json
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from mlflow import MlflowClient

from elbowroom.analysis.findings.find import ComparisonFinding, ModelFinding, _why, find
from elbowroom.analysis.pages.report import _elbo_sentence
from elbowroom.analysis.purposes import Rule, no_choice
from elbowroom.analysis.purposes.choice import Choice
from elbowroom.analysis.runs.query import read
from elbowroom.models import PCA
from elbowroom.models.measures import hidden_entries
from elbowroom.studies.scan import main as scan
from elbowroom.tracking.store.names import REUSED, Artifact, Kind, Metric, Param, Tag
from tests.analysis.example_runs import errors, log, log_curve, rows

CORNER = {k: 1 - 0.1 * (k - 2) if k < 8 else 0.4 - 0.01 * (k - 8) for k in range(2, 16)}
FEW = (2, 3, 4, 5)


def falling(first: float, dims: Iterable[int] = FEW) -> dict[int, float]:
    return {k: first / k for k in dims}


def found(store: MlflowClient, rule: str = "keep:0.90") -> ComparisonFinding:
    (comparison,) = find(read(store, "e"), rule).comparisons
    return comparison


def model(comparison: ComparisonFinding, label: str) -> ModelFinding:
    (one,) = [m for m in comparison.models if m.label == label]
    return one


@pytest.mark.slow
@pytest.mark.integration
@pytest.mark.usefixtures("cells_here")
def test_a_linear_autoencoder_is_worth_pca_of_the_same_dimension(store: MlflowClient) -> None:
    """Baldi & Hornik 1989, trained and recorded for real."""
    given = ["--models", "pca,linear-ae", "--dim3", "2,6", "--seeds", "1", "--dataset", "digits"]
    training = ["--epochs", "150", "--lr", "3e-3", "--batch-size", "64", "--workers", "1", "--experiment", "e"]
    assert scan([*given, *training, "--tracking-uri", store.tracking_uri]) == 0
    comparison = found(store)
    assert (comparison.intrinsic_se.keys(), comparison.intrinsic_rows) == ({"TwoNN", "maximum likelihood"}, 299)
    linear = model(comparison, "linear-ae")
    assert {a.dim3: a.errs for a in linear.against} == dict.fromkeys((2, 6), "the same")
    for point in linear.against:
        assert point.raw is not None
        assert point.raw.components == pytest.approx(point.dim3, abs=0.15)
    assert linear.versus.startswith("this network of linear-ae and PCA err the same, within 2 %, at dim3 2, 6")
    assert linear.undertrained == {}


def test_the_same_rows_pair_the_ratio(store: MlflowClient, tmp_path: Path) -> None:
    """Errors that are half of PCA's in every row have a ratio of exactly 1/2, however the rows vary."""
    log_curve(store, falling(1), tmp_path, model="pca")
    log_curve(store, falling(0.5), tmp_path)
    ae = model(found(store), "ae")
    for point in ae.against:
        assert (point.ratio, point.low, point.high) == pytest.approx((0.5, 0.5, 0.5), rel=1e-5)
        assert point.errs == "less"
    low, high = ae.points[0].low, ae.points[0].high
    assert low is not None
    assert high is not None
    assert low < 0.25 < high


def test_the_interval_of_independent_rows_is_that_of_their_mean(store: MlflowClient, tmp_path: Path) -> None:
    """400 rows with a relative SD of 1/2: the mean's 95 % interval is ±1.96 · 0.5 / 20 of it."""
    drawn = rows(1.0, 7, 400)
    arrays = {Artifact.ERRORS_VAL: drawn, Artifact.ERRORS_TEST: drawn}
    for k in FEW:
        log(store, dim3=k, error=1.0, test=1.0, arrays=arrays, folder=tmp_path)
    point = model(found(store), "ae").points[0]
    half = 1.96 * drawn.std() / np.sqrt(400)
    assert (point.low, point.high) == pytest.approx((1 - half, 1 + half), abs=0.01)


def test_the_intervals_of_seeds_cover_another_training(store: MlflowClient, tmp_path: Path) -> None:
    """The rows of both models are the same up to a factor, so the ratio has the seeds' part alone."""
    log_curve(store, dict.fromkeys(FEW, 2.0), tmp_path, model="pca")
    for seed, error in enumerate((0.9, 1.1)):
        log_curve(store, dict.fromkeys(FEW, error), tmp_path, seed=seed)
    ae = model(found(store), "ae")
    half = 2.776 * 0.1  # Student's t with 4 degrees of freedom, one of each dim3; SD / √2
    for point in ae.against:
        assert point.method
        assert (point.low, point.high) == pytest.approx((0.5 * np.exp(-half), 0.5 * np.exp(half)), rel=1e-3)
    low, high = ae.points[0].low, ae.points[0].high
    assert low is not None
    assert high is not None
    assert high > np.exp(1.96 * np.sqrt(0.1**2 + rows(1.0, 0).var() / 200))
    assert low * high == pytest.approx(1)


def test_one_seed_is_a_network_and_pca_is_a_method(store: MlflowClient, tmp_path: Path) -> None:
    log_curve(store, falling(1), tmp_path, model="pca")
    log_curve(store, falling(0.5), tmp_path)
    log_curve(store, falling(0.8), tmp_path, model="columns:Kept", tags={Tag.SEEDED: "no"})
    comparison = found(store)
    assert not any(a.method for a in model(comparison, "ae").against)
    assert all(a.method for a in model(comparison, "Kept").against)
    assert any("ae: one seed: intervals are of this network, not of the method" in note for note in comparison.notes)


def test_the_lead_over_pca_is_parted_by_its_codes_with_a_decoder(store: MlflowClient, tmp_path: Path) -> None:
    """PCA errs 1/k, pca-mlp 0.7 of it and the autoencoder 0.5: the decoder's part is 3/5."""
    log_curve(store, falling(1), tmp_path, model="pca")
    log_curve(store, falling(0.5), tmp_path)
    (alone,) = [note for note in found(store).notes if "pca-mlp" in note]
    assert alone.startswith(
        "the lead of ae over PCA may be the decoder's alone: add pca-mlp runs: python -m studies.scan"
    )
    log_curve(store, falling(0.7), tmp_path, model="pca-mlp")
    comparison = found(store)
    assert model(comparison, "ae").decoder.shares == pytest.approx(dict.fromkeys(FEW, 0.6))
    assert (
        "pca-mlp, a trained decoder on PCA's codes, has 60 % of this lead at dim3 2 to 5"
        in model(comparison, "ae").versus
    )
    assert model(comparison, "pca-mlp").decoder.shares == {}
    assert not any("pca-mlp runs" in note for note in comparison.notes)


def test_a_diverged_network_makes_no_error_of_pca_rounding(store: MlflowClient, tmp_path: Path) -> None:
    log_curve(store, falling(1), tmp_path, model="pca")
    log_curve(store, falling(0.5) | {2: 1e12}, tmp_path)
    assert [a.ratio for a in model(found(store), "ae").against] == pytest.approx([2e12, 0.5, 0.5, 0.5])


def test_verdict_choice_and_pick(store: MlflowClient, tmp_path: Path) -> None:
    """The corner is at 8, and 90 % of the mean row's 3.9 are kept from 9 on: the corner does not take its place."""
    ids = [log_curve(store, CORNER, tmp_path, seed=seed, mean_row=3.91) for seed in (0, 1)]
    comparison = found(store)
    ae = model(comparison, "ae")
    assert ae.verdict is not None
    assert (ae.verdict.kind, ae.verdict.dim3) == ("clear", 8)
    assert ae.elbow.startswith("ae: a clear elbow at dim3 8 (95 % interval 8 to 8)")
    assert ae.sentence == "ae keeps 90 % of the variance with dim3 9 (8 is not enough; 95 % interval 9)"
    assert (ae.choice.choice, ae.choice.below, ae.choice.seeds, ae.choice.rows) == (9, 8, 2, 200)
    assert [c.rule for c in ae.purposes][:3] == ["keep:0.80", "keep:0.90", "keep:0.95"]
    assert ae.confirmed is None
    assert "unconfirmed" in ae.confirmation
    assert "--confirm ae=8" in ae.confirmation
    assert comparison.pick is not None
    assert (comparison.pick.model, comparison.pick.dim3, comparison.pick.run_id) == ("ae", 9, ids[0][9])
    assert comparison.mean_row == pytest.approx(3.91)
    assert model(found(store, "elbow"), "ae").choice.choice == 8
    assert model(found(store, "gain:0.05"), "ae").choice.rule == "gain:0.05"


@pytest.mark.parametrize(("at_9", "stands"), [(0.39, True), (0.3, False)])
def test_twice_the_epochs_confirm_a_corner_or_not(store: MlflowClient, at_9: float, stands: bool) -> None:
    log_curve(store, CORNER)
    log_curve(store, {7: 0.5, 8: 0.4, 9: at_9, 15: 0.3}, epochs=40, tags={Tag.CONFIRMS: "true"})
    ae = model(found(store), "ae")
    assert ae.confirmed is stands
    assert ("not confirmed" in ae.elbow) is not stands


def test_dim3_in_the_second_half_of_the_rank_are_not_judged(store: MlflowClient) -> None:
    """An error that falls in a straight line to a corner at 8 and on to 0 at 40, the number of columns."""
    values = {k: 1 - 0.11 * k if k < 8 else 0.12 * (1 - (k - 8) / 32) ** 4 for k in range(2, 40)}
    for ids in (log_curve(store, values),):
        for run_id in ids.values():
            store.log_param(run_id, "dim1", 40)
            store.log_param(run_id, "rows_train", 1000)
    ae = model(found(store), "ae")
    assert ae.verdict is not None
    assert (ae.verdict.kind, ae.verdict.dim3, ae.verdict.most) == ("clear", 8, 20)
    assert "; dim3 over 20 are not judged" in ae.elbow


def test_the_pick_needs_the_fewest_latents_for_the_quality(store: MlflowClient, tmp_path: Path) -> None:
    """PCA keeps 90 % from 10 on, the autoencoder from 5 on; nothing keeps 99 %."""
    log_curve(store, falling(1, range(2, 12)), tmp_path, model="pca", mean_row=1.0)
    log_curve(store, falling(0.5, range(2, 12)), tmp_path, mean_row=1.0)
    comparison = found(store)
    assert [m.choice.choice for m in comparison.models] == [10, 5]
    assert comparison.pick is not None
    assert (comparison.pick.model, comparison.pick.dim3) == ("ae", 5)
    assert found(store, "keep:0.99").pick is None


def test_the_pick_says_apart_what_is_missed_undecided_and_without_evidence() -> None:
    missed = Choice(None, 8, None, False, 0.5, 1, 100, "", purpose="keep", rule="keep:0.90")
    choices = {"ae": replace(missed, choice=4, below=3), "pca": replace(missed, choice=6, below=5), "vae": missed}
    choices["nested"] = replace(missed, missing="too few rows")
    choices["mine"] = no_choice(Rule.parse("keep:0.90"), "mine", "no codes")
    models: list[Any] = [SimpleNamespace(label=k, model=k, choice=c, points=[]) for k, c in choices.items()]
    assert _why(models[0], models) == (
        f"dim3 to {Rule.parse('keep:0.90').words}: ae 4, pca 6; "
        "not reached by vae; undecided for nested; no answer for mine"
    )


def test_the_pick_says_why_it_is_chosen_among_equals() -> None:
    choice = Choice(4, 3, None, True, 0.9, 1, 100, "", purpose="keep", rule="keep:0.90")
    one, two, pca = (
        SimpleNamespace(label=label, model=label, choice=choice, points=[], trained=label != "pca")
        for label in ("ae", "vae", "pca")
    )
    assert _why(cast(Any, one), [one, two]).endswith(": ae 4, vae 4; vae needs as many, but ae has the smaller error")
    assert _why(cast(Any, pca), [pca, one, two]).endswith("; ae and vae need as many, but pca needs no training")


def test_a_variant_at_two_dim3_beside_a_scan_of_its_model_is_not_judged(store: MlflowClient, tmp_path: Path) -> None:
    log_curve(store, falling(1, range(2, 12)), tmp_path, model="pca", mean_row=1.0)
    log_curve(store, falling(0.5, range(2, 12)), tmp_path, mean_row=1.0, facts={"loss": "mse"})
    log_curve(store, {2: 0.01, 10: 0.001}, tmp_path, mean_row=1.0, facts={"loss": "bce"})
    comparison = found(store)
    variant = model(comparison, "ae (loss bce)")
    assert variant.sentence == "ae (loss bce): trained at dim3 2, 10 only, beside a scan of ae; not judged"
    assert (variant.elbow, {c.choice for c in variant.purposes}) == ("", {None})
    assert comparison.pick is not None
    assert (comparison.pick.model, "bce" in comparison.pick.why) == ("ae", False)
    assert [a.errs for a in variant.against] == ["less", "less"]


def test_models_are_compared_at_the_share_that_all_keep_where_one_misses(store: MlflowClient, tmp_path: Path) -> None:
    """At 7 PCA keeps 6/7, 85.7 %, and the autoencoder 13/14."""
    log_curve(store, falling(1, range(2, 8)), tmp_path, model="pca", mean_row=1.0)
    log_curve(store, falling(0.5, range(2, 8)), tmp_path, mean_row=1.0)
    assert {m.label: [(c.rule, c.choice) for c in m.purposes[:4]] for m in found(store).models} == {
        "pca": [("keep:0.80", 5), ("keep:0.85", 7), ("keep:0.90", None), ("keep:0.95", None)],
        "ae": [("keep:0.80", 3), ("keep:0.85", 4), ("keep:0.90", 5), ("keep:0.95", None)],
    }
    assert [c.rule for c in model(found(store, "keep:0.80"), "ae").purposes[:3]] == [
        "keep:0.80", "keep:0.90", "keep:0.95",
    ]  # fmt: skip


def test_the_largest_and_the_median_column_are_those_of_the_run_at_the_choice(
    store: MlflowClient, tmp_path: Path
) -> None:
    for k in range(2, 12):
        arrays = errors(1 / k, 1 / k, mean_row=1.0)
        arrays[Artifact.COLUMNS_TEST] = np.array([[6.0, 1.0, 3.0, 0.0], [0.3, 0.5, 1.2, 0.1]])
        log(store, dim3=k, error=1 / k, test=1 / k, arrays=arrays, folder=tmp_path)
    comparison = found(store)
    assert model(comparison, "ae").columns == pytest.approx((0.6, 0.6))
    loud = [note for note in comparison.notes if note.startswith("one column has 60 % of the variance")]
    assert len(loud) == 1


def test_an_older_store_chooses_on_the_test_rows_by_pythagoras(store: MlflowClient, tmp_path: Path) -> None:
    """PCA's error and code give the mean row's error: e + |code|^2 / dim1 is 1 for every row."""
    for k in range(2, 12):
        codes = np.full((200, k), np.sqrt((1 - 1 / k) * 20 / k))
        arrays = {Artifact.ERRORS_TEST: np.full(200, 1 / k), Artifact.CODES: codes}
        params = {Param.DIM1: "20", Param.ROWS_TRAIN: "800"}
        log(store, model="pca", dim3=k, error=1 / k, test=1 / k, arrays=arrays, folder=tmp_path, params=params)
    comparison = found(store)
    assert any(n.startswith("91 % of what counts as the test rows' variance is a shift") for n in comparison.notes)
    pca = model(comparison, "pca")
    assert (pca.choice.choice, pca.choice.interval) == (10, (10, 10))
    assert pca.choice.note.startswith("chosen on the test rows: runs lack the mean")


def test_undertrained_cells_are_named_with_the_reason(store: MlflowClient, tmp_path: Path) -> None:
    log_curve(store, falling(1, range(2, 10)), tmp_path, model="pca")
    # 9 errs more than 8, and 5 and 8 more than PCA.
    log_curve(store, falling(0.6, range(2, 10)) | {5: 0.5, 8: 0.13, 9: 0.132}, tmp_path)
    ae = model(found(store), "ae")
    assert list(ae.undertrained) == [5, 8, 9]
    assert ae.undertrained[5] == "it errs 2.5 times as much as PCA at the same dim3"


def test_a_vae_with_unused_latents_is_not_called_undertrained(store: MlflowClient, tmp_path: Path) -> None:
    """At 3 it errs more than PCA with all latents in use; at 6 the KL counts fewer in use than the variance does."""
    log_curve(store, falling(1, range(2, 7)), tmp_path, model="pca")
    for k in range(2, 7):
        units = {Metric.TEST_ACTIVE_UNITS: min(k, 3), Metric.VAL_ELBO: -100.0 - k}
        units |= {Metric.TEST_UNITS_IN_USE: 2.0} if k == 6 else {}
        log_curve(store, {k: 0.4}, tmp_path, model="vae", metrics=units)
    vae = model(found(store), "vae")
    assert list(vae.undertrained) == [3]
    assert vae.unused == {4: 3, 5: 3, 6: 2}
    assert [p.metrics[Metric.TEST_UNITS_IN_USE] for p in vae.points] == [2, 3, 3, 3, 2]
    assert [p.columns()["negative_elbo"] for p in vae.points] == [102, 103, 104, 105, 106]
    assert vae.elbo_verdict is not None


def test_the_elbo_is_that_of_the_rows_where_all_runs_have_them(store: MlflowClient, tmp_path: Path) -> None:
    """The rows have 100 + 10 k + seed nats, and the last epoch one more."""
    for k, seed in [(k, seed) for k in FEW for seed in (0, 1)]:
        nats = 100.0 + 10 * k + seed
        arrays = {Artifact.ELBO_VAL: np.full(50, -nats), Artifact.ELBO_TEST: np.full(50, -nats)}
        metrics = {Metric.TEST_ELBO: -nats, Metric.VAL_ELBO: -nats - 1}
        log(store, model="vae", dim3=k, seed=seed, error=1.0, metrics=metrics, arrays=arrays, folder=tmp_path)
    vae = model(found(store), "vae")
    assert [p.columns()["negative_elbo"] for p in vae.points] == [120.5, 130.5, 140.5, 150.5]
    assert [p.elbo_sd for p in vae.points] == pytest.approx([0.5**0.5] * 4)
    assert _elbo_sentence(vae) == "vae by its validation -ELBO: least at dim3 = 2 (120.5 nats per row), no elbow"
    assert vae.elbo_verdict is not None
    log(store, model="vae", dim3=6, error=1.0, metrics={Metric.TEST_ELBO: -160, Metric.VAL_ELBO: -161})
    points = model(found(store), "vae").points
    assert [p.columns()["negative_elbo"] for p in points] == [121.5, 131.5, 141.5, 151.5, 161]


def test_a_weighted_bound_below_the_elbo_of_one_draw_is_not_called_higher(store: MlflowClient) -> None:
    for k, gap in ((2, 0.75), (3, 0.25), (4, -0.008)):
        metrics = {Metric.TEST_ELBO: -99.0, Metric.VAL_ELBO: -100.0, Metric.WEIGHTED_ELBO: -99.5}
        log(store, model="vae", dim3=k, error=1.0, metrics=metrics | {Metric.WEIGHTED_BOUND: gap - 99.5})
    assert _elbo_sentence(model(found(store), "vae")).endswith(
        "; the importance-weighted bound of 64 draws is higher by 0.25 at dim3 3 to 0.75 at dim3 2 (nats per test row) "
        "and equal up to noise at dim3 4"
    )


def test_a_vae_keeps_less_by_its_samples(store: MlflowClient) -> None:
    """The mean row errs 2, decode(mean) 0.5 and decode(sample) 1; ln 2 nats are a bit."""
    kept = {Metric.TEST_EXPLAINED_VARIANCE: 0.75, Metric.SAMPLED_MSE: 1.0, Metric.TEST_KL: 3 * np.log(2)}
    log(store, model="vae", dim3=2, error=0.5, test=0.5, metrics=kept)
    shown = model(found(store), "vae").points[0].columns()
    wanted = {"explained_variance": 0.75, "sampled_explained_variance": 0.5, "rate_bits": 3.0}
    assert {name: shown[name] for name in wanted} == pytest.approx(wanted)


def test_the_same_loss_sets_models_side_by_side(store: MlflowClient) -> None:
    for model, first, loss in (("ae", 1.0, "mse"), ("ae", 1.2, "bce"), ("vae", 1.8, "bce")):
        log_curve(store, falling(first), model=model, facts={"loss": loss})
    assert found(store).same_loss == [
        "with the same loss (bce), ae (loss bce) has 0.67 to 0.67 times the test error of vae at dim3 2 to 5"
    ]


def test_few_points_few_seeds_and_no_pca_are_said(store: MlflowClient) -> None:
    log_curve(store, falling(1, (2, 3, 4)), tags={Tag.TEST_REPEATS: "true"})
    comparison = found(store)
    ae = model(comparison, "ae")
    assert (ae.verdict, ae.against, [p.low for p in ae.points]) == (None, [], [None] * 3)
    assert ae.sentence == (
        "ae: no share of the variance: the runs log neither the mean row's errors nor explained variance"
    )
    assert (
        ae.elbow == "ae: no verdict on an elbow: a curve of 3 dim3 can't be judged: it takes 4, and 8 to see a corner"
    )
    notes = "\n".join(comparison.notes)
    for said in (
        "each test row is one of the training rows, so the test errors say nothing of new rows",
        "no PCA runs",
        "only ae has finished cells",
        "ae: one seed",
        "no interval at dim3 2 to 4: errors/test.npy",
    ):
        assert said in notes


def test_pca_of_a_quick_study_does_not_make_a_comparison_quick(store: MlflowClient) -> None:
    quick = {Tag.LABEL: "quick"}
    log_curve(store, falling(1), model="pca", tags=quick)
    log_curve(store, falling(1))
    assert not found(store).quick
    log_curve(store, falling(1), seed=1, tags=quick)
    assert found(store).quick


def test_broken_rows_cost_their_interval_and_nothing_else(store: MlflowClient, tmp_path: Path) -> None:
    for k in FEW:
        arrays = errors(1.0 / k, 1.0 / k)
        if k == 3:
            arrays[Artifact.ERRORS_VAL] = arrays[Artifact.ERRORS_VAL][:7]
        if k == 4:
            arrays[Artifact.ERRORS_VAL] = np.full(200, np.nan)
        log(store, dim3=k, error=1.0 / k, test=1.0 / k, arrays=arrays, folder=tmp_path)
    comparison = found(store)
    assert [p.low is None for p in model(comparison, "ae").points] == [False, True, True, False]
    assert any("no interval at dim3 3 to 4: errors/val.npy" in note for note in comparison.notes)


def test_pca_that_reused_a_decomposition_has_the_seconds_of_the_fit_that_made_it(store: MlflowClient) -> None:
    rows = np.random.default_rng(0).random((20, 5)).astype(np.float32)
    rows.flags.writeable = False
    first, again = (PCA(dim3=k).fit(rows).facts()["decomposition"] for k in (2, 3))
    assert again == REUSED != first  # as stores have it
    for k, seconds, made in ((2, 1.5, first), (3, 0.001, again), (4, 0.002, again)):
        facts, metrics = {"decomposition": made}, {Metric.FIT_SECONDS: seconds}
        log(store, model="pca", dim3=k, error=1.0, facts=facts, metrics=metrics)
    assert [p.metrics[Metric.FIT_SECONDS] for p in model(found(store), "pca").points] == [1.5, 1.5, 1.5]


def test_missing_cells_are_those_of_the_grids_that_were_asked_for(store: MlflowClient) -> None:
    grid = {"dim3": {"ae": [2, 3, 4, 5]}, "seeds": 2, "before": [{"dim3": {"ae": [4, 6], "vae": [7]}, "seeds": 1}]}
    log(store, dim3=2, error=None, tags={Tag.KIND: Kind.STUDY, Tag.STUDY: "s", Tag.GRID: json.dumps(grid)})
    for k in (2, 3, 4):
        log(store, dim3=k, error=1.0, tags={Tag.STUDY: "s"})
    log(store, dim3=2, seed=1, error=1.0, tags={Tag.STUDY: "s"})
    log(store, dim3=3, seed=1, error=1.0, tags={Tag.STUDY: "s"}, status="RUNNING")
    comparison = found(store)
    assert comparison.missing == [
        "ae dim3 3 seed 1", "ae dim3 4 seed 1", "ae dim3 5 seed 0", "ae dim3 5 seed 1", "ae dim3 6 seed 0",
    ]  # fmt: skip


def test_dim3_that_a_seek_chose_make_no_verdict(store: MlflowClient) -> None:
    """A ladder of one seed, and three seeds around its answer: nothing is judged, and nothing is missing."""
    log(store, dim3=2, error=None, tags={Tag.KIND: Kind.STUDY, Tag.STUDY: "s", Tag.SEEK: "{}"})
    for k, seed in [(k, 0) for k in (2, 4, 8, 16, 32)] + [(k, seed) for k in range(19, 24) for seed in range(3)]:
        metrics = {Metric.TEST_ELBO: -100 - 60 / k, Metric.VAL_ELBO: -100 - 60 / k}
        tags = {Tag.STUDY: "s", Tag.SOUGHT: "true"}
        log(store, model="vae", dim3=k, seed=seed, error=1 / k, metrics=metrics, tags=tags)
    comparison = found(store, "gain:0.05")
    vae = model(comparison, "vae")
    sought = "its dim3 were sought around an answer, too few to"
    assert vae.elbow == f"vae: no verdict on an elbow: {sought} judge an elbow: studies.scan adds the others"
    assert vae.choice.missing == f"{sought} tell gains from noise: studies.scan adds the others"
    assert (vae.verdict, vae.elbo_verdict, vae.seeds, comparison.missing) == (None, None, [0, 1, 2], [])
    assert _elbo_sentence(vae) == "vae by its validation -ELBO: least at dim3 = 32 (101.9 nats per row)"
    assert not any("seed" in note for note in comparison.notes)


@pytest.mark.parametrize(
    ("settings", "judged"),
    [
        ({"dataset": "digits (d-digits)", "epochs": 20}, 9),
        ({"dataset": "digits (other)"}, 7),
        ({"dataset": "digits (d-digits)", "epochs": 5}, 7),
        ([1], 7),
    ],
)
def test_a_scan_judges_the_sought_dim3_of_its_grid(store: MlflowClient, settings: object, judged: int) -> None:
    """It took over 4 and 8; 12 and 13 are the seek's alone, and so is a second seed at 8."""
    grid = json.dumps({"dim3": {"ae": list(range(2, 11))}, "seeds": 1})
    scan = {Tag.STUDY: "scan", Tag.GRID: grid, Tag.STUDY_SETTINGS: json.dumps(settings)}
    log(store, dim3=2, error=None, tags={Tag.KIND: Kind.STUDY, **scan})
    log_curve(store, falling(1, (2, 3, 5, 6, 7, 9, 10)), tags={Tag.STUDY: "scan"})
    log_curve(store, falling(1, (4, 8, 12, 13)), tags={Tag.SOUGHT: "true"})
    log_curve(store, falling(1, (8,)), seed=1, tags={Tag.SOUGHT: "true"})
    comparison = found(store)
    ae = model(comparison, "ae")
    assert ae.verdict is not None
    assert (ae.seeds, (ae.verdict.reason.split()[0] == "7")) == ([0], judged == 7)
    left = "12 to 13" if judged == 9 else "4, 8, 12 to 13"
    assert [n for n in comparison.notes if "seed" in n or "elbow" in n] == [
        f"ae: the elbow is judged without dim3 {left}, which were sought around an answer"
    ]
    assert comparison.missing == []


def test_a_scan_asks_for_no_cells_of_a_loss_that_is_not_its_own(store: MlflowClient) -> None:
    settings = {"dataset": "digits (d-digits)", "epochs": 20, "loss": "auto"}
    for study, dim3 in (("scan", [2, 3, 4]), ("scan ae-bce", [2])):
        loss = {"loss": "bce"} if "bce" in study else {}
        grid = {Tag.GRID: json.dumps({"dim3": {"ae": dim3}, "seeds": 1}), Tag.STUDY: study}
        tags = {Tag.KIND: Kind.STUDY, Tag.STUDY_SETTINGS: json.dumps(settings | loss), **grid}
        log(store, dim3=2, error=None, tags=tags)
        log_curve(store, falling(1, dim3), tags={Tag.STUDY: study}, facts={"loss": loss.get("loss", "mse")})
    comparison = found(store)
    assert [(m.label, len(m.points)) for m in comparison.models] == [("ae", 3), ("ae (loss bce)", 1)]
    assert comparison.missing == []


def test_pcas_curve_is_its_runs_own_or_the_spectrum_scaled(store: MlflowClient, tmp_path: Path) -> None:
    spectrum = np.array([4.0, 2.0, 1.0, 1.0])
    for k, test in ((1, 4 / 16), (2, 2 / 16)):
        arrays = {Artifact.SPECTRUM: spectrum}
        log(store, model="pca", dim3=k, error=1.0, test=test, arrays=arrays, folder=tmp_path)
    curve = found(store).pca_curve
    assert curve is not None
    assert curve.raw.tolist() == pytest.approx([0.5, 0.25, 0.125, 0.0625, 0.0])
    measured = np.column_stack([np.linspace(1, 0, 5), np.linspace(0.9, 0, 5)])
    log(store, model="pca", dim3=2, error=1.0, test=0.5, arrays={Artifact.PCA_CURVE: measured}, folder=tmp_path)
    curve = found(store).pca_curve
    assert curve is not None
    assert curve.raw.tolist() == measured[:, 0].tolist()
    assert curve.clipped is not None


def test_without_rows_the_share_is_that_of_the_metrics(store: MlflowClient) -> None:
    """The mean predictor errs 2; a tenth of that is first met at dim3 5."""
    for k in range(2, 10):
        log(store, dim3=k, error=1 / k, test=1 / k, metrics={Metric.TEST_EXPLAINED_VARIANCE: 1 - 1 / k / 2})
    choice = model(found(store, "unexplained:0.10"), "ae").choice
    assert (choice.rule, choice.choice, choice.value) == ("keep:0.90", 5, pytest.approx(0.9))
    assert choice.note.startswith("chosen on the test rows by their means alone")


def test_the_same_runs_give_the_same_bytes(store: MlflowClient, tmp_path: Path) -> None:
    log_curve(store, falling(1), tmp_path, model="pca")
    log_curve(store, falling(0.5), tmp_path, rows_of=1)
    first = find(read(store, "e")).to_json()
    assert find(read(store, "e")).to_json() == first
    assert json.loads(first)["runs"] == sorted(json.loads(first)["runs"])
    log(store, dim3=20, error=0.1)
    assert find(read(store, "e")).digest != json.loads(first)["digest"]


def test_rank_says_what_measured_runs_without_hidden_entries_need(store: MlflowClient) -> None:
    """The numbers are those of the measure, which this package can't import."""
    log(store, model="pca", dim3=2, error=1.0, metrics={Metric.MEASURE_SECONDS: 1.0})
    assert range(10, 10_000 + 1) == hidden_entries.COLUMNS
    assert hidden_entries._ITERATED_VALUES == 60_000 * hidden_entries._FEWEST_ITERATED
    (rank,) = [c for c in model(found(store), "pca").purposes if c.purpose == "rank"]
    assert rank.missing == (
        "rank needs 10 to 10,000 columns that vary (of a network also dim1 · dim3 up to 60,000): "
        "the measured runs have no hidden entries"
    )


def test_the_codes_of_five_trainings_a_dim3_are_probed(store: MlflowClient, tmp_path: Path) -> None:
    """The codes of the first five are the class; those of a sixth are noise, which a probe would see."""
    labels = np.arange(60) % 2
    for seed in range(6):
        codes = labels[:, None] if seed < 5 else np.random.default_rng(0).standard_normal((60, 1))
        arrays = {Artifact.CODES: codes.astype(np.float32), Artifact.LABELS: labels}
        arrays[Artifact.PROBE_TEST] = np.ones(60, np.int8)
        log(store, dim3=2, seed=seed, error=1.0, arrays=arrays, folder=tmp_path)
    (features,) = [c for c in model(found(store), "ae").purposes if c.purpose == "features"]
    assert (features.value, features.seeds) == (0, 5)


def test_errors_that_32_bits_make_are_named_and_not_judged(store: MlflowClient) -> None:
    """As of PCA's exact columns: without this, an autoencoder erred up to 4e18 times as much."""
    limit = {Metric.DATA_RESOLUTION: 1e-6}
    for k, error in CORNER.items():
        log(store, dim3=k, error=error, test=error, metrics=limit)
        small = error if k < 8 else 1e-9
        log(store, model="pca", dim3=k, error=small, test=small, metrics=limit)
    comparison = found(store)
    assert comparison.cautions == [
        "pca at dim3 8 to 15: errors up to 1e-06 are those of 32 bits: not judged, not compared with PCA"
    ]
    assert [a.dim3 for a in model(comparison, "ae").against] == list(range(2, 8))
    assert model(comparison, "ae").verdict.kind == "clear"  # type: ignore[union-attr]
    assert model(comparison, "pca").verdict.kind != "clear"  # type: ignore[union-attr]


def test_a_curve_of_such_errors_has_no_verdict(store: MlflowClient) -> None:
    for k in CORNER:
        log(store, dim3=k, error=1e-9, metrics={Metric.DATA_RESOLUTION: 1e-6})
    one = model(found(store), "ae")
    assert (one.verdict, one.no_verdict) == (None, "its errors at dim3 2 to 15 are those of 32 bits")


def test_a_column_with_nearly_all_the_variance_is_a_caution(store: MlflowClient) -> None:
    for k, error in CORNER.items():
        tag = json.dumps({"column": "<b>\n" if k == 2 else "", "share": 0.9715})
        log(store, dim3=k, error=error, tags={Tag.DOMINANT_COLUMN: tag if k == 2 else "[broken"})
    assert found(store).cautions == [
        "column `<b> ` has 97.2 % of the variance, so errors and shares tell little of the others; --scale columns "
        "gives each column the same weight"
    ]
