"""This version reads and continues the stores of earlier ones."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pytest
from mlflow import MlflowClient

from elbowroom.analysis.assignment import report as report_assignment
from elbowroom.analysis.report import main as report
from elbowroom.studies.scan import scan
from elbowroom.tracking.config import RunConfig
from elbowroom.tracking.data import load_dataset
from elbowroom.tracking.logged_model import load_reducer
from elbowroom.tracking.store.names import VERSION, Artifact, Kind, Tag
from tests.upgrades import stores

pytestmark = pytest.mark.integration

KEPT = sorted(stores.FOLDER.glob("*.tar.xz"))


@pytest.fixture(params=KEPT, ids=lambda path: path.name.partition(".")[0])
def kept(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    """The folder of the test with one of the stores in it; what was read there when it was written."""
    read = stores.restore(request.param, tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", stores.EXPERIMENT)
    monkeypatch.setenv("ELBOWROOM_CACHE", str(tmp_path / "cache"))
    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(f"sqlite:///{tmp_path}/mlflow.db")
    yield read
    mlflow.set_tracking_uri(before)


def cells() -> list[Any]:
    client = MlflowClient()
    (experiment,) = [e.experiment_id for e in client.search_experiments() if e.name == stores.EXPERIMENT]
    return [r for r in client.search_runs([experiment]) if r.data.tags.get(Tag.KIND) == Kind.RUN]


def test_this_schema_has_a_store() -> None:
    """A new VERSION of the schema gets one (`python -m tests.upgrades.stores`), and the older ones stay."""
    names = [path.name for path in KEPT]
    assert names == [f"schema-{number}.tar.xz" for number in range(1, int(VERSION) + 1)]


def numbers(read: dict[str, Any]) -> dict[str, Any]:
    """Return the verdicts and the errors by dim3 of a report; its words and its rule of choice differ by version."""
    found: dict[str, Any] = {}
    for comparison in read["comparisons"]:
        for model in comparison["models"]:
            verdict = model["verdict"]
            points = [(p["dim3"], p["error"], p["test"], p["seeds"]) for p in model["points"]]
            found[model["label"]] = (verdict["kind"], points)
    return found


def test_the_report_reads_the_same_numbers(kept: dict[str, Any], tmp_path: Path) -> None:
    before = Path("mlflow.db").read_bytes()
    assert report(["--out", "again", "--no-log"]) == 0
    assert Path("mlflow.db").read_bytes() == before  # a copy was read: an older MLflow can still open the store
    now = numbers(json.loads(Path("again/result.json").read_text()))
    then = numbers(kept)
    assert set(now) == set(then) == {"pca", "ae", "vae"}
    for model, (kind, points) in then.items():
        assert now[model][0] == kind
        np.testing.assert_allclose(now[model][1], points, rtol=1e-9)
        assert [p[0] for p in points] == list(stores.DIM3)


def test_the_assignment_is_answered(kept: dict[str, Any], tmp_path: Path) -> None:
    report_assignment(dataset="digits", epochs=stores.GRID.base.epochs, show=(2,), out=tmp_path, log=False)
    page = (tmp_path / "assignment.html").read_text()
    assert page.count("<img") >= 8  # all four sections have their figures


def test_configurations_are_read(kept: dict[str, Any]) -> None:
    """A cell is known again by its key: another would be trained a second time."""
    then = replace(stores.GRID, base=replace(stores.GRID.base, edition=1))
    asked = {(c.model, c.dim3, c.seed): c for c in then.cells()}
    stored = [RunConfig.from_json(r.data.tags[Tag.CONFIG]) for r in cells()]
    assert len(stored) == len(asked) == 20
    for config in stored:
        assert config == asked[config.model, config.dim3, config.seed]


def test_models_give_the_numbers_they_gave_by_their_own_code_and_by_ours(kept: dict[str, Any]) -> None:
    x_test = load_dataset("digits").x_test
    runs = [run.info.run_id for run in cells() if (run.data.params["dim3"], run.data.params["seed"]) == ("2", "0")]
    assert len(runs) == 3
    for run_id in runs:

        def stored(name: str, run_id: str = run_id) -> np.ndarray:
            return np.load(mlflow.artifacts.download_artifacts(run_id=run_id, artifact_path=name))

        ours = load_reducer(run_id)
        theirs = mlflow.pyfunc.load_model(f"runs:/{run_id}/{Artifact.MODEL}")
        assert type(theirs.get_raw_model()).__module__.startswith("elbowroom_")
        codes, originals = stored(Artifact.CODES), stored(Artifact.ORIGINALS)
        for op, given, mine, wanted in (
            ("encode", x_test, ours.encode(x_test), codes),
            ("reconstruct", originals, ours.reconstruct(originals), stored(Artifact.RECONSTRUCTIONS)),
            ("decode", codes, ours.decode(codes), ours.reconstruct(x_test)),
        ):
            np.testing.assert_allclose(mine, wanted, atol=1e-4, err_msg=op)
            np.testing.assert_allclose(theirs.predict(given, params={"op": op}), wanted, atol=1e-4, err_msg=op)
        drawn = theirs.predict(x_test[:4], params={"op": "sample", "seed": 5})
        np.testing.assert_allclose(ours.sample(4, np.random.default_rng(5)), drawn, atol=1e-4)


@pytest.mark.usefixtures("cells_here")
def test_a_study_that_is_complete_runs_nothing_again(kept: dict[str, Any], tmp_path: Path) -> None:
    before = {r.info.run_id for r in cells()}
    assert scan(stores.GRID, stores.options(tmp_path)).complete
    assert {r.info.run_id for r in cells()} == before


@pytest.mark.slow
def test_studies_go_on(kept: dict[str, Any], tmp_path: Path) -> None:
    before = {r.info.run_id for r in cells()}
    wider = replace(stores.GRID, dim3=stores.GRID.dim3 | {"pca": (*stores.DIM3, 5)})
    assert scan(wider, stores.options(tmp_path)).complete
    new = [r for r in cells() if r.info.run_id not in before]
    assert [r.info.run_name for r in new] == ["pca-d5-s0"]
    (study,) = {r.data.tags[Tag.PARENT] for r in cells()}
    assert study == new[0].data.tags[Tag.PARENT]
    assert stores.tune_study(tmp_path, 3) == 0
    client = MlflowClient()
    runs = client.search_runs([new[0].info.experiment_id])
    assert sum(r.data.tags.get(Tag.KIND) == Kind.TRIAL for r in runs) == 3
