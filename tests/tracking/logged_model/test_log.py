"""Logged models, opened in a process without a checkout."""

import json
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient
from mlflow.entities import LoggedModel
from mlflow.pyfunc.scoring_server import infer_and_parse_data

from elbowroom.models import MODELS, Reducer
from elbowroom.tracking.config import RunConfig
from elbowroom.tracking.data import load_dataset
from elbowroom.tracking.logged_model import load_reducer
from elbowroom.tracking.run import execute
from elbowroom.tracking.run.execution import prepare
from elbowroom.tracking.store.errors import BadInput, RunFailed
from tests.conftest import BIN, environment, free_port, wait_for
from tests.tracking import own

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("no_figures")]

# A stranger's process: no checkout on its path, and modules of the same names as the shipped ones.
STRANGER = """
import sys
import mlflow, numpy as np
import models, own_layers
assert models.MINE == 1
x = np.load("x.npy")
for number, uri in enumerate(sys.argv[1:]):
    model = mlflow.pyfunc.load_model(uri)
    z = model.predict(x, params={"op": "encode"})
    np.savez(f"{number}.npz", reconstruct=model.predict(x), encode=z, decode=model.predict(z, params={"op": "decode"}),
             sample=model.predict(x[:3], params={"op": "sample", "seed": 5}))
assert sys.modules["models"] is models and models.MINE == 1
"""

OWN_REDUCER = Path(own.__file__).read_text()
"""A module that a user may write: `Keep`, and `factory`."""


def test_a_model_that_the_store_keeps_elsewhere_is_not_written(
    store: MlflowClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    create = MlflowClient.create_logged_model

    def elsewhere(client: MlflowClient, *given: Any, **named: Any) -> LoggedModel:
        logged = create(client, *given, **named)
        logged.artifact_location = "ftp://host/x"
        return logged

    monkeypatch.setattr(MlflowClient, "create_logged_model", elsewhere)
    monkeypatch.setattr(mlflow.models.Model, "log", None)
    with pytest.raises(RunFailed, match=r"^model m-\w+ keeps its files on another host, ftp://host/x; allowed"):
        execute(RunConfig(model="pca", dataset="digits", artifacts="full"))


def trained_again(config: RunConfig) -> Reducer:
    """Train the configured model in this process; its seed makes its numbers reproducible."""
    prepared = prepare(config)
    return prepared.model.fit(prepared.split.x_train, x_val=prepared.split.x_val)


@pytest.mark.slow
def test_models_load_without_the_checkout_and_give_the_same_numbers(
    store: MlflowClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "own_reducer.py").write_text(OWN_REDUCER)
    (tmp_path / "own_factory.py").write_text("from own_layers import factory\n")
    (tmp_path / "own_layers.py").write_text(OWN_REDUCER)
    monkeypatch.syspath_prepend(tmp_path)
    names = [*MODELS, "own_reducer:Keep", "own_factory:factory"]
    configs = [RunConfig(model=m, dataset="digits", epochs=2, dim2=16, dim3=3, threads=1) for m in names]
    uris = [f"runs:/{execute(config).run_id}/model" for config in configs]

    x = load_dataset("digits").x_test
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    for name in ("models.py", "own_layers.py"):
        (elsewhere / name).write_text("MINE = 1\n")
    np.save(elsewhere / "x.npy", x)
    env = environment(MLFLOW_TRACKING_URI=store.tracking_uri, PYTHONPATH="")
    command = [sys.executable, "-c", STRANGER, *uris]
    done = subprocess.run(command, cwd=elsewhere, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr

    for number, config in enumerate(configs):  # one process for all: importing torch and mlflow takes seconds
        out, mine = np.load(elsewhere / f"{number}.npz"), trained_again(config)
        sample = mine.sample(3, np.random.default_rng(5))
        wanted = {"reconstruct": mine.reconstruct(x), "encode": mine.encode(x), "decode": mine.reconstruct(x)}
        for op, rows in {**wanted, "sample": sample}.items():
            assert out[op].dtype == np.float32
            assert np.allclose(out[op], rows, atol=1e-5), (config.model, op)


@pytest.fixture(scope="module")
def loaded(shared_store: MlflowClient) -> mlflow.pyfunc.PyFuncModel:
    run_id = execute(RunConfig(model="ae", dataset="digits", epochs=1, dim2=16, dim3=3)).run_id
    return mlflow.pyfunc.load_model(f"runs:/{run_id}/model")


@pytest.mark.parametrize(
    ("columns", "op", "message"),
    [
        (63, "reconstruct", "takes rows of 64 numbers"),
        (64, "decode", "takes rows of 3 numbers"),
        (64, "explode", "unknown op 'explode'; allowed: reconstruct, encode"),
    ],
)
def test_a_wrong_width_or_op_is_refused(loaded: mlflow.pyfunc.PyFuncModel, columns: int, op: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        loaded.predict(np.zeros((2, columns), np.float32), params={"op": op})


def test_rows_that_need_float64_keep_their_digits(store: MlflowClient, tmp_path: Path) -> None:
    x = np.random.default_rng(0).standard_normal((60, 4)) + 1e8
    np.save(tmp_path / "far.npy", x)
    result = execute(RunConfig(model="pca", dim3=4, dataset=str(tmp_path / "far.npy")))
    model = mlflow.pyfunc.load_model(f"runs:/{result.run_id}/model")
    codes = model.predict(x, params={"op": "encode"})
    assert model.predict(codes, params={"op": "decode"}) == pytest.approx(x, rel=0, abs=1e-5)


def test_numbers_of_any_type_and_rest_bodies_are_taken(loaded: mlflow.pyfunc.PyFuncModel) -> None:
    x = load_dataset("digits").x_test[:3]
    codes = loaded.predict(x, params={"op": "encode"})
    bodies = [{"dataframe_split": {"data": x.tolist()}}, {"inputs": x.tolist()}, {"instances": x.tolist()}]
    for given in (x.astype(np.float64), pd.DataFrame(x), *map(infer_and_parse_data, bodies)):
        assert loaded.predict(given, params={"op": "encode"}) == pytest.approx(codes, abs=1e-6)


def test_a_table_is_taken_by_its_columns_as_in_training(store: MlflowClient, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    table = pd.DataFrame(rng.normal(size=(60, 3)), columns=list("abc")).assign(kind=np.resize(["cat", "dog"], 60))
    table.loc[::9, "b"] = np.nan
    table.to_csv(tmp_path / "mine.csv", index=False)
    config = RunConfig(
        model="pca", dataset=str(tmp_path / "mine.csv"), missing="median", categories="one-hot", scale="columns"
    )
    model = mlflow.pyfunc.load_model(f"runs:/{execute(config).run_id}/model")
    data = load_dataset(config)
    rows = data.x_test * data.scaler.scale + data.scaler.center  # type: ignore[union-attr]
    order = np.random.default_rng(0).permutation(60)[50:]

    shuffled = table.iloc[order][["kind", "c", "a", "b"]].assign(note="ignored")
    codes = model.predict(rows, params={"op": "encode"})
    assert model.predict(shuffled, params={"op": "encode"}) == pytest.approx(codes, abs=1e-5)
    assert model.predict(pd.DataFrame(rows), params={"op": "encode"}) == pytest.approx(codes, abs=1e-6)
    with pytest.raises(ValueError, match="the table lacks the columns b, kind"):
        model.predict(table[["a", "c"]], params={"op": "encode"})


def test_a_second_model_that_a_repeated_request_made_is_passed_over(
    shared_store: MlflowClient, loaded: mlflow.pyfunc.PyFuncModel
) -> None:
    run = shared_store.get_run(shared_store.get_logged_model(loaded.model_id).source_run_id)
    shared_store.create_logged_model(run.info.experiment_id, name="model", source_run_id=run.info.run_id)
    assert load_reducer(run.info.run_id).dim3 == 3


def test_nothing_in_the_artifact_is_a_pickle(loaded: mlflow.pyfunc.PyFuncModel) -> None:
    folder = Path(mlflow.artifacts.download_artifacts(f"models:/{loaded.model_id}"))
    suffixes = {p.suffix for p in folder.rglob("*") if p.is_file()}
    assert suffixes <= {".py", ".safetensors", ".json", ".yaml", ".yml", ".txt", ""}


def test_a_state_that_no_array_holds_is_refused_before_the_run(
    store: MlflowClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = OWN_REDUCER.replace("self.mean = x.mean(axis=0)", "self.mean = x.mean(axis=0); self.secret = object()")
    (tmp_path / "own_object.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    refusal = r"model 'own_object:Keep': state: raised TypeError: Keep\.secret is no array, number or string"
    with pytest.raises(BadInput, match=refusal):
        execute(RunConfig(model="own_object:Keep", dataset="digits"))
    assert store.search_runs([e.experiment_id for e in store.search_experiments()]) == []


@pytest.mark.slow
def test_models_serve_answers_a_request(store: MlflowClient, tmp_path: Path) -> None:
    config = RunConfig(model="vae", dataset="digits", epochs=1, dim2=16, threads=1)
    run_id, port = execute(config).run_id, free_port()
    command = [BIN / "mlflow", "models", "serve", "-m", f"runs:/{run_id}/model", "--env-manager", "local"]
    env = environment(MLFLOW_TRACKING_URI=store.tracking_uri, PYTHONPATH="")
    command += ["-h", "127.0.0.1", "-p", str(port)]
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen(command, cwd=tmp_path, env=env, stdout=log, stderr=log)
    address = f"http://127.0.0.1:{port}"
    try:
        wait_for(f"{address}/ping", process, tmp_path / "log")
        x = load_dataset("digits").x_test[:2]
        body = json.dumps({"inputs": x.tolist(), "params": {"op": "encode"}}).encode()
        request = urllib.request.Request(f"{address}/invocations", body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=60) as answer:
            codes = np.array(json.load(answer)["predictions"])
        assert np.allclose(codes, trained_again(config).encode(x), atol=1e-5)
    finally:
        process.terminate()
        process.wait(30)
