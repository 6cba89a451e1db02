"""The measures that `--measure` adds to a run, which change nothing else."""

import tracemalloc
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from mlflow import MlflowClient

from elbowroom.models import MODELS, PCA, Array, Diagnostics
from elbowroom.models.measures.generation import GENERATORS
from elbowroom.tracking.config import RunConfig
from elbowroom.tracking.data.prepared_data import PreparedData
from elbowroom.tracking.data.reference_samples import References
from elbowroom.tracking.run import diagnostics, execute
from elbowroom.tracking.run.execution import evaluate, fit, prepare
from elbowroom.tracking.store.names import Artifact, Metric, Quality, Source, Tag, sample_artifact, sample_metric
from elbowroom.tracking.store.recorder import RunRecord
from elbowroom.tracking.train import parser
from tests.tracking.run.test_execution import artifacts

pytestmark = pytest.mark.integration

QUICK = {"dataset": "digits", "epochs": 30, "lr": 3e-3, "dim2": 32, "artifacts": "light"}


def test_the_generators_are_those_that_the_store_has_names_for() -> None:
    assert set(GENERATORS) == {Source.OWN, Source.NORMAL, Source.MIXTURE}


@cache
def measured(model: str, **fields: object) -> RunRecord:
    """The record of a measured run at dim3 3, computed without a store; each trained once."""
    run = prepare(RunConfig(**{**QUICK, "dim3": 3, "model": model, **fields}))
    record = evaluate(run, fit(run))
    return record | diagnostics.diagnose(run.model, run.prepared_data, record.arrays[Artifact.CODES])


def fitted(dataset: str, dim3: int) -> tuple[PCA, PreparedData, Array]:
    """The arguments of `diagnose`, for PCA."""
    prepared_data = PreparedData.load(RunConfig(dataset=dataset))
    model = PCA(dim3=dim3).fit(prepared_data.split.x_train)
    return model, prepared_data, model.encode(prepared_data.data.x_test)


@pytest.mark.parametrize("model", MODELS)
def test_every_model_is_measured(model: str) -> None:
    metrics, arrays = measured(model).metrics, measured(model).arrays
    for source in Source:
        assert 0 <= metrics[sample_metric(source, Quality.PRECISION)] <= 1
        assert 0 <= metrics[sample_metric(source, Quality.RECALL)] <= 1
        assert arrays[sample_artifact(source)].shape == (16, 64)
    assert metrics[sample_metric(Source.MEAN_ROW, Quality.RECALL)] == 0
    assert metrics[sample_metric(Source.REAL, Quality.OUTSIDE)] == 0
    assert metrics[sample_metric(Source.REAL, Quality.RECALL)] > 0.8
    sharp = [metrics[sample_metric(s, Quality.SHARPNESS)] for s in (Source.MEAN_ROW, Source.RECONSTRUCTED, Source.REAL)]
    assert sharp == sorted(sharp)
    assert metrics[Metric.SAME_DRAW] == 0 < metrics[Metric.NEW_DRAW]
    assert 0.5 < metrics[Metric.TRUSTWORTHINESS] <= 1
    pushes = arrays[Artifact.ROBUSTNESS]
    assert pushes[0, 1] == pytest.approx(metrics[Metric.TEST_MSE], rel=1e-5)  # all 299 test rows, not pushed
    assert pushes[-1, 1] > pushes[0, 1]
    assert arrays[Artifact.PLANE].shape == (15, 15, 64)
    assert arrays[Artifact.PLANE_TICKS].shape == (2, 15)
    assert arrays[Artifact.INTERPOLATIONS].shape == (5, 11, 64)
    assert (Artifact.HIDDEN_ENTRIES in arrays) == (Metric.COPIED_COLUMNS in metrics) == (model != "vae")
    if model != "vae":
        errors, of_mean_row = arrays[Artifact.HIDDEN_ENTRIES], arrays[Artifact.HIDDEN_ENTRIES_MEAN]
        assert errors.shape == of_mean_row.shape == (4, 149)  # of the validation rows
        assert of_mean_row.mean() == pytest.approx(0.8897, abs=1e-3)
        assert np.isfinite(errors).all()


def test_a_vae_has_its_posterior() -> None:
    record = measured("vae")
    means, drawn = record.arrays[Artifact.CODES], record.arrays[Artifact.CODES_SAMPLED]
    assert means.shape == drawn.shape
    noise = (drawn - means) / record.arrays[Artifact.CODES_SD]
    assert noise.std() == pytest.approx(1, abs=0.1)
    assert (drawn.var(axis=0) > means.var(axis=0)).all()  # the noise comes on top
    assert record.metrics[Metric.SAMPLED_MSE] > record.metrics[Metric.TEST_MSE]
    assert record.metrics[Metric.TEST_ELBO] < record.metrics[Metric.WEIGHTED_BOUND]
    assert 0 < record.metrics[Metric.WEIGHTED_BOUND_SE] < 1


def test_pca_is_fitted_again() -> None:
    record = measured("pca")
    assert record.metrics[Metric.REFIT_DEGREES] < 1e-4
    assert record.metrics[Metric.OTHER_DEGREES] < 1e-3
    codes, other = record.arrays[Artifact.CODES], record.arrays[Artifact.CODES_REFIT]
    assert np.abs(other) == pytest.approx(np.abs(codes), abs=1e-3)
    assert record.tags[Tag.AUTO_SOLVER] == "covariance_eigh"
    assert record.arrays[Artifact.HIDDEN_ENTRIES].mean() < 0.75


def test_diagnostics_of_a_model_of_ones_own_are_named_after_it(monkeypatch: pytest.MonkeyPatch) -> None:
    extra = Diagnostics({"slope": 2.0}, {"axes": np.ones(3, np.float32)}, {"solver": "mine"})
    monkeypatch.setattr(PCA, "extra_diagnostics", lambda *_: extra)
    record = measured("pca", dim3=2)
    assert record.metrics["measure/slope"] == 2
    assert record.arrays["measure/axes.npy"].tolist() == [1, 1, 1]
    assert record.tags["elbowroom.measure.solver"] == "mine"


@pytest.mark.usefixtures("no_figures")
def test_the_flag_adds_measures_to_a_run_and_changes_nothing_else(store: MlflowClient) -> None:
    assert (parser().parse_args([]).measure, parser().parse_args(["--measure"]).measure) == ("no", "yes")
    bare, full = (store.get_run(execute(RunConfig(**QUICK, measure=flag)).run_id) for flag in ("no", "yes"))
    numbers = dict(full.data.metrics)
    assert numbers[Metric.MEASURE_SECONDS] > 0
    for name in (Metric.FIT_SECONDS, Metric.SAMPLES_PER_SECOND):  # of the clock
        numbers[name] = bare.data.metrics[name]
    assert {name: numbers[name] for name in bare.data.metrics} == bare.data.metrics
    assert all(name.startswith("measure/") for name in numbers.keys() - bare.data.metrics.keys())
    added = artifacts(store, full.info.run_id) - artifacts(store, bare.info.run_id)
    assert added >= {Artifact.PLANE, Artifact.DRAWS, Artifact.CODES_SAMPLED}
    assert added - {Artifact.CODES_SAMPLED, Artifact.CODES_SD} == {
        path for path in added if path.startswith("measure/")
    }


def test_one_dimension_and_a_collapsed_vae_are_measured_as_far_as_they_can() -> None:
    assert measured("ae", dim3=1).arrays[Artifact.PLANE].shape == (1, 15, 64)
    dead = measured("vae", dim3=2, beta=1e6, epochs=20).metrics
    assert dead[Metric.TEST_ACTIVE_UNITS] == 0
    assert dead[sample_metric(Source.OWN, Quality.RECALL)] < 0.05


@pytest.mark.parametrize("rows", [6, 20])
def test_few_rows_have_no_precision_and_rows_that_are_not_finite_no_quality(rows: int) -> None:
    x = np.random.default_rng(0).random((rows, 4)).astype(np.float32)
    references = References.of(x, x)
    measurable = {Quality.OUTSIDE, Quality.NEAREST} | ({Quality.PRECISION, Quality.RECALL} if rows == 20 else set())
    assert references.real.numbers.keys() == measurable
    assert references.real.numbers[Quality.NEAREST] == 0
    assert references.judge(np.full_like(x, np.inf)).numbers == {}
    assert references.judge(x, np.full_like(x, np.nan)).numbers.keys() == measurable


def test_lines_of_codes_are_taken_in_blocks_with_the_numbers_of_one(monkeypatch: pytest.MonkeyPatch) -> None:
    given = fitted("digits", 3)
    assert given[1].references is given[1].references
    at_once = diagnostics.diagnose(*given)
    monkeypatch.setattr(diagnostics, "_PATHS_VALUES", 1)
    in_blocks = diagnostics.diagnose(*given)
    clock = {Metric.MEASURE_SECONDS: 0.0}
    assert dict(in_blocks.metrics) | clock == pytest.approx(dict(at_once.metrics) | clock, rel=1e-5)
    lines = in_blocks.arrays[Artifact.INTERPOLATIONS]
    assert lines == pytest.approx(at_once.arrays[Artifact.INTERPOLATIONS], abs=1e-5)


def test_wide_rows_are_measured_in_the_memory_of_some_copies_of_them(tmp_path: Path) -> None:
    np.save(tmp_path / "wide.npy", np.random.default_rng(0).random((30, 10_000), dtype=np.float32))
    given = fitted(str(tmp_path / "wide.npy"), 2)
    tracemalloc.start()
    try:
        diagnostics.diagnose(*given)
        assert tracemalloc.get_traced_memory()[1] < 5e8  # 1.8e9 where all lines are decoded at once
    finally:
        tracemalloc.stop()


def test_precision_and_recall_are_of_the_first_50_principal_components() -> None:
    x = np.random.default_rng(0).random((300, 60), dtype=np.float32)
    references = References.of(x[:200], x[200:])
    np.testing.assert_array_equal(references.held_out_features, PCA(dim3=50).fit(x[:200]).encode(x[200:250]))
