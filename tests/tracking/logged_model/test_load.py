"""A sound logged model loads; a tampered one is refused in one line, and nothing of it is run."""

import json
import pickle
import shutil
import sqlite3
import sys
from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pytest
from mlflow import MlflowClient
from safetensors.numpy import load_file, save_file

from elbowroom.models import MODELS, build
from elbowroom.tracking.config import RunConfig
from elbowroom.tracking.data import load_dataset
from elbowroom.tracking.logged_model import load_reducer
from elbowroom.tracking.logged_model.load import _unpack
from elbowroom.tracking.logged_model.log import _write_model
from elbowroom.tracking.logged_model.serving import ABOUT, WEIGHTS
from elbowroom.tracking.run import execute
from elbowroom.tracking.store.errors import BadInput
from tests.tracking.logged_model.test_log import OWN_REDUCER

pytestmark = pytest.mark.usefixtures("no_figures")

BEFORE = "weights.npz"

DIGITS = load_dataset("digits")
X = DIGITS.x_test
SMALL: dict[str, Any] = {"dataset": "digits", "epochs": 1, "dim2": 8, "dim3": 3, "threads": 1}


def written(folder: Path, model: str = "ae") -> Path:
    """A fitted model in a folder, as a run logs it."""
    settings = asdict(RunConfig(model=model, **SMALL)) | {"dim1": X.shape[1], "image_shape": DIGITS.image_shape}
    _write_model(folder, model, settings, build(model, settings).fit(X).state(), {"dtype": "float32"})
    return folder


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(tmp_path_factory.mktemp("sound"))


@pytest.fixture
def folder(sound: Path, tmp_path: Path) -> Path:
    """A copy to spoil."""
    return Path(shutil.copytree(sound, tmp_path / "model"))


def about(folder: Path, part: str, **changed: object) -> None:
    """Change the settings or the state in a model's JSON."""
    found = json.loads((folder / ABOUT).read_text())
    found[part] |= changed
    (folder / ABOUT).write_text(json.dumps(found))


def weights(folder: Path, **changed: np.ndarray) -> None:
    save_file(load_file(folder / WEIGHTS) | changed, folder / WEIGHTS)


def of_before(folder: Path, **arrays: np.ndarray) -> None:
    """The file of an earlier version, which is read in the place of the tensors, with these arrays."""
    np.savez(folder / BEFORE, **load_file(folder / WEIGHTS) | arrays)


@pytest.mark.parametrize("model", MODELS)
def test_a_sound_model_is_the_one_that_was_fitted(tmp_path: Path, model: str) -> None:
    folder = written(tmp_path, model)
    kept = json.loads((folder / ABOUT).read_text())["settings"]
    assert np.array_equal(_unpack(folder).encode(X), build(model, kept).fit(X).encode(X))


def test_every_kind_of_state_comes_back(tmp_path: Path) -> None:
    state = {
        "dim3": np.array(3),
        "mean": X.mean(axis=0),
        "note": np.array("ä"),
        "names": np.array(["a", "bc"]),
        "far": np.array(1e-300),
        "whole": np.array(2**53 + 1),
        "flags": np.array([True, False]),
        "turned": np.arange(6, dtype=np.float16).reshape(2, 3).T,
    }
    kept = asdict(RunConfig(**SMALL)) | {"dim1": X.shape[1], "image_shape": None}
    model = "tests.tracking.own:Keep"
    _write_model(tmp_path / "model", model, kept, state, {"dtype": "float32"})
    found = _unpack(tmp_path / "model", model).state()
    assert {n: (a.dtype, a.tolist()) for n, a in found.items()} == {n: (a.dtype, a.tolist()) for n, a in state.items()}


HERE = "import pathlib; pathlib.Path('ran').touch()"


class Bomb:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return exec, (HERE,)


def raw(name: str, content: bytes) -> Callable[[Path], None]:
    return lambda folder: (folder / name).write_bytes(content)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (raw(ABOUT, b"{"), f"{ABOUT}: Expecting property name"),
        (raw(ABOUT, b"\xff\xfe"), f"{ABOUT}: 'utf-8' codec can't decode"),
        (raw(ABOUT, b'["ae"]'), f"{ABOUT}: TypeError: list indices"),
        (lambda f: about(f, "settings", dim3="3; DROP"), f"{ABOUT}: dim3 must be a whole number"),
        (
            lambda f: about(f, "settings", dim3=2),
            f"{WEIGHTS}: it gives ((1, 3), (1, 64), (1, 64)), and the shapes shou",
        ),
        (lambda f: about(f, "state", __class__=1), f"{WEIGHTS}: '__class__' is no part of such a model"),
        (raw(WEIGHTS, pickle.dumps(Bomb())), f"{WEIGHTS}: SafetensorError: "),
        (lambda f: weights(f, encode=np.zeros(1)), f"{WEIGHTS}: 'encode' is no part of such a model"),
        (
            lambda f: weights(f, **{"weights/decoder.main.0.bias": np.zeros(9)}),
            f"{WEIGHTS}: the weights do not have the shapes of the model",
        ),
        (  # refused before a network of that width is allocated: 10 TB
            lambda f: about(f, "state", dim2=20_000_000_000),
            f"{WEIGHTS}: the weights do not have the shapes of the model",
        ),
        (lambda f: (f / WEIGHTS).unlink(), f"{WEIGHTS}: FileNotFoundError"),
        (raw(BEFORE, pickle.dumps(Bomb())), f"{BEFORE}: BadZipFile"),
        (lambda f: of_before(f, mean=np.array([Bomb()])), f"{BEFORE}: Object arrays cannot be loaded when allow_pi"),
    ],
)
def test_a_tampered_model_is_refused_in_one_line(
    folder: Path, monkeypatch: pytest.MonkeyPatch, spoil: Callable[[Path], None], message: str
) -> None:
    monkeypatch.chdir(folder.parent)
    spoil(folder)
    with pytest.raises(BadInput) as refused:
        _unpack(folder)
    assert str(refused.value).startswith(message)
    assert "\n" not in str(refused.value)
    assert not Path("ran").exists()


TRAP = "import pathlib\npathlib.Path('ran').touch()\n" + OWN_REDUCER


def test_a_store_does_not_choose_what_is_imported(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder.parent)
    monkeypatch.syspath_prepend(folder.parent)
    (folder.parent / "own_trap.py").write_text(TRAP)
    found = json.loads((folder / ABOUT).read_text()) | {"model": "own_trap:Keep"}
    (folder / ABOUT).write_text(json.dumps(found))
    save_file({"mean": X.mean(axis=0)}, folder / WEIGHTS)
    for own in (None, "own_other:Keep"):
        with pytest.raises(BadInput, match=r"model 'own_trap:Keep' is none of pca, .* trust_code=True"):
            _unpack(folder, own)
    assert "own_trap" not in sys.modules
    assert not Path("ran").exists()
    assert np.array_equal(_unpack(folder, "own_trap:Keep").encode(X), X[:, :3])
    assert Path("ran").exists()


def test_a_model_comes_back_by_its_run(store: MlflowClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own_back.py").write_text(OWN_REDUCER)
    monkeypatch.syspath_prepend(tmp_path)
    run = execute(RunConfig(model="vae", **SMALL)).run_id
    codes = np.load(mlflow.artifacts.download_artifacts(f"runs:/{run}/codes/test.npy"))
    assert np.array_equal(load_reducer(run).encode(X), codes)
    assert np.array_equal(load_reducer(run, trust_code=True).encode(X), codes)

    mine = execute(RunConfig(model="own_back:Keep", **SMALL)).run_id
    with pytest.raises(BadInput, match=rf"run {mine}: model\.json: model 'own_back:Keep' is none of"):
        load_reducer(mine)
    assert type(load_reducer(mine, model="own_back:Keep")) is sys.modules["own_back"].Keep
    del sys.modules["own_back"]
    (tmp_path / "own_back.py").unlink()
    assert np.array_equal(load_reducer(mine, trust_code=True).encode(X), X[:, :3])

    (logged,) = store.search_logged_models(
        [store.get_run(run).info.experiment_id], filter_string=f"source_run_id = '{run}'"
    )
    (Path(logged.artifact_location) / "data" / "data" / WEIGHTS).unlink()
    with pytest.raises(BadInput, match=rf"run {run}: weights\.safetensors: there is no such file"):
        load_reducer(run)
    with closing(sqlite3.connect("mlflow.db")) as database:
        database.execute("UPDATE logged_models SET artifact_location = 'ftp://host/x'")
        database.commit()
    with pytest.raises(BadInput, match=rf"run {run}: its model is not in the store but on another host"):
        load_reducer(run)
    with pytest.raises(BadInput, match=r"run nosuch: .*not found"):
        load_reducer("nosuch")
    light = execute(RunConfig(model="pca", artifacts="light", **SMALL)).run_id
    with pytest.raises(BadInput, match="it logged no model; a run keeps one with artifacts=full"):
        load_reducer(light)
