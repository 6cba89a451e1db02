"""Log a fitted model so that it loads anywhere: plain arrays, and the code that reads them. And load it again.

MLflow's own flavours pickle the model, which needs this checkout to load and is unsafe to open, and spend
half a minute on guessing requirements. Here the artifact holds the weights as .npz and a copy of the
package `models` under a name with the hash of its content, so that two versions, or a caller with a
package of that name, never clash.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
import warnings
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
from mlflow import MlflowClient
from mlflow.entities import LoggedModelStatus
from mlflow.exceptions import MlflowException
from mlflow.models import ModelSignature
from mlflow.types import ParamSchema, ParamSpec, Schema, TensorSpec

from elbowroom import models
from elbowroom.models import Reducer

from ..store.addresses import elsewhere
from ..store.errors import BadInput, one_line
from ..store.names import Artifact
from ..store.recorder import reach_store, refuse_elsewhere
from . import serving
from .code import own_files
from .load import ABOUT, WEIGHTS, unpack

DATA = "data/data"  # in a logged model: MLflow puts the folder that it is given into one of that name
REQUIREMENTS = ("mlflow", "numpy", "pandas", "scikit-learn", "scipy", "torch")


def log_model(
    client: MlflowClient, run_id: str, name: str, settings: Mapping[str, Any], model: Reducer, dtype: str = "float32"
) -> str:
    """Log a fitted model to a run, as the artifact `model`, to be read by `mlflow.pyfunc.load_model`; its id.

    `name` and `settings` are what `models.build` was given, `dtype` the type that rows need. Raises TypeError for a
    model whose `state` is no plain arrays, BadInput where the store keeps its files elsewhere.
    """
    tensors = Schema([TensorSpec(np.dtype(dtype), (-1, -1))])  # for every op: the width is checked where that is known
    params = ParamSchema([ParamSpec("op", "string", serving.OPS[0]), ParamSpec("seed", "long", 0)])
    with tempfile.TemporaryDirectory() as temporary:
        data, code = Path(temporary, Path(DATA).name), Path(temporary, "code")
        data.mkdir()
        np.savez(data / WEIGHTS, **model.state())  # type: ignore[arg-type]
        # A run on a GPU must load where there is none.
        about = {"model": name, "settings": {**settings, "device": "auto"}, "dtype": dtype}
        (data / ABOUT).write_text(json.dumps(about, indent=2), encoding="utf-8")
        package = _copy_code(code)
        own = _copy_own(name, code)
        with warnings.catch_warnings():
            # An example would be run through the model to guess the signature, which is given.
            warnings.filterwarnings("ignore", message=".*input example was not provided", category=UserWarning)
            # Made here, because on its own MLflow puts the model into the experiment that is active, which
            # may not be the run's.
            experiment_id = client.get_run(run_id).info.experiment_id
            logged = client.create_logged_model(experiment_id, name=Artifact.MODEL, source_run_id=run_id)
            refuse_elsewhere(client, f"model {logged.model_id}", logged.artifact_location)
            mlflow.models.Model.log(
                artifact_path=None,
                name=Artifact.MODEL,
                flavor=mlflow.pyfunc,
                run_id=run_id,
                model_id=logged.model_id,
                loader_module=f"{package}.serving",
                data_path=str(data),
                code_paths=[str(code / package), *own],
                signature=ModelSignature(inputs=tensors, outputs=tensors, params=params),
                pip_requirements=[f"{r}=={version(r)}" for r in REQUIREMENTS],
            )
    return str(logged.model_id)


def load_reducer(run_id: str, *, model: str | None = None, trust_code: bool = False) -> Reducer:
    """The fitted model that a run of the store in use has logged, built from the classes of this checkout.

    Nothing that lies in the store is executed, imported or unpickled: see `tracking.logged_model.load`. A model of
    one's own is imported here where `model` says its name, `package.module:Name`: no store may choose what is imported.
    With `trust_code` the copy of the code that lies in the store is run instead, as `mlflow.pyfunc.load_model` always
    does: for stores that only trusted people write to. What it gives is no instance of this checkout's `Reducer` then.

    Raises BadInput where there is no such run or model, or it can't be used.
    """
    client = reach_store()
    try:
        run = client.get_run(run_id)
        found = client.search_logged_models(
            [run.info.experiment_id], filter_string=f"source_run_id = '{run.info.run_id}' AND name = '{Artifact.MODEL}'"
        )
        logged = [m for m in found if m.status == LoggedModelStatus.READY]  # MLflow may have made another, empty one
        if not logged:
            raise BadInput("it logged no model; a run keeps one with artifacts=full")
        if where := elsewhere(logged[0].artifact_location, client.tracking_uri):
            raise BadInput(f"its model is not in the store but {where}")
        if trust_code:
            return _run_by_its_own_code(logged[0].model_uri)
        with tempfile.TemporaryDirectory() as folder:
            _download(f"{logged[0].artifact_location}/{DATA}", Path(folder))
            return unpack(Path(folder), model)
    except (BadInput, MlflowException, OSError) as error:
        raise BadInput(f"run {run_id}: {one_line(error)}") from error


def _run_by_its_own_code(uri: str) -> Reducer:
    try:
        reducer: Reducer = mlflow.pyfunc.load_model(uri).get_raw_model()
    except Exception as error:  # the code may raise anything
        raise BadInput(f"its own code does not load it: {one_line(error)}") from error
    return reducer


def _download(place: str, folder: Path) -> None:
    """The two files of a model. Raises BadInput where one is not there."""
    there = {Path(f.path).name for f in mlflow.artifacts.list_artifacts(artifact_uri=place)}
    for name in (ABOUT, WEIGHTS):
        if name not in there:
            raise BadInput(f"{name}: there is no such file")
        mlflow.artifacts.download_artifacts(artifact_uri=f"{place}/{name}", dst_path=str(folder))


def _copy_code(into: Path) -> str:
    """Copy `models` and the serving module into a new package; its name, unique to its content."""
    here = Path(models.__file__).parent
    sources = {Path("models") / f.relative_to(here): f for f in sorted(here.rglob("*.py"))}
    sources[Path("serving.py")] = Path(serving.__file__)
    sha = hashlib.sha256()
    for target, source in sources.items():
        sha.update(str(target).encode() + source.read_bytes())
    package = f"elbowroom_{sha.hexdigest()[:12]}"
    for target, source in sources.items():
        (into / package / target).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, into / package / target)
    (into / package / "__init__.py").write_text("", encoding="utf-8")
    return package


def _copy_own(name: str, into: Path) -> list[str]:
    """Copy the user's own files behind a `package.module:Name`, which pip will not install; the paths to ship."""
    module, colon, _ = name.partition(":")
    files = own_files(module, imported=True) if colon else {}
    for file, content in files.items():
        (into / file).parent.mkdir(parents=True, exist_ok=True)
        (into / file).write_bytes(content)
    return sorted({str(into / Path(file).parts[0]) for file in files})
