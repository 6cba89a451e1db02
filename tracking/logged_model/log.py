"""Log a fitted model so that it loads anywhere: safetensors, JSON, and a copy of `models`, which reads them.

MLflow's own flavours pickle the model, which needs this checkout to load and is unsafe to open. The copy's name has the
hash of its content, so that two versions, or a caller's own package `models`, never clash.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import numpy.typing as npt
from mlflow import MlflowClient
from mlflow.models import ModelSignature
from mlflow.types import ParamSchema, ParamSpec, Schema, TensorSpec
from safetensors.numpy import save_file

from elbowroom import models
from elbowroom.models import Reducer

from ..store.client import refuse_elsewhere
from ..store.names import Artifact
from . import serving
from .code import own_files

_REQUIREMENTS = ("mlflow", "numpy", "pandas", "safetensors", "scikit-learn", "scipy", "torch")


def log_model(
    client: MlflowClient,
    run_id: str,
    name: str,
    settings: Mapping[str, Any],
    model: Reducer,
    dtype: str = "float32",
    columns: Sequence[Mapping[str, Any]] | None = None,
) -> None:
    """Log a fitted model as the artifact `model` of a run, for `mlflow.pyfunc.load_model` and `load_reducer`.

    Parameters
    ----------
    client : MlflowClient
    run_id : str
        An open run.
    name, settings : str, Mapping
        The arguments of `models.build` that made the model.
    model : Reducer
    dtype : str
        The type of rows, `float64` where they lose digits in float32.
    columns : sequence of Mapping, optional
        Of a table: each column's `name`, with `fill`, a number for gaps or None, or with `words`, each a column of 0
        and 1.

    Raises
    ------
    TypeError
        Where the model's `state` is not plain arrays.
    BadInput
        Where the store keeps the model's files elsewhere.
    """
    # No schema of inputs: MLflow would refuse other types of numbers, and tables. `serving` checks the width.
    tensors = Schema([TensorSpec(np.dtype(dtype), (-1, -1))])  # of every op
    params = ParamSchema([ParamSpec("op", "string", serving.OPS[0]), ParamSpec("seed", "long", 0)])
    with tempfile.TemporaryDirectory() as temporary:
        data, code = Path(temporary, serving.FOLDER), Path(temporary, "code")
        _write_model(data, name, settings, model.state(), {"dtype": dtype, "columns": columns})
        package = _copy_code(code)
        own = _copy_own(name, code)
        with warnings.catch_warnings():
            # MLflow would run an example through the model to guess the signature, which is given.
            warnings.filterwarnings("ignore", message=".*input example was not provided", category=UserWarning)
            # MLflow would create the model in the active experiment, which may not be the run's.
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
                signature=ModelSignature(outputs=tensors, params=params),
                pip_requirements=[f"{r}=={version(r)}" for r in _REQUIREMENTS],
            )


def _write_model(
    folder: Path, name: str, settings: Mapping[str, Any], state: Mapping[str, npt.NDArray[Any]], rows: Mapping[str, Any]
) -> None:
    folder.mkdir(exist_ok=True)
    tensors = {key: np.ascontiguousarray(array) for key, array in state.items() if _is_tensor(array)}
    save_file(tensors, folder / serving.WEIGHTS)
    about = {
        "model": name,
        "settings": {**settings, "device": "auto"},  # a model that was trained on a GPU loads without one
        **rows,
        "state": {key: array.tolist() for key, array in state.items() if not _is_tensor(array)},
    }
    (folder / serving.ABOUT).write_text(json.dumps(about, indent=2), encoding="utf-8")


def _is_tensor(array: npt.NDArray[Any]) -> bool:
    return array.ndim > 0 and array.dtype.kind != "U"


def _copy_code(into: Path) -> str:
    """Copy `models` and the serving module into a new package, and return its name, a hash of its content."""
    here = Path(models.__file__).parent
    sources = {str(Path("models") / f.relative_to(here)): f.read_bytes() for f in sorted(here.rglob("*.py"))}
    sources["serving.py"] = Path(serving.__file__).read_bytes()
    sha = hashlib.sha256(b"".join(name.encode() + content for name, content in sources.items()))
    package = f"elbowroom_{sha.hexdigest()[:12]}"
    _write(into / package, {**sources, "__init__.py": b""})
    return package


def _copy_own(name: str, into: Path) -> list[str]:
    """Copy the user's own files behind a `package.module:Name`, and return the paths to ship."""
    files = own_files(name, imported=True)
    _write(into, files)
    return sorted({str(into / Path(file).parts[0]) for file in files})


def _write(folder: Path, files: Mapping[str, bytes]) -> None:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
