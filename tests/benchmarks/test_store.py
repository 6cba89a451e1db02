"""The store that the benchmark makes is like a real one, and reading it asks for nothing run by run."""

from collections import Counter
from collections.abc import Iterator
from contextlib import chdir
from functools import wraps
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pytest
from mlflow import MlflowClient
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

from benchmarks.common import spread
from benchmarks.plain import scratch
from benchmarks.store import Cost, database, growth, measure
from benchmarks.store_fill import EPOCHS, Cell, Errors, fill, grid, kl_by_latent, metrics
from elbowroom.analysis.findings.find import find
from elbowroom.analysis.runs import query
from elbowroom.analysis.runs.comparison import compare
from elbowroom.models.measures.errors import units_in_use
from elbowroom.tracking.store.names import EXPERIMENT, Artifact, Metric, Tag

pytestmark = pytest.mark.integration

RUNS, ROWS = 60, 100


@pytest.fixture(scope="module")
def uri(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("benchmark")
    with chdir(folder):  # MLflow makes the folder `mlruns` where the process works
        return fill(folder, RUNS, ROWS)


@pytest.fixture
def requests(monkeypatch: pytest.MonkeyPatch) -> Iterator[Counter[str]]:
    """How often each method of the store is called, but for those that it calls of itself."""
    counts: Counter[str] = Counter()
    inside = []

    def counted(name: str, method: Any) -> Any:
        @wraps(method)
        def call(*args: Any, **kwargs: Any) -> Any:
            if not inside:
                counts[name] += 1
            inside.append(name)
            try:
                return method(*args, **kwargs)
            finally:
                inside.pop()

        return call

    for name in dir(SqlAlchemyStore):
        method = getattr(SqlAlchemyStore, name)
        if not name.startswith("_") and callable(method):
            monkeypatch.setattr(SqlAlchemyStore, name, counted(name, method))
    return counts


def test_reading_asks_for_pages_and_nothing_run_by_run(
    uri: str, requests: Counter[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    read = query.read(MlflowClient(uri), EXPERIMENT)
    assert requests == {"get_experiment_by_name": 1, "search_runs": 2}  # the runs, the studies
    requests.clear()
    monkeypatch.setattr("elbowroom.tracking.store.client._PAGE", 25)
    assert len(query.read(MlflowClient(uri), EXPERIMENT).cells) == len(read.cells) == RUNS
    assert requests == {"get_experiment_by_name": 1, "search_runs": 4}  # three pages of runs, one of studies


def test_nothing_is_left_out_and_every_model_has_a_curve(uri: str) -> None:
    mlflow.set_tracking_uri(uri)
    read = query.read(MlflowClient(uri), EXPERIMENT)
    assert (read.left_out, read.unfinished, len(read.studies)) == ([], [], 1)
    (comparison,) = compare(read.cells)
    dim3, cells = grid(RUNS)
    assert {s.label: s.dim3 for s in comparison.series} == {"pca": dim3, "ae": dim3, "vae": dim3}
    assert sorted((c.model, c.dim3, c.seed) for c in read.cells) == sorted(cells)
    (found,) = find(read).comparisons
    assert {m.label for m in found.models if m.verdict is not None} == {"pca", "ae", "vae"}
    assert all(p.low is not None and p.low < p.error for m in found.models for p in m.points)  # the rows are there
    assert all(m.against for m in found.models if m.trained)
    assert found.pca_curve is not None
    assert found.intrinsic


def test_every_purpose_but_rank_has_its_evidence(uri: str) -> None:
    mlflow.set_tracking_uri(uri)
    (found,) = find(query.read(MlflowClient(uri), EXPERIMENT), "keep:0.50").comparisons
    missing = {(m.label, c.purpose) for m in found.models for c in m.purposes if c.missing and not c.rows}
    assert missing == {("pca", "rank"), ("ae", "rank")}
    assert {m.label for m in found.models if any(c.purpose == "generate" for c in m.purposes)} == {"vae"}
    assert all(m.choice.rows == ROWS and not m.choice.note.startswith("chosen on the test") for m in found.models)
    assert all(m.columns for m in found.models if m.trained)


def test_a_vae_has_as_many_latents_with_a_kl_as_units_in_use() -> None:
    cell, rows = Cell("vae", 50, 0), np.full(ROWS, 0.01, dtype=np.float32)
    kl = kl_by_latent(cell)
    assert kl.sum() == pytest.approx(25 * (1 - np.exp(-5)))
    assert units_in_use(kl) == metrics(cell, Errors(rows, rows))[Metric.TEST_UNITS_IN_USE] == 20


def test_a_run_has_what_a_real_one_has(uri: str) -> None:
    client = MlflowClient(uri)
    (run,) = client.search_runs(["1"], f"params.model = 'vae' and tags.`{Tag.STUDY}` != ''", max_results=1)
    history = client.get_metric_history(run.info.run_id, Metric.VAL_ELBO)
    assert [m.step for m in history] == list(range(1, EPOCHS + 1))
    assert run.data.metrics[Metric.VAL_ELBO] == history[-1].value
    assert {d.dataset.name for d in run.inputs.dataset_inputs} == {"mnist"}
    folder = Path(run.info.artifact_uri.removeprefix("file://"))
    errors = np.load(folder / Artifact.ERRORS_TEST)
    assert errors.shape == (ROWS,)
    assert float(errors.mean(dtype=np.float64)) == run.data.metrics[Metric.TEST_MSE]
    assert {f.path for f in client.list_artifacts(run.info.run_id, "examples")} == {
        Artifact.ORIGINALS,
        Artifact.RECONSTRUCTIONS,
    }


@pytest.mark.soak
@pytest.mark.parametrize("backend", ["sqlite", pytest.param("postgresql", marks=pytest.mark.server)])
def test_a_store_is_filled_read_and_written_on_each_backend(
    backend: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("benchmarks.store.WRITTEN", 2)
    with scratch() as folder, database(backend, Path(folder)) as create:
        cost = measure(backend, 30, 10, tmp_path / "artifacts", create("runs"))
    assert cost[:2] == (backend, 30)
    assert cost.read_ms == pytest.approx(1000 * cost.read_s.median / 30)
    assert cost.write_ms.least > 0


def test_growth_is_of_the_cost_of_one_run() -> None:
    def cost(runs: int, write_ms: float, read_s: float) -> Cost:
        return Cost("sqlite", runs, spread([write_ms]), spread([read_s]), spread([1.0]))

    assert growth([cost(10_000, 60, 4.0), cost(100, 50, 0.02)]) == [
        "sqlite: from 100 to 10,000 runs, writing one takes 1.20 times as long and reading one 2.00 times"
    ]
