"""Logged models of before safetensors, whose state is weights.npz: both ways to open one give the numbers they gave.

logged-models.tar.xz holds the model folders of three runs on digits (dim2 8, dim3 3, 2 epochs), as commit 8c350bf
wrote them, and what `mlflow.pyfunc.load_model` answered then for 16 test rows.
"""

import shutil
import tarfile
from pathlib import Path

import mlflow
import numpy as np
import pytest
from mlflow import MlflowClient

from elbowroom.tracking.logged_model import load_reducer

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("kept")
    with tarfile.open(Path(__file__).with_name("logged-models.tar.xz")) as archive:
        archive.extractall(folder, filter="data")
    return folder


@pytest.mark.parametrize("name", ["pca", "ae", "vae"])
def test_a_logged_model_of_before_gives_the_same_numbers(store: MlflowClient, kept: Path, name: str) -> None:
    with np.load(kept / f"{name}.npz") as archive:
        then = dict(archive)
    experiment = store.create_experiment("kept")
    run = store.create_run(experiment)
    logged = store.create_logged_model(experiment, name="model", source_run_id=run.info.run_id)
    shutil.copytree(kept / name, logged.artifact_location, dirs_exist_ok=True)
    store.finalize_logged_model(logged.model_id, "READY")

    def same(op: str, now: np.ndarray) -> None:
        np.testing.assert_allclose(now, then[op], rtol=1e-4, atol=1e-5, err_msg=op)

    mine = load_reducer(run.info.run_id)
    same("encode", mine.encode(then["x"]))
    same("reconstruct", mine.reconstruct(then["x"]))
    same("decode", mine.decode(then["encode"]))
    same("sample", mine.sample(4, np.random.default_rng(5)))

    shipped = mlflow.pyfunc.load_model(logged.model_uri)
    assert type(shipped.get_raw_model()).__module__.startswith("elbowroom_f03311358e62.models")
    for op, given in {"encode": "x", "reconstruct": "x", "decode": "encode"}.items():
        same(op, shipped.predict(then[given], params={"op": op}))
    same("sample", shipped.predict(then["x"][:4], params={"op": "sample", "seed": 5}))
