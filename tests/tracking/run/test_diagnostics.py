"""What `--measure` adds to a run, and that it changes nothing else."""

import tracemalloc
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from mlflow import MlflowClient
from mlflow.entities import Run

from elbowroom.models import MODELS, PCA
from elbowroom.models.measures.generation import GENERATORS
from elbowroom.tracking.config import RunConfig
from elbowroom.tracking.data.reference_samples import References
from elbowroom.tracking.data.shared import Material
from elbowroom.tracking.run import diagnostics, execute
from elbowroom.tracking.store.names import Artifact, Metric, Quality, Source, Tag, sample_artifact, sample_metric
from elbowroom.tracking.train import parser
from tests.tracking.run.test_execution import array, artifacts

pytestmark = pytest.mark.integration

QUICK = {"dataset": "digits", "epochs": 30, "lr": 3e-3, "dim2": 32, "artifacts": "light"}


def run_of(store: MlflowClient, **fields: object) -> Run:
    return store.get_run(execute(RunConfig(**{**QUICK, **fields})).run_id)


def test_the_generators_are_those_that_the_store_has_names_for() -> None:
    assert set(GENERATORS) == {Source.OWN, Source.NORMAL, Source.MIXTURE}


@pytest.fixture(scope="module")
def measured(shared_store: MlflowClient) -> Callable[[str], Run]:
    """A measured run of a model at dim3 3; each trained once."""
    return cache(lambda model: run_of(shared_store, model=model, dim3=3, measure="yes"))


@pytest.mark.parametrize("model", MODELS)
def test_every_model_is_measured(shared_store: MlflowClient, measured: Callable[[str], Run], model: str) -> None:
    run = measured(model)
    metrics = run.data.metrics
    for source in Source:
        assert 0 <= metrics[sample_metric(source, Quality.PRECISION)] <= 1
        assert 0 <= metrics[sample_metric(source, Quality.RECALL)] <= 1
        assert array(shared_store, run.info.run_id, sample_artifact(source)).shape == (16, 64)
    assert metrics[sample_metric(Source.MEAN_ROW, Quality.RECALL)] == 0
    assert metrics[sample_metric(Source.REAL, Quality.OUTSIDE)] == 0
    assert metrics[sample_metric(Source.REAL, Quality.RECALL)] > 0.8
    assert metrics[Metric.SAME_DRAW] == 0 < metrics[Metric.NEW_DRAW]
    assert 0.5 < metrics[Metric.TRUSTWORTHINESS] <= 1
    pushes = array(shared_store, run.info.run_id, Artifact.ROBUSTNESS)
    assert pushes[0, 1] == pytest.approx(metrics[Metric.TEST_MSE], rel=1e-5)  # all 299 test rows, not pushed
    assert pushes[-1, 1] > pushes[0, 1]
    assert array(shared_store, run.info.run_id, Artifact.PLANE).shape == (15, 15, 64)
    assert array(shared_store, run.info.run_id, Artifact.PLANE_TICKS).shape == (2, 15)
    assert array(shared_store, run.info.run_id, Artifact.INTERPOLATIONS).shape == (5, 11, 64)


def test_a_vae_logs_its_posterior(shared_store: MlflowClient, measured: Callable[[str], Run]) -> None:
    run = measured("vae")
    kl = array(shared_store, run.info.run_id, Artifact.KL_BY_DIM)
    assert kl.shape == (3,)
    assert kl.sum() == pytest.approx(run.data.metrics[Metric.TEST_KL], rel=1e-5)
    means, drawn = (array(shared_store, run.info.run_id, a) for a in (Artifact.CODES, Artifact.CODES_SAMPLED))
    assert means.shape == drawn.shape
    assert (drawn.var(axis=0) > means.var(axis=0)).all()  # the noise comes on top
    assert run.data.metrics[Metric.SAMPLED_MSE] > run.data.metrics[Metric.TEST_MSE]


def test_pca_is_fitted_again(shared_store: MlflowClient, measured: Callable[[str], Run]) -> None:
    run = measured("pca")
    assert run.data.metrics[Metric.REFIT_DEGREES] < 1e-4
    assert run.data.metrics[Metric.OTHER_DEGREES] < 1e-3
    codes, other = (array(shared_store, run.info.run_id, a) for a in (Artifact.CODES, Artifact.CODES_REFIT))
    assert np.abs(other) == pytest.approx(np.abs(codes), abs=1e-3)
    assert run.data.tags[Tag.AUTO_SOLVER]


def test_without_the_flag_nothing_is_measured_and_with_it_nothing_else_changes(
    shared_store: MlflowClient, measured: Callable[[str], Run]
) -> None:
    bare = run_of(shared_store, model="vae", dim3=3)
    assert not [name for name in bare.data.metrics if name.startswith("measure/")]
    assert not [path for path in artifacts(shared_store, bare.info.run_id) if path.startswith("measure/")]
    clock = {Metric.FIT_SECONDS, Metric.SAMPLES_PER_SECOND}
    assert {k: v for k, v in bare.data.metrics.items() if k not in clock} == {
        k: v for k, v in measured("vae").data.metrics.items() if not k.startswith("measure/") and k not in clock
    }


def test_one_dimension_and_a_collapsed_vae_are_measured_as_far_as_they_can(shared_store: MlflowClient) -> None:
    line = run_of(shared_store, model="ae", dim3=1, measure="yes")
    assert array(shared_store, line.info.run_id, Artifact.PLANE).shape == (1, 15, 64)
    dead = run_of(shared_store, model="vae", dim3=2, beta=1e6, epochs=20, measure="yes")
    assert dead.data.metrics[Metric.TEST_ACTIVE_UNITS] == 0
    assert dead.data.metrics[sample_metric(Source.OWN, Quality.RECALL)] < 0.05


def test_few_rows_have_no_precision() -> None:
    rows = np.random.default_rng(0).random((6, 4)).astype(np.float32)
    real = References.of(rows, rows).real
    assert set(real.numbers) == {Quality.OUTSIDE, Quality.NEAREST}
    assert real.numbers[Quality.NEAREST] == 0


def test_references_are_made_once(monkeypatch: pytest.MonkeyPatch) -> None:
    material = Material.load(RunConfig(dataset="digits"))
    assert material.references is material.references


def test_the_flag_may_stand_alone() -> None:
    assert parser().parse_args(["--measure"]).measure == "yes"
    assert parser().parse_args([]).measure == "no"


def test_rows_that_are_not_finite_have_no_quality() -> None:
    rows = np.random.default_rng(0).random((20, 4)).astype(np.float32)
    references = References.of(rows, rows)
    assert references.judge(np.full((20, 4), np.inf, dtype=np.float32)).numbers == {}
    assert (
        references.judge(rows, np.full((10, 4), np.nan, dtype=np.float32)).numbers.keys()
        == references.real.numbers.keys()
    )


def test_lines_of_codes_are_taken_in_blocks_with_the_numbers_of_one(monkeypatch: pytest.MonkeyPatch) -> None:
    material = Material.load(RunConfig(dataset="digits"))
    model = PCA(dim3=3).fit(material.split.x_train)
    codes = model.encode(material.data.x_test)
    at_once = diagnostics.measure(model, material, codes)
    monkeypatch.setattr(diagnostics, "PATHS_VALUES", 1)
    in_blocks = diagnostics.measure(model, material, codes)
    assert in_blocks.metrics == pytest.approx(at_once.metrics, rel=1e-5)
    lines = in_blocks.arrays[Artifact.INTERPOLATIONS]
    assert lines.shape == (5, 11, 64)
    assert lines == pytest.approx(at_once.arrays[Artifact.INTERPOLATIONS], abs=1e-5)


def test_wide_rows_are_measured_in_the_memory_of_some_copies_of_them(tmp_path: Path) -> None:
    rows = np.random.default_rng(0).random((30, 10_000), dtype=np.float32)
    np.save(tmp_path / "wide.npy", rows)
    material = Material.load(RunConfig(dataset=str(tmp_path / "wide.npy")))
    model = PCA(dim3=2).fit(material.split.x_train)
    codes = model.encode(material.data.x_test)
    tracemalloc.start()
    try:
        diagnostics.measure(model, material, codes)
        assert tracemalloc.get_traced_memory()[1] < 5e8  # 1.8e9 where all lines are decoded at once
    finally:
        tracemalloc.stop()
