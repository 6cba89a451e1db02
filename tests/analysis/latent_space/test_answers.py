"""The assignment's tasks from runs whose answers are known, and what runs may lack."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from mlflow import MlflowClient

from elbowroom.analysis.latent_space.answers import IN_USE, Answers, Shelf, answer, measured
from elbowroom.analysis.runs.comparison import compare
from elbowroom.analysis.runs.query import read
from elbowroom.models.measures.errors import IN_USE_NATS
from elbowroom.tracking.store.names import Artifact, Metric, Quality, Source, Tag, sample_metric
from tests.analysis.example_runs import log, rows

N = 300
RNG = np.random.default_rng(0)
CODES = RNG.standard_normal((N, 2)).astype(np.float32) * [3, 1]
LABELS = (CODES[:, 0] > 0).astype(np.int64) + 2 * (CODES[:, 1] > 0)
TURN = np.array([[np.cos(1), -np.sin(1)], [np.sin(1), np.cos(1)]])
SHEAR = np.array([[1, 0.8], [0, 0.5]])
PUSHES = np.array([[0, 0.1, 0.001], [1, 0.3, 0.002]], dtype=np.float32)
METRICS: dict[str, float] = {
    Metric.MEASURE_SECONDS: 1,
    Metric.TRUSTWORTHINESS: 0.9,
    Metric.CONTINUITY: 0.8,
    Metric.LARGEST_STEP: 1.5,
    Metric.DETOUR: 1.2,
    Metric.MIDWAY: 0.02,
    Metric.SAME_DRAW: 0,
    Metric.NEW_DRAW: 0.1,
}
for _source in Source:
    METRICS |= {sample_metric(_source, quality): 0.25 for quality in Quality}
METRICS[sample_metric(Source.MIXTURE, Quality.RECALL)] = 0.75


def log_measured(
    client: MlflowClient,
    folder: Path,
    *,
    model: str = "ae",
    seed: int = 0,
    dim3: int = 2,
    codes: np.ndarray = CODES,
    labels: np.ndarray | None = LABELS,
    arrays: Mapping[str, np.ndarray] | None = None,
    metrics: Mapping[str, float] | None = None,
    tags: Mapping[str, str] | None = None,
    test: float = 0.1,
    without: tuple[str, ...] = (),
) -> str:
    held: dict[str, np.ndarray] = {
        Artifact.CODES: codes.astype(np.float32),
        Artifact.ROBUSTNESS: PUSHES,
        Artifact.ERRORS_TEST: rows(test, 0, N),
    }
    held |= {} if labels is None else {Artifact.LABELS: labels}
    held |= dict(arrays or {})
    arrays = {k: v for k, v in held.items() if k not in without}
    given = METRICS | dict(metrics or {})
    return log(
        client, model=model, dim3=dim3, seed=seed, error=test, test=test, arrays=arrays, metrics=given, tags=tags,
        folder=folder,
    )  # fmt: skip


def answers(client: MlflowClient, shown: tuple[int, ...] = (2,)) -> Answers:
    (comparison,) = compare(read(client, "e").cells)
    return answer(comparison, shown, Shelf())


def test_turned_and_sheared_codes_are_told_apart(store: MlflowClient, tmp_path: Path) -> None:
    for seed, codes in enumerate((CODES, 2 * CODES @ TURN + 5, CODES @ SHEAR)):
        log_measured(store, tmp_path, seed=seed, codes=codes, test=0.1 + 0.01 * seed)
    (found,) = answers(store).repeats
    turned, sheared, _ = found.pairs
    assert (turned.first, turned.second) == ("seed 0", "seed 1")
    assert (turned.raw, turned.affine, turned.cka) == pytest.approx((0, 0, 1), abs=1e-5)
    assert turned.overlap == 1
    assert sheared.raw > 0.05
    assert sheared.affine == pytest.approx(0, abs=1e-5)
    assert (found.error.mean, found.error.sd) == pytest.approx((0.11, 0.01))
    assert found.chance == pytest.approx(10 / (N - 1))
    assert len(found.accuracy) == 3
    assert [a.value > 0.8 and a.low < a.value < a.high for a in found.accuracy] == [True] * 3, found.accuracy


def test_pca_is_compared_with_its_second_fit(store: MlflowClient, tmp_path: Path) -> None:
    names = (Metric.REFIT_DEGREES, Metric.OTHER_DEGREES, Metric.FLIPPED, Metric.RANDOMIZED_DEGREES)
    refit = dict(zip(names, (0.0, 1e-9, 1, 0.5), strict=True))
    spectrum = np.array([9.0, 4.0, 1.0])
    arrays = {
        Artifact.CODES_REFIT: (CODES * [1, -1]).astype(np.float32),
        Artifact.SPECTRUM: spectrum,
        Artifact.PCA_CURVE: np.array([[0.5, 0.5], [0.3, 0.3]]),
    }
    run_id = log_measured(
        store, tmp_path, model="pca", arrays=arrays, metrics=refit, tags={Tag.AUTO_SOLVER: "randomized"}
    )
    store.log_param(run_id, "dim1", 10)
    found = answers(store)
    (pair,) = found.repeats[0].pairs
    assert (pair.raw, pair.cka) == pytest.approx((0, 1), abs=1e-6)
    (again,) = found.refits
    assert (again.again, again.other, again.flipped, again.randomized) == pytest.approx((0, 1e-9, 1, 0.5))
    assert again.auto_solver == "randomized"
    assert again.mean_row == pytest.approx(0.5)
    # the scores lie wrong by (sqrt(lambda) - 1) of themselves: 2 and 1 times, over 10 columns
    squares = (CODES.astype(np.float32).astype(float) ** 2).mean(axis=0)
    assert again.clash == pytest.approx(0.1 + (4 * squares[0] + squares[1]) / 10)


def test_maps_have_the_errors_and_the_measures(store: MlflowClient, tmp_path: Path) -> None:
    log_measured(store, tmp_path, model="pca", test=0.2)
    log_measured(store, tmp_path, model="ae", test=0.1)
    pca, ae = answers(store).maps
    assert ae.error.value == pytest.approx(0.1, rel=1e-5)
    assert ae.error.low < 0.1 < ae.error.high
    assert ae.commonest == pytest.approx(np.bincount(LABELS).max() / N)
    assert (ae.trustworthiness.mean, ae.trustworthiness.sd) == (0.9, None)
    assert pca.accuracy == ae.accuracy


def test_the_error_of_two_trainings_covers_another_or_has_no_interval(store: MlflowClient, tmp_path: Path) -> None:
    """Trainings that err .9 and 1.1 have 12.706 · 0.1 of their own, those that err 1 and 2 a factor of 69 each way."""
    for seed in range(2):
        log_measured(store, tmp_path, model="ae", test=0.9 + 0.2 * seed, seed=seed)
        log_measured(store, tmp_path, model="vae", test=1.0 + seed, seed=seed)
    near, far = (row.error for row in answers(store).maps)
    of_rows = 1.96 * rows(1.0, 0, N).std() / N**0.5
    assert np.log(near.high / near.value) == pytest.approx(np.hypot(12.706 * 0.1, of_rows), rel=1e-3)
    assert (far.value, far.low, far.high) == (pytest.approx(1.5), None, None)


def test_draws_from_the_prior_are_within_chance_and_means_are_not(store: MlflowClient, tmp_path: Path) -> None:
    normal = np.random.default_rng(5).standard_normal((2000, 2)).astype(np.float32)
    kl = np.array([0.5, 2.0], dtype=np.float32)
    arrays = {Artifact.CODES_SAMPLED: normal, Artifact.KL_BY_DIM: kl, Artifact.ERRORS_TEST: rows(0.1, 0, 2000)}
    metrics = {Metric.SAMPLED_MSE: 0.2}
    vae = {"model": "vae", "codes": 0.5 * normal, "labels": None, "arrays": arrays, "metrics": metrics}
    for seed in range(2):
        log_measured(store, tmp_path, seed=seed, **vae)
    found = answers(store)
    means, drawn = found.priors
    assert (means.of, drawn.of) == ("means", "draws")
    assert (means.rejected, drawn.rejected) == (2, 0)
    assert means.squared.mean > means.null.mean > drawn.squared.mean
    assert means.kl.mean == pytest.approx(2 * 0.5 * (0.25 - 1 - np.log(0.25)), abs=0.05)  # SDs of a half
    (health,) = found.health
    assert health.kl_by_dim == [[2.0, 0.5]] * 2
    assert (health.kl.mean, health.collapsed, health.reason) == (2.5, False, "")
    assert health.sampled_error.mean == 0.2
    assert found.maps[0].accuracy is None  # no labels
    assert found.notes == []


def test_a_collapsed_vae_is_said_to_be_and_why(store: MlflowClient, tmp_path: Path) -> None:
    arrays = {Artifact.CODES_SAMPLED: CODES.astype(np.float32), Artifact.KL_BY_DIM: np.zeros(2, dtype=np.float32)}
    metrics = {Metric.SAMPLED_MSE: 0.1}
    vae = {"model": "vae", "codes": np.full((N, 2), 1e-9), "arrays": arrays, "metrics": metrics}
    for seed in range(2):
        run_id = log_measured(store, tmp_path, seed=seed, tags={"elbowroom.model.beta": "784.0"}, **vae)
        store.log_param(run_id, "dim1", 784)
    found = answers(store)
    (repeats,) = found.repeats
    assert repeats.collapsed == ["seed 0", "seed 1"]
    assert (repeats.pairs[0].raw, repeats.pairs[0].cka, repeats.pairs[0].overlap) == (None, None, None)
    assert repeats.accuracy == []
    (health,) = found.health
    assert health.collapsed
    assert "averaged over all of them beside a summed KL" in health.reason
    assert found.priors[0].kl is None


def test_what_is_missing_is_named_and_the_rest_goes_on(store: MlflowClient, tmp_path: Path) -> None:
    log_measured(store, tmp_path, seed=0)
    log_measured(store, tmp_path, seed=1, without=(Artifact.CODES,))
    log_measured(store, tmp_path, seed=2, codes=np.full((N, 2), np.nan))
    log_measured(store, tmp_path, seed=3, without=(Artifact.ROBUSTNESS,))
    log(store, model="vae", dim3=2, error=0.1)
    found = answers(store)
    assert found.repeats[0].names == ["seed 0", "seed 3"]
    assert found.robust[0].errors == pytest.approx([0.1, 0.3])
    text = "\n".join(found.notes)
    assert "vae at dim3 2 was not measured" in text
    assert "ae-d2-s1" in text
    assert "codes/test.npy is not in the store" in text
    assert "codes/test.npy is not finite" in text
    assert "measure/robustness.npy is not in the store" in text


def test_the_four_generators_and_the_controls(store: MlflowClient, tmp_path: Path) -> None:
    vae = {Artifact.CODES_SAMPLED: CODES.astype(np.float32), Artifact.KL_BY_DIM: np.ones(2, dtype=np.float32)}
    for model in ("pca", "ae", "vae"):
        more = {Metric.SAMPLED_MSE: 0.1} if model == "vae" else {}
        log_measured(store, tmp_path, model=model, arrays=vae if model == "vae" else None, metrics=more)
    found = answers(store)
    main = [g.name for g in found.generators if g.main]
    assert main == ["PCA, equation (2)", "AE, N(0, I)", "AE, mixture", "VAE, N(0, I)"]
    mixture = next(g for g in found.generators if g.name.startswith("AE, mix"))
    assert mixture.recall.mean == 0.75
    assert [c.source for c in found.controls] == ["real", "mean_row"]


def test_a_bare_run_of_a_measured_cell_does_not_hide_it(store: MlflowClient, tmp_path: Path) -> None:
    run_id = log_measured(store, tmp_path)
    bare = log(store, dim3=2, error=0.1)
    (comparison,) = compare(read(store, "e").cells)
    assert [c.run_id for c in measured(comparison, (2,))[0].cells] == [run_id]
    (doubled,) = comparison.doubled
    assert (doubled.run_id, doubled.why) == (bare, f"a measured run of the same cell finished: {run_id}")


def test_a_latent_is_in_use_by_the_threshold_of_the_metric() -> None:
    """Two constants, as analysis does not import models."""
    assert IN_USE == IN_USE_NATS == 0.05
